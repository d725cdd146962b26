/** What a client fetches besides the trust set, made from a log's tiles (C2SP tlog-tiles) and bundles by their digests. */

import type { Digest } from '../fields.ts';
import { proveConsistency, type ReadTile, tileHashReader } from '../tlog/index.ts';
import type { TrustReader } from './types.ts';

/** A reader that makes consistency proofs itself, so that any server of static files will do. */
export function tileTrustReader(readTile: ReadTile, bundleText: (digest: Digest) => Promise<string>): TrustReader {
  return {
    consistencyProof: (older, newer) => proveConsistency(older, newer, tileHashReader(newer, readTile)),
    bundleText,
  };
}
