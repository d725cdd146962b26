/** Group commit: what is acknowledged, in what order things are written, and what a failure at each step leaves. */

import { describe, expect, it } from 'vitest';
import { type Clock, HoldfastError, systemClock } from '../../src/core/index.ts';
import { verifyEcdsa, verifyEd25519 } from '../../src/crypto/index.ts';
import { anchorMac, encodeAnchor, readAnchor } from '../../src/node/anchor.ts';
import { Committer } from '../../src/node/committer.ts';
import { silentObserver } from '../../src/node/index.ts';
import {
  type Body,
  DEFAULT_POLICY,
  type Decision,
  decodeRecordState,
  type Fleet,
  type RecordState,
  StatementVerifier,
} from '../../src/protocol/index.ts';
import { type AuthenticatedDictionary, MemoryKeyValueStore, openDictionary } from '../../src/store/index.ts';
import { type SoftwareOperation, SoftwareToken } from '../../src/token/index.ts';
import { named } from '../protocol/fixtures.ts';

const owner = { fleet: 'test', node: 1 };
const record = named('record');

interface Setup {
  readonly token: SoftwareToken;
  readonly store: MemoryKeyValueStore;
  readonly dictionary: AuthenticatedDictionary;
  readonly committer: Committer;
  readonly verifier: StatementVerifier;
  /** Each durable step, in the order in which it was done. */
  readonly steps: string[];
  readonly fatal: HoldfastError[];
}

async function setup(batchInterval = 0, clock: Clock = systemClock): Promise<Setup> {
  const token = new SoftwareToken();
  const store = new MemoryKeyValueStore();
  const dictionary = await openDictionary(store);
  const policy = { ...DEFAULT_POLICY, minimumShares: 1 };
  const fleet: Fleet = { fleet: 'test', epoch: 1, nodes: [token.publicKeys], policy };
  const steps: string[] = [];
  const fatal: HoldfastError[] = [];
  const commit = store.commit.bind(store);
  store.commit = async (writes) => {
    await commit(writes);
    steps.push('store');
  };
  const { writeAnchor, sign } = token;
  token.writeAnchor = async (value) => {
    await writeAnchor.call(token, value);
    steps.push('anchor');
  };
  token.sign = async (message) => {
    const signature = await sign.call(token, message);
    steps.push('sign');
    return signature;
  };
  const committer = new Committer({
    fleet,
    node: 1,
    token,
    dictionary,
    sequenceFloor: 0,
    clock,
    observer: silentObserver,
    batchInterval,
    onFatal: (error) => fatal.push(error),
    onSigned: () => {},
    onRecord: () => {},
  });
  const verifier = new StatementVerifier(fleet, { ecdsa: verifyEcdsa, ed25519: verifyEd25519 });
  return { token, store, dictionary, committer, verifier, steps, fatal };
}

const receipt = (of: Uint8Array, generation: number): Body<'destroyed'> => ({
  kind: 'destroyed',
  fleet: 'test',
  epoch: 1,
  record: of,
  generation,
});

/** Raises a record's highest generation by one: a change that shows on what it rests. */
const raise = (state: RecordState): Decision => ({
  state: { ...state, highest: state.highest + 1 },
  body: receipt(state.record, state.highest + 1),
});

function failOnce(token: SoftwareToken, what: SoftwareOperation, fault: 'unclear' | 'token_failed'): void {
  token.faults = (operation) => {
    if (operation !== what) return undefined;
    token.faults = undefined;
    return fault;
  };
}

/** What a node would start from after a crash now. */
async function afterCrash({ token, store }: Setup) {
  const dictionary = await openDictionary(store.reopen());
  return { anchor: await readAnchor(token, owner), head: dictionary.head, stored: dictionary.get(record) };
}

