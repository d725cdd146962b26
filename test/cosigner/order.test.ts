/** What the cosigner shows, and tells, while something is half done: nothing of it. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { HoldfastError, systemClock } from '../../src/core/index.ts';
import { readRows } from '../../src/cosigner/log/index.ts';
import { Gathering } from '../../src/cosigner/service/gathering.ts';
import type { Ledger } from '../../src/cosigner/service/ledger.ts';
import { CosignerMetrics } from '../../src/cosigner/service/metrics.ts';
import { createLogger } from '../../src/http/index.ts';
import { parseCheckpoint, parseNote, parseTlogPolicy } from '../../src/trust/index.ts';
import { REVOKER } from '../trust/fixture.ts';
import { DAY, deployment, NOW, revocation } from '../trust/manifests.ts';
import { CosignerBench, countersigned, digest, EVIDENCE, signedBy, text } from './cosigner-fixture.ts';
import { get, PLEXI, post, ServiceBench, until } from './service-fixture.ts';
import { TestWitness, testWitnesses } from './witnesses.ts';

const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: HoldfastError) => error.code,
  );

describe('the public listener', () => {
  let bench: ServiceBench;
  afterEach(() => bench.close());

  const sizeAt = async (reader: Parameters<typeof get>[0], path: string) =>
    parseCheckpoint(parseNote((await get(reader, path)).bytes).text).size;
  const ready = async (reader: Parameters<typeof get>[0]) =>
    until(async () => ((await get(reader, '/readyz')).status === 200 ? true : undefined));

  test('shows a checkpoint with a quorum once trust sets, index and Plexi view are in place, and all at once', async () => {
    const asked = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    const sign = async (message: Uint8Array) => {
      asked.resolve();
      await held.promise;
      return PLEXI.sign(message);
    };
    bench = await ServiceBench.start();
    await bench.running.close();
    bench.disk = bench.disk.reopen();
    const signers = bench.signers;
    await bench.run({ signers: { ...signers, plexi: { ...PLEXI, sign } } });
    const reader = await bench.connect('public');
    const operator = await bench.connect({ role: 'operator', name: 'olga' });
    await ready(reader);
    const start = Math.floor(Date.now() / DAY) * DAY;
    const manifest = deployment({ notBefore: start - DAY, notAfter: start + 300 * DAY });
    await until(async () => {
      const { status } = await post(operator, '/submit/evidence', JSON.stringify(EVIDENCE), 'application/json');
      return status === 200 ? true : undefined;
    });
    const { note } = (await post(operator, '/submit/proposal', text(manifest))).json();
    const { index } = (await post(reader, '/submit/acceptance', await countersigned(note))).json();
    await asked.promise;
    // The quorum for it is there, its trust set too; the statement on it is being signed.
    expect(readRows(bench.disk).cosigned('quorum')!.size).toBeGreaterThan(index);
    expect(await sizeAt(reader, '/latest-checkpoint')).toBeGreaterThan(index);
    expect(existsSync(join(bench.folder, 'trust', 'fleets', 'first'))).toBe(true);
    expect((await get(reader, '/trust/first')).status).toBe(404);
    const namespace = 'family.production.first';
    const fleets = async () => (await get(reader, '/site.json')).json().fleets.length;
    expect([await sizeAt(reader, '/checkpoint'), await fleets()]).toEqual([expect.any(Number), 0]);
    expect(await sizeAt(reader, '/checkpoint')).toBeLessThanOrEqual(index);
    expect((await get(reader, `/namespaces/${namespace}/last-verified-epoch`)).status).toBe(404);
    held.resolve();
    await until(async () => ((await sizeAt(reader, '/checkpoint')) > index ? true : undefined));
    expect(await fleets()).toBe(1);
    expect((await get(reader, '/trust/first')).status).toBe(200);
    expect((await get(reader, `/namespaces/${namespace}/audits/1`)).status).toBe(200);
    expect((await get(reader, `/namespaces/${namespace}/last-verified-epoch`)).json().epoch).toBe(1);
  });

  test('names and serves the policy of the checkpoint that it shows, not a newer one without a quorum', async () => {
    const nobody = async () => ({ status: 503, body: new Uint8Array() });
    bench = await ServiceBench.start({ transport: { get: nobody, post: nobody } });
    const restarted = async (size: number) => {
      await bench.running.close();
      bench.disk = bench.disk.reopen();
      await bench.run({ transport: onlyFor(size) });
    };
    await restarted(1);
    let reader = await bench.connect('public');
    await until(async () => ((await sizeAt(reader, '/latest-checkpoint')) === 3 ? true : undefined));
    expect([await sizeAt(reader, '/checkpoint'), (await get(reader, '/policies/1')).status]).toEqual([1, 404]);
    await restarted(0);
    reader = await bench.connect('public');
    expect(await sizeAt(reader, '/checkpoint')).toBe(1);
    expect(await sizeAt(reader, '/latest-checkpoint')).toBe(3);
    expect((await get(reader, '/site.json')).json().policies).toEqual([]);
    expect((await get(reader, '/policies/1')).status).toBe(404);
    await restarted(3);
    reader = await bench.connect('public');
    await until(async () => ((await sizeAt(reader, '/checkpoint')) === 3 ? true : undefined));
    expect((await get(reader, '/policies/1')).text).toContain('holdfast');
  });

  /** Witnesses that cosign checkpoints of up to so many leaves. */
  function onlyFor(size: number) {
    const refused = { status: 503, body: new Uint8Array() };
    return {
      get: async () => refused,
      post: (...request: Parameters<ReturnType<typeof testWitnesses>['transport']['post']>) => {
        const note = new TextDecoder().decode(request[1]).split('\n\n').slice(1).join('\n\n');
        const isSmall = parseCheckpoint(parseNote(note).text).size <= size;
        return isSmall ? bench.witnesses.transport.post(...request) : Promise.resolve(refused);
      },
    };
  }
});

