/** An auditing witness: it cosigns what it has read, replayed and found in order, and nothing else. */

import { beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../../src/core/index.ts';
import { LogReplay } from '../../../src/cosigner/replay/index.ts';
import {
  createAuditor,
  encodeAddCheckpoint,
  hashOf,
  type WitnessOptions,
} from '../../../src/cosigner/witness/index.ts';
import { parseVerifierKey, proveConsistency, type SignedPolicy, serialiseNote } from '../../../src/trust/index.ts';
import { evidence, LOG, ORIGIN, proposal, signPolicy, TestLog, trustPolicy } from '../../trust/fixture.ts';
import { deployment } from '../../trust/manifests.ts';
import { newDisk, witnessOver } from './fixtures.ts';

let policy: SignedPolicy;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
});

const logKey = parseVerifierKey(LOG.verifierKey);

/** An auditing witness of `log`, which reads its leaves through `read`. */
async function auditing(
  log: TestLog,
  options: Partial<WitnessOptions> = {},
  disk?: Awaited<ReturnType<typeof newDisk>>,
) {
  const served = { log, asked: [] as [number, number][], failure: undefined as HoldfastError | undefined };
  const leaves = async (from: number, to: number) => {
    served.asked.push([from, to]);
    if (served.failure) throw served.failure;
    return served.log.entries.slice(from, to);
  };
  const open = disk ?? (await newDisk());
  const replay = new LogReplay(open, policy);
  const auditor = createAuditor([{ replay, reader: { leaves } }]);
  const { witness } = witnessOver(open, { logs: [{ origin: ORIGIN, keys: [logKey] }], auditor, ...options });
  const add = async (oldSize: number, from = log) => {
    const proof = await proveConsistency(oldSize, from.entries.length, from.hashReader());
    const checkpoint = utf8(serialiseNote(await from.checkpoint({ witnessed: {} })));
    return witness.addCheckpoint(encodeAddCheckpoint({ oldSize, proof, checkpoint }));
  };
  return { witness, add, served, replay, disk: open };
}

const newLog = async (): Promise<TestLog> => {
  const log = new TestLog(policy);
  await log.append();
  return log;
};

describe('an auditing witness', () => {
  it('cosigns a log in order, and reads each leaf once', async () => {
    const log = await newLog();
    const { add, served, witness } = await auditing(log);
    expect((await add(0)).status).toBe(200);
    await log.accept(deployment());
    const size = log.entries.length;
    expect((await add(1)).status).toBe(200);
    expect((await add(size)).status).toBe(200);
    expect(served.asked).toEqual([
      [0, 1],
      [1, size],
    ]);
    expect(witness.description.role).toBe('auditing witness');
  });

  it('goes on from what it has checked when it is started again', async () => {
    const log = await newLog();
    await log.accept(deployment());
    const first = await auditing(log);
    expect((await first.add(0)).status).toBe(200);
    const size = log.entries.length;
    await log.append(evidence('f'.repeat(64)));
    const again = await auditing(log, {}, first.disk.reopen());
    expect((await again.add(size)).status).toBe(200);
    expect(again.served.asked).toEqual([[size, log.entries.length]]);
  });

  it.each([
    [
      'a roster that is not the right one',
      async (log: TestLog) => {
        const wrong = log.fork();
        wrong.state = { ...wrong.state, rosters: 7 };
        await wrong.append();
        log.write(wrong.entries.at(-1)!);
      },
    ],
    ['no roster at its end', async (log: TestLog) => void log.write(evidence())],
    [
      'a leaf that is none',
      async (log: TestLog) => {
        log.write(utf8('something else'));
        await log.append();
      },
    ],
    [
      'a proposal out of order',
      async (log: TestLog) => {
        log.write(await proposal(deployment({ serial: 2, previous: 'a'.repeat(64) })));
        await log.append();
      },
    ],
  ])('refuses a log that has %s, keeps the proof, and never cosigns it again', async (_what, misbehave) => {
    const seen: string[] = [];
    const log = await newLog();
    const { add, witness, disk } = await auditing(log, { observer: { misconduct: (_, reason) => seen.push(reason) } });
    expect((await add(0)).status).toBe(200);
    const before = serialiseNote(await log.checkpoint({ witnessed: {} }));
    await misbehave(log);
    const refused = await add(1);
    expect(refused.status).toBe(422);
    expect(refused.body).toContain('breaks its rules');
    const second = serialiseNote(await log.checkpoint({ witnessed: {} }));
    expect(witness.misconduct(hashOf(ORIGIN))).toMatchObject([{ kind: 'rules', first: before, second }]);
    expect(seen).toHaveLength(1);
    // A right roster afterwards does not mend it, nor does a restart.
    await log.append();
    expect((await add(1)).status).toBe(422);
    expect(witness.newestCheckpoint(hashOf(ORIGIN))).toContain('\n1\n');
    expect((await (await auditing(log, {}, disk.reopen())).add(1)).status).toBe(422);
  });

  it('cosigns nothing while leaves cannot be read, or are not those that were signed', async () => {
    const log = await newLog();
    await log.append(evidence());
    const { add, served } = await auditing(log);
    for (const code of ['not_ready', 'too_large', 'malformed', 'cancelled'] as const) {
      served.failure = new HoldfastError(code, 'the server');
      await expect(add(0)).rejects.toMatchObject({ code: 'not_ready' });
    }
    served.failure = undefined;
    const other = await newLog();
    await other.append(evidence('a'.repeat(64)));
    served.log = other;
    await expect(add(0)).rejects.toMatchObject({ code: 'not_ready' });
    served.log = log;
    expect((await add(0)).status).toBe(200);
  });

  it('says nothing of logs whose rules it does not know', async () => {
    const log = await newLog();
    await expect((await auditing(log, { auditor: createAuditor([]) })).add(0)).rejects.toMatchObject({
      code: 'not_ready',
    });
  });

  it('that died after its audit cosigns the smaller tree still, if that is in order too', async () => {
    const log = await newLog();
    const early = log.fork();
    await log.append(evidence());
    const { add, disk } = await auditing(log);
    // The audit is on the disk, the witness's own state is not.
    const dying = await auditing(log, {}, disk);
    await dying.replay.advance({ leaves: async () => log.entries }, { size: 3, root: await log.root() });
    const again = await auditing(log, {}, disk);
    expect(again.replay.size).toBe(3);
    expect((await again.add(0, early)).status).toBe(200);
    expect((await again.add(1)).status).toBe(200);
    expect((await add(0)).status).toBe(409);
  });
});
