/**
 * Child of the bench: fills a stopped node's store up to a number of records, through the ordinary prepare and commit,
 * and anchors it in the node's token. Each is a copy of a real record under another id. Prints JSON.
 */

import { loadNodeConfiguration } from '../../src/configuration/index.ts';
import { equalBytes } from '../../src/core/index.ts';
import { anchorMac, encodeAnchor } from '../../src/node/anchor.ts';
import {
  decodeRecordState,
  encodeRecordState,
  NODE_STATE_KEY,
  type RecordState,
  recordSyncHash,
} from '../../src/protocol/index.ts';
import { dictionariesOf, openNodeStore, openNodeToken, readNodeTrust } from '../../src/service/index.ts';
import { bucketOf } from '../../src/store/bucket.ts';
import { type AuthenticatedDictionary, syntheticKey } from '../../src/store/index.ts';
import { readPin } from '../../src/token/index.ts';

const BATCH = 5000;

const [file, count] = process.argv.slice(2);
if (file === undefined || count === undefined) throw new Error('usage: fill.ts CONFIGURATION RECORDS');
const configuration = loadNodeConfiguration({ file, environment: {} });
const trust = await readNodeTrust(configuration);
const token = await openNodeToken(configuration, trust, async () => (await readPin(configuration.token.pin!)).pin);
const store = await openNodeStore(configuration);
const owner = { fleet: trust.fleet.fleet, node: configuration.node };

function template(dictionary: AuthenticatedDictionary): RecordState {
  for (const key of dictionary.keys()) {
    if (!equalBytes(key, NODE_STATE_KEY)) return decodeRecordState(dictionary.get(key)!);
  }
  throw new Error('the store has no record to copy');
}

/** Keys in the order of their buckets, so that a batch fills few buckets, each whole. */
function keysInOrder(first: number, missing: number): Uint8Array[] {
  const keys = Array.from({ length: missing }, (_, i) => syntheticKey(first + i));
  const order = keys.map((key, i) => [bucketOf(key), i] as const).sort(([a], [b]) => a - b);
  return order.map(([, i]) => keys[i]!);
}

const begun = performance.now();
const dictionary = await dictionariesOf(store).open();
const model = template(dictionary);
// Encoding a million states anew would take longer than storing them: only the id differs.
const encoded = encodeRecordState(model);
const idAt = Buffer.from(encoded).indexOf(model.record);
// The entry that is the node's own is no record.
const present = dictionary.size - 1;
const keys = keysInOrder(present, Math.max(0, Number(count) - present));
for (let done = 0; done < keys.length; done += BATCH) {
  const changes = keys.slice(done, done + BATCH).map((key) => {
    const value = encoded.slice();
    value.set(key, idAt);
    return { key, value, syncHash: recordSyncHash({ ...model, record: key }) };
  });
  const batch = dictionary.prepare(changes);
  await dictionary.commit(batch, await anchorMac(token, owner, batch.head));
}
await token.writeAnchor(encodeAnchor(dictionary.head, dictionary.mac!));
const result = {
  records: dictionary.size - 1,
  recordBytes: encoded.length,
  storeBytes: store.size(),
  seconds: (performance.now() - begun) / 1000,
};
await token.close();
await store.close();
console.log(JSON.stringify(result));
