/** Transparency logs in the formats of C2SP: notes, checkpoints, cosignatures, tiles, proofs, policies. Browser-safe. */

export * from './checkpoint.ts';
export * from './cosignature.ts';
export { ecdsaFromDer, ecdsaToDer } from './ecdsa-der.ts';
export { encodeEntryBundle, MAXIMUM_ENTRY_BYTES, maximumBundleBytes, parseEntryBundle } from './entry-bundle.ts';
export * from './frontier.ts';
export * from './log-reader.ts';
export * from './merkle.ts';
export * from './note.ts';
export * from './prove.ts';
export * from './quorum.ts';
export * from './sign.ts';
export * from './signed-checkpoint.ts';
export { fromBase64, HASH_BYTES, hashFromBase64, isKeyName, parseDecimal, toBase64 } from './text.ts';
export * from './tile.ts';
export * from './tile-writer.ts';
export * from './tlog-policy.ts';
export * from './tlog-proof.ts';
export * from './verifier-key.ts';
