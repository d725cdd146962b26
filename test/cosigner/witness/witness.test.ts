/** What a witness cosigns and what it refuses, status by status (C2SP tlog-witness). */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hexToBytes, utf8 } from '../../../src/core/index.ts';
import {
  encodeAddCheckpoint,
  hashOf,
  openWitnessStore,
  WITNESS_TABLES,
  Witness,
} from '../../../src/cosigner/witness/index.ts';
import { MemoryKeyValueStore } from '../../../src/store/index.ts';
import {
  newVerifierKey,
  parseNote,
  proveConsistency,
  serialiseCheckpoint,
  serialiseNote,
  signNote,
  softwareNoteSigner,
  verifyNote,
} from '../../../src/trust/index.ts';
import { ed25519Key } from '../../trust/tlog/keys.ts';
import litewitness from '../../vectors/torchwood-litewitness.json' with { type: 'json' };
import { SampleLog } from '../sample-log.ts';
import { NOW, newDisk, newWitness, secondsOf, witnessKey, witnessOver, witnessSigner } from './fixtures.ts';

const body = (oldSize: number, proof: readonly Uint8Array[], note: string) =>
  encodeAddCheckpoint({ oldSize, proof, checkpoint: utf8(note) });

describe('a witness cosigns', () => {
  it('the first checkpoint it sees, a later one with its proof, and the same again', async () => {
    const { add, clock, log } = await newWitness();
    for (const [oldSize, size] of [
      [0, 3],
      [3, 3],
      [3, 16],
      [16, 20],
      [20, 20],
    ] as const) {
      clock.seconds++;
      const { status, body: lines } = await add(oldSize, size);
      expect(status).toBe(200);
      expect(secondsOf(lines, await log.checkpoint(size))).toBe(clock.seconds);
    }
  });

  it('an empty log, and its first leaf after that', async () => {
    const { add } = await newWitness();
    for (const [oldSize, size] of [
      [0, 0],
      [0, 0],
      [0, 1],
    ] as const) {
      expect((await add(oldSize, size)).status).toBe(200);
    }
  });

  it('what a log of another make has signed and proved', async () => {
    const key = newVerifierKey(litewitness.origin, 'ed25519', hexToBytes(litewitness.publicKey));
    const { witness } = await newWitness({ logs: [{ origin: litewitness.origin, keys: [key] }] });
    const [one, three] = litewitness.checkpoints;
    expect((await witness.addCheckpoint(body(0, [], one!))).status).toBe(200);
    const decoded = (proof: readonly string[]) => proof.map((hash) => new Uint8Array(Buffer.from(hash, 'base64')));
    const cases = litewitness.consistency.filter(({ older, newer }) => older === 1 && newer === 3);
    expect(cases.length).toBeGreaterThan(1);
    for (const { proof, valid } of cases.toSorted((a, b) => Number(a.valid) - Number(b.valid))) {
      expect((await witness.addCheckpoint(body(1, decoded(proof), three!))).status).toBe(valid ? 200 : 422);
    }
  });

  it.each([0, 60])(
    'with one signature per checkpoint and second, and %i more, however often it is asked',
    async (refreshSeconds) => {
      let signed = 0;
      const signer = {
        ...witnessSigner,
        sign: (message: Uint8Array) => {
          signed++;
          return witnessSigner.sign(message);
        },
      };
      const { add, clock } = await newWitness({ signer, refreshSeconds });
      await add(0, 5);
      const answers = await Promise.all(Array.from({ length: 20 }, () => add(5, 5)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      expect(signed).toBe(1);
      clock.seconds += refreshSeconds;
      await add(5, 5);
      expect(signed).toBe(1);
      clock.seconds++;
      await add(5, 5);
      expect(signed).toBe(2);
      await add(5, 6);
      expect(signed).toBe(3);
    },
  );

  it('any growth of any log', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 6 }), async (sizes) => {
        const { add } = await newWitness({}, new SampleLog().grow(40));
        let last = 0;
        for (const size of sizes.toSorted((a, b) => a - b)) {
          expect((await add(last, size)).status).toBe(200);
          last = size;
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('a witness refuses', () => {
  it('an origin that it does not know, with 404', async () => {
    const { witness } = await newWitness();
    const other = new SampleLog('other.example').grow(1);
    expect((await witness.addCheckpoint(await other.request(0, 1))).status).toBe(404);
  });

  it('a checkpoint that no key of the origin has signed, with 403', async () => {
    const { witness, log } = await newWitness();
    const stranger = softwareNoteSigner(log.origin, ed25519Key('stranger'));
    const note = await log.checkpoint(3, [stranger]);
    expect((await witness.addCheckpoint(body(0, [], note))).status).toBe(403);
  });

  it('a spoiled signature of a known key, with 403, even beside a good one', async () => {
    const { witness, log } = await newWitness();
    const good = parseNote(await log.checkpoint(3));
    const [line] = good.signatures;
    const signature = line!.signature.slice();
    signature[9]! ^= 1;
    for (const signatures of [[{ ...line!, signature }], [line!, { ...line!, signature }]]) {
      const note = serialiseNote({ text: good.text, signatures });
      expect((await witness.addCheckpoint(body(0, [], note))).status).toBe(403);
    }
  });

  it('another old size than it has cosigned, with 409 and the right one', async () => {
    const { add } = await newWitness();
    expect(await add(2, 5)).toEqual({ status: 409, contentType: 'text/x.tlog.size', body: '0\n' });
    await add(0, 7);
    for (const oldSize of [0, 3, 8]) {
      expect(await add(oldSize, 20)).toEqual({ status: 409, contentType: 'text/x.tlog.size', body: '7\n' });
    }
    expect((await add(3, 5)).status).toBe(409);
  });

  it('an old size beyond the checkpoint, with 400, whatever is stored', async () => {
    const { witness, log } = await newWitness();
    expect((await witness.addCheckpoint(body(4, [], await log.checkpoint(3)))).status).toBe(400);
    await witness.addCheckpoint(await log.request(0, 5));
    expect((await witness.addCheckpoint(body(5, [], await log.checkpoint(3)))).status).toBe(400);
  });

  it('a wrong proof, and one where none belongs, with 422', async () => {
    const { witness, log, add } = await newWitness();
    const some = new Uint8Array(32);
    const send = async (oldSize: number, proof: readonly Uint8Array[], size: number) =>
      (await witness.addCheckpoint(body(oldSize, proof, await log.checkpoint(size)))).status;
    expect(await send(0, [some], 6)).toBe(422);
    expect((await add(0, 6)).status).toBe(200);
    const proof = await proveConsistency(6, 20, log);
    expect(await send(6, proof.slice(1), 20)).toBe(422);
    expect(await send(6, [...proof, some], 20)).toBe(422);
    expect(await send(6, proof.toReversed(), 20)).toBe(422);
    expect(await send(6, [], 20)).toBe(422);
    expect(await send(6, [some], 6)).toBe(422);
    expect(await send(6, proof, 20)).toBe(200);
  });

  it('an empty tree whose root is not that of the empty tree, with 422', async () => {
    const { witness, log } = await newWitness();
    const text = serialiseCheckpoint({ origin: log.origin, size: 0, root: new Uint8Array(32).fill(1) });
    const note = serialiseNote(await signNote(text, [log.signer]));
    expect((await witness.addCheckpoint(body(0, [], note))).status).toBe(422);
  });

  it('another root for the size it has cosigned, with 422, and keeps both signed checkpoints', async () => {
    const seen: string[] = [];
    const { witness, log, add } = await newWitness({ observer: { misconduct: (origin) => seen.push(origin) } });
    await add(0, 6);
    const forged = new SampleLog(log.origin).grow(6, 'forged');
    expect((await witness.addCheckpoint(body(6, [], await forged.checkpoint(6)))).status).toBe(422);
    // Also when it comes with an old size that is no longer right, and once however often it comes.
    expect((await witness.addCheckpoint(await forged.request(0, 6))).status).toBe(409);
    expect(seen).toEqual([log.origin]);
    const kept = witness.misconduct(hashOf(log.origin))!;
    expect(kept).toMatchObject([{ kind: 'split_view', origin: log.origin, time: NOW * 1000 }]);
    expect([kept[0]!.first, kept[0]!.second]).toEqual([await log.checkpoint(6), await forged.checkpoint(6)]);
    expect((await add(6, 20)).status).toBe(200);
  });

  it('a history that forks off behind what it has cosigned', async () => {
    const { witness, log, add } = await newWitness();
    await add(0, 6);
    const fork = new SampleLog(log.origin);
    fork.append(...log.leaves.slice(0, 5)).grow(20, 'forked');
    expect((await witness.addCheckpoint(await fork.request(6, 20))).status).toBe(422);
    expect((await add(6, 7)).status).toBe(200);
  });
});

describe('what a witness keeps', () => {
  it('has the lines of the log and of the witness, and none that strangers appended', async () => {
    const { witness, log } = await newWitness();
    const signed = parseNote(await log.checkpoint(4));
    const foreign = (await signNote(signed.text, [softwareNoteSigner('mallory.example', ed25519Key('mallory'))]))
      .signatures;
    // Neither a stranger's line nor one that claims to be the witness's own gets into what monitors are served.
    const forged = { name: witnessKey.name, id: witnessKey.id, signature: new Uint8Array(72).fill(7) };
    const note = serialiseNote({ text: signed.text, signatures: [...foreign, ...signed.signatures, forged] });
    expect((await witness.addCheckpoint(body(0, [], note))).status).toBe(200);
    const served = parseNote(witness.newestCheckpoint(hashOf(log.origin))!);
    expect(served.signatures.map(({ name }) => name)).toEqual([log.origin, witnessKey.name]);
    expect(verifyNote(served, [log.key, witnessKey])).toHaveLength(2);
  });

  it('is nothing before the first cosignature', async () => {
    const { witness, log } = await newWitness();
    expect(witness.newestCheckpoint(hashOf(log.origin))).toBeUndefined();
    expect(witness.newestCheckpoint('../../etc/passwd')).toBeUndefined();
  });

  it('outlives it, and a lost folder is not taken for a new one', async () => {
    const { add, disk, log } = await newWitness();
    await add(0, 9);
    const again = witnessOver(disk.reopen());
    expect(await again.add(0, 20)).toMatchObject({ status: 409, body: '9\n' });
    expect(again.witness.newestCheckpoint(hashOf(log.origin))).toContain('\n9\n');
    const empty = new MemoryKeyValueStore(undefined, WITNESS_TABLES);
    expect(() => openWitnessStore(empty)).toThrow(expect.objectContaining({ code: 'store_refused' }));
  });

  it('is refused when it is damaged, and nothing is cosigned', async () => {
    const { add, disk, witness, log } = await newWitness();
    await add(0, 9);
    const [[key, value]] = [...disk.entries('state')] as [[Uint8Array, Uint8Array]];
    const ofAnother = value.slice();
    ofAnother[Buffer.from(value).indexOf(log.origin)]! ^= 1;
    for (const damaged of [value.subarray(1), new Uint8Array(), ofAnother]) {
      await disk.commit([{ table: 'state', key, value: damaged }]);
      await expect(add(9, 20)).rejects.toMatchObject({ code: 'store_refused' });
      expect(() => witness.newestCheckpoint(hashOf(log.origin))).toThrow();
    }
  });
});

describe('the time of a cosignature', () => {
  it('never goes back', async () => {
    const { add, clock, log } = await newWitness();
    await add(0, 5);
    clock.seconds -= 30;
    expect(secondsOf((await add(5, 6)).body, await log.checkpoint(6))).toBe(NOW);
    clock.seconds -= 60;
    await expect(add(6, 7)).rejects.toMatchObject({ code: 'not_ready' });
    clock.seconds = NOW + 10;
    expect(secondsOf((await add(6, 7)).body, await log.checkpoint(7))).toBe(NOW + 10);
  });
});

describe('requests at the same time', () => {
  it('of which one can be right: one is cosigned, the others are told the new size', async () => {
    const { add } = await newWitness();
    await add(0, 4);
    const sizes = [5, 9, 12, 20, 7];
    const answers = await Promise.all(sizes.map((size) => add(4, size)));
    expect(answers.map(({ status }) => status)).toEqual([200, 409, 409, 409, 409]);
    expect(answers.slice(1).map(({ body: size }) => size)).toEqual(Array(4).fill('5\n'));
  });

  it('of which the first is stopped in the middle: the second waits, and the state never goes back', async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    let checked = 0;
    const step = (name: string) => {
      if (name !== 'checked' || ++checked > 1) return;
      reach();
      return held;
    };
    const { add, log, witness } = await newWitness({ observer: { step } });
    const small = add(0, 5);
    await reached;
    const large = add(0, 20);
    // Long enough for the second to pass the first, if nothing held it: a disk in memory needs no time.
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    expect(checked).toBe(1);
    release();
    expect((await small).status).toBe(200);
    expect(await large).toMatchObject({ status: 409, body: '5\n' });
    expect(witness.newestCheckpoint(hashOf(log.origin))).toContain('\n5\n');
  });

  it('by two witnesses over one store: the compare-and-swap lets one of them cosign', async () => {
    const disk = await newDisk();
    const store = openWitnessStore(disk);
    const { promise: both, resolve } = Promise.withResolvers<void>();
    let waiting = 0;
    const observer = {
      step: (step: string) => {
        if (step !== 'checked') return;
        if (++waiting === 2) resolve();
        return both;
      },
    };
    const [a, b] = [witnessOver(disk, { store, observer }), witnessOver(disk, { store, observer })];
    const answers = await Promise.all([a.add(0, 5), b.add(0, 20)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    const cosigned = answers[0]!.status === 200 ? 5 : 20;
    expect(answers.find(({ status }) => status === 409)!.body).toBe(`${cosigned}\n`);
  });

  it('beyond what may wait are refused as overloaded', async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const { add } = await newWitness({ observer: { step: () => held } });
    const requests = Array.from({ length: 70 }, () =>
      add(0, 5).then(
        ({ status }) => status,
        ({ code }) => code as string,
      ),
    );
    release();
    const answers = await Promise.all(requests);
    expect(answers.filter((one) => one === 'overloaded')).toHaveLength(6);
    expect(answers.filter((one) => one === 200)).toHaveLength(1);
  });
});

describe('a witness cannot be made', () => {
  it('with an origin twice, or without a key for it', async () => {
    const log = new SampleLog();
    const disk = await newDisk();
    const make = (logs: { origin: string; keys: (typeof log.key)[] }[]) => () => witnessOver(disk, { logs }).witness;
    const one = { origin: log.origin, keys: [log.key] };
    expect(make([one])()).toBeInstanceOf(Witness);
    expect(make([one, one])).toThrow(expect.objectContaining({ code: 'usage' }));
    expect(make([{ ...one, keys: [] }])).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