describe('group commit', () => {
  it('serves many requests with one transaction, one anchor write and one signature each on its own statement', async () => {
    const { committer, verifier, steps } = await setup();
    // The first one is under way at once; those that come meanwhile share the second batch.
    const waiting = Array.from({ length: 40 }, (_, i) => committer.update(named(`record ${i}`), raise));
    const done = await Promise.all(waiting);
    expect(steps.filter((step) => step === 'store').length).toBeLessThanOrEqual(2);
    expect(steps.filter((step) => step === 'sign').length).toBeLessThanOrEqual(2);
    done.forEach(({ statement }, i) => {
      expect(verifier.body(statement!, 'destroyed')).toEqual(receipt(named(`record ${i}`), 1));
    });
  });

  it('acknowledges nothing before it is stored, anchored and signed', async () => {
    const { committer, steps, token } = await setup();
    const { statement } = await committer.update(record, raise);
    expect(steps).toEqual(['store', 'anchor', 'sign']);
    expect(statement?.signer.sequence).toBe((await readAnchor(token, owner))?.sequence);
  });

  it('gathers longer after a batch that served many, within a limit', async () => {
    const sleeps: number[] = [];
    const clock = { now: () => 1000, sleep: async (milliseconds: number) => void sleeps.push(milliseconds) };
    const { committer } = await setup(8, clock);
    const batch = (size: number) =>
      Promise.all(Array.from({ length: size }, (_, i) => committer.update(named(`record ${i}`), raise)));
    for (const size of [1, 3, 20, 1]) await batch(size);
    // Each waits for its predecessor's sake; the first of a burst goes alone.
    expect(Math.max(...sleeps)).toBe(50);
    expect(sleeps[0]).toBe(8);
    expect(sleeps.every((one) => one >= 8)).toBe(true);
  });

  it('goes at once after a quiet time, and gathers what comes within the batch interval', async () => {
    const { committer, steps } = await setup(30);
    const first = committer.update(named('record 0'), raise);
    const rest = first.then(() => Promise.all([1, 2, 3, 4].map((i) => committer.update(named(`record ${i}`), raise))));
    await rest;
    expect(steps).toEqual(['store', 'anchor', 'sign', 'store', 'anchor', 'sign']);
  });

  it('writes nothing for what changes nothing, and signs it after what it rests on is anchored', async () => {
    const { committer, steps } = await setup();
    const changing = committer.update(record, raise);
    const reading = committer.update(record, (state) => ({ state, body: receipt(record, state.highest) }));
    expect((await reading).decision.body).toMatchObject({ generation: 1 });
    await changing;
    expect(steps.indexOf('anchor')).toBeLessThan(steps.lastIndexOf('sign'));
    steps.length = 0;
    await committer.sign(() => receipt(record, 1));
    expect(steps).toEqual(['sign']);
  });

  it('answers a refusal with a signed head, only of durable state', async () => {
    const { committer, verifier } = await setup();
    await committer.update(record, raise);
    const refusal = new HoldfastError('conflict', 'no');
    const { statement } = await committer.update(record, (state) => ({ state, refusal }));
    expect(verifier.body(statement!, 'head').facts.highest).toBe(1);
  });

  it('never stores batch k+2 before anchor k+1', async () => {
    const { committer, steps } = await setup();
    await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        for (let turn = 0; turn < i % 4; turn++) await Promise.resolve();
        await committer.update(named(`record ${i % 7}`), raise);
      }),
    );
    const writes = steps.filter((step) => step !== 'sign');
    expect(writes).toEqual(writes.map((_, i) => (i % 2 === 0 ? 'store' : 'anchor')));
  });

  it('decides on the newest state, including what is still being written', async () => {
    const { committer } = await setup();
    const seen: number[] = [];
    await Promise.all(
      [1, 2, 3].map(() =>
        committer.update(record, (state) => {
          seen.push(state.highest);
          return raise(state);
        }),
      ),
    );
    expect(seen).toEqual([0, 1, 2]);
    expect(committer.record(record)?.highest).toBe(3);
  });

  it('passes on what a decision throws, and nothing changes', async () => {
    const { committer, steps } = await setup();
    await expect(
      committer.update(record, () => {
        throw new HoldfastError('untrusted', 'no');
      }),
    ).rejects.toMatchObject({ code: 'untrusted' });
    expect(steps).toEqual([]);
    expect(committer.record(record)).toBeUndefined();
  });
});

