/** The signing module: keys on tokens that sign one purpose each, after their own checks, and write down what they signed. */

export { type DsseEnvelope, IN_TOTO, preAuthenticationEncoding } from '../evidence/index.ts';
export { TokenCrypto } from '../pki/index.ts';
export * from './approval.ts';
export * from './compare.ts';
export { signDsse } from './dsse.ts';
export { type JournalOptions, type Signed, SigningJournal } from './journal.ts';
export { JOURNAL_FORMAT, type JournalEntry, type SignedTree } from './journal-format.ts';
export { type JournalState, type JournalVisitor, readJournal } from './journal-read.ts';
export { type JournalFiles, realFiles } from './journal-rotation.ts';
export * from './jws.ts';
export { parsePlexiMessage } from './plexi.ts';
export * from './purpose-key.ts';
export { ED25519_ONLY, PURPOSES, type Purpose, type SigningScope, type SigningSubject, subjectOf } from './purposes.ts';
export * from './roles.ts';