describe('a second submission of what is being published', () => {
  test('is answered once its leaf’s files are in place', async () => {
    const bench = await CosignerBench.create();
    await bench.cosigner.addEvidence(EVIDENCE, 'olga');
    const manifest = deployment();
    const proposed = await bench.cosigner.propose(text(manifest), 'olga');
    if (proposed.status !== 'logged') throw new Error('it waits');
    const both = await countersigned(proposed.note);
    const revoke = await signedBy(revocation({ fleet: 'first', serial: 1, digest: digest(manifest) }), REVOKER);
    const early: string[] = [];
    const twice = async (what: string, submit: () => Promise<{ index: number }>) => {
      const again: Promise<void>[] = [];
      bench.onStep = () => {
        bench.onStep = () => {};
        const second = submit().then(({ index }) => {
          if (index >= bench.log.head.size) early.push(what);
        });
        again.push(second);
      };
      await submit();
      expect(again.length).toBe(1);
      await again[0];
    };
    await twice('acceptance', () => bench.cosigner.accept(both));
    await twice('revocation', () => bench.cosigner.revoke(revoke));
    expect(early).toEqual([]);
  });
});

describe('approval and rejection at the same time', () => {
  const manifest = deployment();

  async function waiting(): Promise<CosignerBench> {
    const bench = await CosignerBench.create({ approval: true });
    await bench.cosigner.addEvidence(EVIDENCE, 'olga');
    await bench.cosigner.propose(text(manifest), 'olga');
    return bench;
  }

  test.each(['rejection', 'approval'])(
    'whoever is told that it was rejected can rely on it: the %s first',
    async (first) => {
      const bench = await waiting();
      const reject = () => outcome(bench.cosigner.reject(digest(manifest)));
      const approve = () => outcome(bench.cosigner.approve(digest(manifest), 'anna'));
      const work = first === 'rejection' ? [reject(), approve()] : [approve(), reject()];
      const outcomes = await Promise.all(work);
      const [rejected, approved] = first === 'rejection' ? outcomes : outcomes.toReversed();
      expect([
        ['done', 'not_found', 0],
        ['conflict', 'done', 1],
      ]).toContainEqual([rejected, approved, bench.signedBundles.length]);
      expect(bench.approvals!.waiting).toEqual([]);
    },
  );

  test('what is being signed can no longer be rejected; what could not be signed can', async () => {
    const bench = await waiting();
    let rejected: Promise<string> | undefined;
    bench.sound = () => {
      rejected ??= outcome(bench.cosigner.reject(digest(manifest)));
    };
    expect(await outcome(bench.cosigner.approve(digest(manifest), 'anna'))).toBe('done');
    expect(await rejected).toBe('conflict');
    const other = deployment({ fleet: 'first', serial: 2, previous: digest(manifest), notAfter: NOW + 20 * DAY });
    await bench.cosigner.propose(text(other), 'olga');
    bench.sound = () => {
      throw new HoldfastError('not_ready', 'no quorum');
    };
    expect(await outcome(bench.cosigner.approve(digest(other), 'anna'))).toBe('not_ready');
    expect(await outcome(bench.cosigner.reject(digest(other)))).toBe('done');
    expect(bench.signedBundles.length).toBe(1);
  });

  test('two approvals of one proposal are both told where it is', async () => {
    const bench = await waiting();
    const approve = () => bench.cosigner.approve(digest(manifest), 'anna');
    const [one, two] = await Promise.all([approve(), approve()]);
    expect(one).toEqual(two);
    expect(bench.signedBundles.length).toBe(1);
  });

  test('a proposal that is logged while it is submitted again does not wait a second time', async () => {
    const bench = await waiting();
    bench.whileEvidence = async () => {
      bench.whileEvidence = async () => {};
      await bench.cosigner.approve(digest(manifest), 'anna');
    };
    expect(await bench.cosigner.propose(text(manifest), 'olga')).toMatchObject({ status: 'logged' });
    expect(bench.approvals!.waiting).toEqual([]);
  });
});