describe('a failure', () => {
  it('of the MAC or the store counts for nothing, and takes with it what rests on it', async () => {
    for (const fail of [
      ({ token }: Setup) => {
        failOnce(token, 'prf', 'token_failed');
      },
      ({ store }: Setup) => store.failNextCommit(),
    ]) {
      const one = await setup();
      await one.committer.update(record, raise);
      fail(one);
      const first = one.committer.update(record, raise);
      const resting = one.committer.update(record, raise);
      const other = one.committer.update(named('other'), raise);
      for (const waiting of [first, resting, other]) {
        await expect(waiting).rejects.toMatchObject({ code: expect.stringMatching(/token_failed|unexpected/) });
      }
      expect(one.committer.record(record)?.highest).toBe(1);
      expect(one.fatal).toEqual([]);
      const { statement } = await one.committer.update(record, raise);
      expect(one.verifier.body(statement!, 'destroyed').generation).toBe(2);
      const { anchor, head } = await afterCrash(one);
      expect(anchor).toMatchObject({ sequence: head.sequence, root: head.root });
    }
  });

  it('of an anchor write that took effect is found by reading both objects again', async () => {
    const one = await setup();
    failOnce(one.token, 'anchor_write', 'unclear');
    const { statement } = await one.committer.update(record, raise);
    expect(statement).toBeDefined();
    expect(one.fatal).toEqual([]);
    expect(await afterCrash(one)).toMatchObject({ anchor: { sequence: 1 }, head: { sequence: 1 } });
  });

  it('of an anchor write without effect is made good by writing again', async () => {
    const one = await setup();
    let failures = 2;
    one.token.faults = (operation) => (operation === 'anchor_write' && failures-- > 0 ? 'token_failed' : undefined);
    await one.committer.update(record, raise);
    expect(one.fatal).toEqual([]);
    expect((await afterCrash(one)).anchor?.sequence).toBe(1);
  });

  it('of an anchor write is not taken for success because the batch changed nothing', async () => {
    const one = await setup();
    await one.committer.update(record, raise);
    failOnce(one.token, 'anchor_write', 'token_failed');
    // A new object with the same content: the root stays, the sequence grows.
    await one.committer.update(record, (state) => ({ state: { ...state }, body: receipt(record, 1) }));
    const { anchor, head } = await afterCrash(one);
    expect([anchor?.sequence, head.sequence]).toEqual([2, 2]);
  });

  it('of an anchor write signs nothing until the write is known to be there', async () => {
    const one = await setup();
    failOnce(one.token, 'anchor_write', 'token_failed');
    await one.committer.update(record, raise);
    expect(one.steps).toEqual(['store', 'anchor', 'sign']);
    one.token.faults = (operation) => (operation === 'anchor_write' ? 'token_failed' : undefined);
    await expect(one.committer.update(record, raise)).rejects.toMatchObject({ code: 'token_failed' });
    expect(one.steps).toEqual(['store', 'anchor', 'sign', 'store']);
  });

  it('of the store is not hidden by what is remembered of records', async () => {
    const one = await setup();
    await one.committer.update(record, raise);
    expect(one.committer.durableRecord(record)?.highest).toBe(1);
    one.store.failNextCommit();
    await expect(one.committer.update(record, raise)).rejects.toBeDefined();
    expect(one.committer.durableRecord(record)?.highest).toBe(1);
    await one.committer.update(record, raise);
    expect(one.committer.durableRecord(record)).toEqual(decodeRecordState(one.dictionary.get(record)!));
  });

  it('of the anchor for good is fatal: nothing more is acknowledged or stored', async () => {
    const one = await setup();
    await one.committer.update(record, raise);
    one.token.faults = (operation) => (operation.startsWith('anchor') ? 'token_removed' : undefined);
    const waiting = one.committer.update(record, raise);
    const resting = one.committer.update(record, raise);
    await expect(waiting).rejects.toMatchObject({ code: 'token_removed' });
    await expect(resting).rejects.toMatchObject({ code: 'token_removed' });
    // Whoever reads the log learns why.
    expect(one.fatal).toMatchObject([
      { code: 'token_removed', message: expect.stringMatching(/^the anchor could not be written \(.+\)/) },
    ]);
    one.token.faults = undefined;
    const before = one.steps.length;
    await expect(one.committer.update(record, raise)).rejects.toMatchObject({ code: 'token_removed' });
    await expect(one.committer.sign(() => receipt(record, 9))).rejects.toMatchObject({ code: 'token_removed' });
    expect(one.steps.length).toBe(before);
    const { anchor, head } = await afterCrash(one);
    expect([anchor?.sequence, head.sequence]).toEqual([1, 2]);
  });

  it('of the anchor because a call never returned says so, since such a process has to be ended in another way', async () => {
    const one = await setup();
    const hung = new HoldfastError('token_failed', 'it did not answer', { details: { hung: true } });
    one.token.writeAnchor = () => Promise.reject(hung);
    one.token.readAnchors = () => Promise.reject(hung);
    await expect(one.committer.update(record, raise)).rejects.toMatchObject({ code: 'token_failed' });
    expect(one.fatal).toMatchObject([{ code: 'token_failed', details: { hung: true } }]);
  });

  it('of the signature leaves the vote durable; asking again gets it signed', async () => {
    const one = await setup();
    failOnce(one.token, 'sign', 'token_failed');
    await expect(one.committer.update(record, raise)).rejects.toMatchObject({ code: 'token_failed' });
    expect(one.committer.record(record)?.highest).toBe(1);
    const again = await one.committer.update(record, (state) => ({ state, body: receipt(record, state.highest) }));
    expect(one.verifier.body(again.statement!, 'destroyed').generation).toBe(1);
  });

  it('of one waiter’s statement is that waiter’s alone', async () => {
    const { committer } = await setup();
    const wrong = committer.sign(() => {
      throw new HoldfastError('not_found', 'no');
    });
    const right = committer.sign(() => receipt(record, 1));
    await expect(wrong).rejects.toMatchObject({ code: 'not_found' });
    expect(await right).toBeDefined();
  });
});

