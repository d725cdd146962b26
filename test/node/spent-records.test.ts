/** The search for spent records after a start: it comes to all of them, and takes nothing from those in use. */

import { expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { anchorMac, encodeAnchor } from '../../src/node/anchor.ts';
import { CONTENT, decodeRecordState, encodeRecordState, recordSyncHash } from '../../src/protocol/index.ts';
import { openDictionary, syntheticKey } from '../../src/store/index.ts';
import { InProcessFleet } from './in-process.ts';

const PIN = '123456';
/** More than three times what a node keeps decoded. */
const COPIES = 1600;

/** A node with one record in use and so many copies of it whose attempts are all used up. */
async function crowded() {
  const fleet = await InProcessFleet.create(1, { limit: 3, destroyAfter: 0 });
  await (await fleet.client('alice')).enrol(PIN, utf8('the secret'));
  const member = fleet.members[0]!;
  fleet.kill(1);
  member.store = member.store.reopen();
  const dictionary = await openDictionary(member.store);
  const model = decodeRecordState(dictionary.get(fleet.record('alice'))!);
  const { active } = model;
  const changes = Array.from({ length: COPIES }, (_, i) => {
    const record = syntheticKey(i);
    const state = { ...model, record, active: active && { ...active, attempt: active.confirmed + 3 } };
    return { key: record, value: encodeRecordState(state), syncHash: recordSyncHash(state) };
  });
  const batch = dictionary.prepare(changes);
  await dictionary.commit(batch, await anchorMac(member.token, { fleet: 'test', node: 1 }, batch.head));
  await member.token.writeAnchor(encodeAnchor(dictionary.head, dictionary.mac!));
  await fleet.start(1);
  await fleet.settle();
  const due = async () =>
    CONTENT.due.decode((await fleet.send(1, { kind: 'due', maximum: 256 })).content!).records.length;
  return { fleet, due, store: member.store };
}

it('comes to each of them in calls of a hundred', async () => {
  const { due } = await crowded();
  const found: number[] = [];
  for (let call = 0; call < 18; call++) found.push(await due());
  // Two more are the node's own entry and the record in use, which is not spent.
  expect(found.slice(0, 3).map((number) => Math.ceil(number / 100))).toEqual([1, 2, 3]);
  expect(found.slice(3)).toEqual(Array(15).fill(256));
});

it('leaves the records in use where they were: they are not read again', async () => {
  const { fleet, due, store } = await crowded();
  const alice = await fleet.client('alice');
  const bob = await fleet.client('bob');
  await bob.enrol(PIN, utf8('another one'));
  await alice.status();
  for (let call = 0; call < 20; call++) await due();
  const read: string[] = [];
  const get = store.get.bind(store);
  store.get = (table, key) => {
    read.push(table);
    return get(table, key);
  };
  await alice.status();
  await bob.status();
  expect(read).toEqual([]);
});
