/** What a client trusts, and why: trust files of the pinned mode, transparency logs, and what is made of them. */

export * from './anchor.ts';
export * from './bundle/index.ts';
export * from './canonical.ts';
export {
  type Digest,
  formatTime,
  readAddress,
  readDigest,
  readDigestOrNull,
  readNodeKeys,
  readNodeName,
  readOrigin,
  readPolicy,
  readTime,
  writeNodeKeys,
  writePolicy,
} from './fields.ts';
export * from './pinned.ts';
export * from './plexi.ts';
export * from './policy/index.ts';
export * from './serial-header.ts';
export * from './signatures.ts';
export { digestOf, parseDocument, requireCanonical, serialiseDocument, withCode } from './text.ts';
export * from './tlog/index.ts';
export * from './verify/index.ts';