test('a new policy’s witnesses are asked for checkpoints that have the policy, not for one before it', async () => {
  const bench = await CosignerBench.create();
  const { tlog, policy } = bench.policy;
  const log = { head: { ...bench.log.head }, ...proofsOf(bench) };
  const made = testWitnesses(tlog.logs[0]!.key.text, () => Date.now());
  const state = { size: log.head.size, policy: { digest: 'one', policy, tlog: made.policy } };
  const ledger = { state } as unknown as { state: Ledger['state'] };
  const gathering = new Gathering({
    ...{ log, ledger: ledger as Ledger, store: bench.disk, transport: made.transport, clock: systemClock },
    ...{ timeout: 60_000, refresh: 3_600_000, metrics: new CosignerMetrics(), logger: createLogger('silent', {}) },
    onQuorum: async () => {},
    onRound: async () => {},
  });
  gathering.start();
  await until(async () => (gathering.fault === '' ? true : undefined));
  // The policy’s leaf is committed, and its files are being written: the second policy’s witness has confirmed nothing.
  const logKey = tlog.logs[0]!.key.text;
  const { verifierKey } = new TestWitness('w9.example', logKey, () => Date.now()).signer;
  const lines = [`log ${logKey}`, `witness w9.example ${verifierKey} https://w9.example`, 'quorum w9.example', ''];
  const second = { digest: 'two', policy, tlog: parseTlogPolicy(lines.join('\n')) };
  Object.assign(ledger.state, { size: 3, policy: second });
  expect(gathering.fault).toBe('');
  Object.assign(log.head, { size: 3 });
  expect(gathering.fault).toContain('too few witnesses');
  await gathering.close();
});

function proofsOf({ log }: CosignerBench) {
  return {
    proveConsistency: (older: number, newer?: number) => log.proveConsistency(older, newer),
    rootAt: (size: number) => log.rootAt(size),
  };
}
