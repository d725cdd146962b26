/** Guided, resumable key ceremonies for one token each, and the statements of evidence that come of them. */

export * from './conduct.ts';
export { type MadePin, makePin, pinLengthFor, type RandomSources } from './credentials.ts';
export { readTranscriptFile, TranscriptFile } from './file.ts';
export { CeremonyFolder, ceremonyKeyName, type LocalSettings, type Machine, tokenOf } from './machine.ts';
export { answerChallenge, type NodeKeysInput, nodeKeysParts, nodeKeysPredicate } from './node-keys.ts';
export { type EvidenceParts, writeParts } from './parts.ts';
export { workOf } from './script.ts';
export * from './seal.ts';
export { writeNew, writeOver } from './secrets.ts';
export * from './statement.ts';
export * from './transcript/index.ts';
export { madeKeys } from './work-keys.ts';
export { keyOfPerson, readSignature, signingCommand, signingFiles } from './work-people.ts';