describe('drain', () => {
  it('waits for what those begin who were answered by the batch in flight: nothing is written after it', async () => {
    const { committer, steps } = await setup();
    const chained = committer
      .update(record, raise)
      .then(() => committer.update(record, raise))
      .catch(() => 'refused');
    await committer.drain();
    const written = steps.length;
    await expect(committer.update(record, raise)).rejects.toMatchObject({ code: 'not_ready' });
    await chained;
    expect(steps.length).toBe(written);
  });

  it('waits for the batch in flight, and then refuses', async () => {
    const one = await setup();
    const waiting = one.committer.update(record, raise);
    await one.committer.drain();
    expect(one.steps).toContain('anchor');
    expect((await waiting).statement).toBeDefined();
    await expect(one.committer.update(record, raise)).rejects.toMatchObject({ code: 'not_ready' });
    expect((await afterCrash(one)).anchor?.sequence).toBe(1);
  });
});

describe('the anchor', () => {
  it('of another node or fleet is passed over, and so is a torn one', async () => {
    const token = new SoftwareToken();
    const head = { sequence: 5, parent: named('parent'), root: named('root') };
    const write = async (at: typeof head, by = owner) =>
      token.writeAnchor(encodeAnchor(at, await anchorMac(token, by, at)));
    expect(await readAnchor(token, owner)).toBeUndefined();
    await write(head);
    await write({ ...head, sequence: 9 }, { fleet: 'test', node: 2 });
    expect(await readAnchor(token, owner)).toMatchObject(head);
    await token.writeAnchor(Uint8Array.of(1, 2, 3));
    expect(await readAnchor(token, owner)).toBeUndefined();
    await write(head);
    await token.writeAnchor(encodeAnchor({ ...head, sequence: 6 }, new Uint8Array(32)));
    expect(await readAnchor(token, owner)).toMatchObject(head);
    await write({ ...head, sequence: 4 });
    await write({ ...head, sequence: 3 });
    expect((await readAnchor(token, owner))?.sequence).toBe(4);
  });
});
