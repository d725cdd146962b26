/** Backups of files: a tar archive in a standard age file whose identity is the secret that the vault keeps. */

export { type CreateBackupOptions, type CreatedBackup, checkCreate, createBackup } from './create.ts';
export { type BackupKeyPair, generateIdentity, parseIdentity, recipientOf } from './identity.ts';
export { syncDirectory } from './output-file.ts';
export { isOpenedBy, methodsOf } from './reader.ts';
export { type OnProgress, type Progress, printable } from './report.ts';
export { checkRestore, type RestoreBackupOptions, type RestoredBackup, restoreBackup } from './restore.ts';
export { type RewriteBackupOptions, rewriteBackup } from './rewrite.ts';
