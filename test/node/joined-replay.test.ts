/**
 * A peer that is heard as one that has joined the epoch is heard whole after that: a coordinator that hands over what the
 * peer signed before it joined, to the very same question, is refused (docs/protocol.md, section 7).
 */

import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../src/core/index.ts';
import {
  CONTENT,
  decodeBody,
  decodeCertificate,
  decodeNodeRequest,
  decodePortableRecord,
  encodeNodeAnswer,
  encodeNodeRequest,
  type NodeAnswer,
  type NodeRequest,
} from '../../src/protocol/index.ts';
import { bucketOf } from '../../src/store/bucket.ts';
import type { MemoryKeyValueStore } from '../../src/store/index.ts';
import { InProcessFleet } from './in-process.ts';

const secret = utf8('a backup key of no importance');

/** Peers that the new node hears: none of them took part in the confirmation before it left, or they have forgotten it. */
const HEARD = [2, 4, 5];
const NEW = 1;

class Machine {
  readonly #fleet: InProcessFleet;
  readonly #number: number;
  readonly #disk: ReturnType<MemoryKeyValueStore['snapshot']>;
  readonly #token: ReturnType<InProcessFleet['members'][number]['token']['snapshot']>;

  constructor(fleet: InProcessFleet, number: number) {
    const { store, token } = fleet.members[number - 1]!;
    this.#fleet = fleet;
    this.#number = number;
    this.#disk = store.snapshot();
    this.#token = token.snapshot();
  }

  /** Disk and token, as they were. */
  restore(): void {
    this.#fleet.kill(this.#number);
    const { store, token } = this.#fleet.members[this.#number - 1]!;
    store.restore(this.#disk);
    token.rollback(this.#token);
  }
}

/** Nodes that nothing reaches, from now on. */
function cut(fleet: InProcessFleet): Set<number> {
  const unreachable = new Set<number>();
  const send = fleet.send.bind(fleet);
  fleet.send = async (node, request) => {
    if (unreachable.has(node)) throw new HoldfastError('no_majority', 'cut off');
    return send(node, request);
  };
  return unreachable;
}

async function queriesOf(
  fleet: InProcessFleet,
  answers: NodeRequest<'repair'>['answers'],
): Promise<{ peer: number; query: Uint8Array; request: NodeRequest }[]> {
  const { content } = await fleet.members[NEW - 1]!.node!.handle({ kind: 'repair', answers });
  return CONTENT.queries
    .decode(content!)
    .queries.map(({ peer, query }) => ({ peer, query, request: decodeNodeRequest(query) }));
}

/** The number of the last confirmation that a node can prove; 0 for none. */
async function confirmedAt(fleet: InProcessFleet, node: number): Promise<number> {
  const answer = await fleet.members[node - 1]!.node!.handle({ kind: 'export', record: fleet.record('alice') });
  const { confirmation } = decodePortableRecord(answer.content!);
  const body = confirmation && decodeBody(decodeCertificate(confirmation.certificate).body);
  return body?.kind === 'attempt' ? body.attempt : 0;
}

/**
 * The new epoch of a fleet of five whose node 1 is replaced. Nodes 1, 2 and 3 alone have taken a confirmation; then node 2
 * was put forward to a state in which it had left before that, so that its leave agrees with no other.
 */
async function newEpoch() {
  const fleet = await InProcessFleet.create(5);
  const client = await fleet.client('alice');
  await client.enrol('4711', secret);
  const next = fleet.successor(NEW);
  const before = new Machine(fleet, 2);
  await fleet.leave(next, 2);
  const left = new Machine(fleet, 2);
  before.restore();
  await fleet.start(2);
  await fleet.settle();
  const unreachable = cut(fleet);
  for (const node of [4, 5]) unreachable.add(node);
  await client.recover('4711');
  const committed = await confirmedAt(fleet, 3);
  expect(await Promise.all([1, 2, 4, 5].map((node) => confirmedAt(fleet, node)))).toEqual([
    committed,
    committed,
    committed - 1,
    committed - 1,
  ]);
  unreachable.clear();
  left.restore();
  await fleet.leave(next, 3, 4, 5);
  await fleet.adopt(next);
  for (const node of [1, 2, 3, 4, 5]) await fleet.start(node);
  return { fleet, unreachable, committed };
}

/** What the peers sign before they have joined, for each question that the new node may ask of their trees. */
async function signedBefore(fleet: InProcessFleet) {
  const record = fleet.record('alice');
  const bucket = bucketOf(record);
  const hash = Uint8Array.of(bucket >> 8, bucket & 255);
  const rejoin = (await queriesOf(fleet, [])).flatMap(({ request }) =>
    request.kind === 'sync' ? [request.rejoin] : [],
  )[0]!;
  const old = new Map<string, NodeAnswer>();
  for (const peer of HEARD) {
    const questions: NodeRequest[] = [
      ...[1, 2].map((length) => ({ kind: 'sync' as const, rejoin, prefix: hash.slice(0, length) })),
      { kind: 'export', record },
    ];
    for (const question of questions)
      old.set(nameOf(peer, encodeNodeRequest(question)), await fleet.send(peer, question));
  }
  return old;
}

const nameOf = (peer: number, query: Uint8Array) => `${peer}:${Buffer.from(query).toString('hex')}`;

/** Carries the new node's questions to the heard peers, until nothing more comes of it. */
async function carry(fleet: InProcessFleet, answer: (peer: number, query: Uint8Array) => Promise<NodeAnswer>) {
  let answers: { peer: number; query: Uint8Array; answer: Uint8Array }[] = [];
  for (let round = 0; round < 8; round++) {
    const queries = (await queriesOf(fleet, answers)).filter(({ peer }) => HEARD.includes(peer));
    answers = await Promise.all(
      queries.map(async ({ peer, query }) => ({ peer, query, answer: encodeNodeAnswer(await answer(peer, query)) })),
    );
  }
}

describe('a node that joins an epoch by the word of peers that have joined it', () => {
  it('does not take what a peer signed before it joined for what it says as one that has', async () => {
    const { fleet, unreachable, committed } = await newEpoch();
    const old = await signedBefore(fleet);
    unreachable.add(NEW);
    await fleet.settle();
    unreachable.clear();
    expect(fleet.phases()).toEqual(['repairing', 'serving', 'serving', 'serving', 'serving']);
    for (const peer of HEARD) expect(await confirmedAt(fleet, peer)).toBe(committed);
    let replayed = 0;
    await carry(fleet, async (peer, query) => {
      const before = old.get(nameOf(peer, query));
      if (before) replayed++;
      return before ?? fleet.send(peer, decodeNodeRequest(query));
    });
    // The questions were those that old answers fit; none of them was taken.
    expect(replayed).toBeGreaterThanOrEqual(HEARD.length);
    expect(fleet.phases()[NEW - 1]).toBe('repairing');
    // The same questions to the same peers, answered as they would now.
    await carry(fleet, (peer, query) => fleet.send(peer, decodeNodeRequest(query)));
    expect(fleet.phases()[NEW - 1]).toBe('serving');
    expect(await confirmedAt(fleet, NEW)).toBe(committed);
  });
});
