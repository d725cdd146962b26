/** What somebody may send, or configure, that must neither stop the cosigner for ever nor fill its memory. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readRows, TileFiles, type TransparencyLog } from '../../src/cosigner/log/index.ts';
import { Cosigner, Ledger, TrustSets } from '../../src/cosigner/service/index.ts';
import { setPath } from '../../src/cosigner/service/trust-sets.ts';
import {
  MAXIMUM_LATER_POLICIES,
  parseNote,
  parseTrustSet,
  parseVerifierKey,
  serialiseNote,
  signNote,
} from '../../src/trust/index.ts';
import { COSIGNER, key, LOG, nextPolicy, OPERATOR, ROSTER, signPolicy, tlogText } from '../trust/fixture.ts';
import { deployment, revocation } from '../trust/manifests.ts';
import { CosignerBench, countersigned, digest, EVIDENCE, RULES, signedBy, text } from './cosigner-fixture.ts';

const NEXT_ROSTER = key('cosigner.example/roster', 'ed25519', 'the next roster key');

const failure = async (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error: { code: string }) => error.code,
  );

async function withNextRosterKey(bench: CosignerBench): Promise<string> {
  await bench.cosigner.addPolicy(serialiseNote(bench.policy.note));
  const roster = parseVerifierKey(NEXT_ROSTER.verifierKey);
  return serialiseNote((await signPolicy(nextPolicy(bench.policy, { roster }))).note);
}

test('a policy with another roster key is refused while the old key signs, and the log goes on', async () => {
  const bench = await CosignerBench.create();
  const policy = await withNextRosterKey(bench);
  expect(await failure(bench.cosigner.addPolicy(policy))).toBe('not_ready');
  await bench.reopen();
  await bench.accepted(deployment());
  expect(bench.kinds().at(-1)).toBe('roster');
});

test('with the new roster key configured, its policy is taken first and everything after it', async () => {
  const bench = await CosignerBench.create();
  const policy = await withNextRosterKey(bench);
  bench.roster = NEXT_ROSTER;
  await bench.reopen();
  expect(await failure(bench.cosigner.addEvidence(EVIDENCE, 'olga'))).toBe('not_ready');
  expect(await bench.cosigner.addPolicy(policy)).toMatchObject({ status: 'logged' });
  await bench.accepted(deployment());
  expect(bench.leaves().at(-1)).toContain(`— ${NEXT_ROSTER.name} `);
});

test('a batch stored under one roster key and finished under another waits for the right one', async () => {
  const bench = await CosignerBench.create();
  bench.crashAt = bench.events + 3;
  expect(await failure(bench.cosigner.addEvidence(EVIDENCE, 'olga'))).not.toBe('no error');
  bench.roster = NEXT_ROSTER;
  await expect(bench.reopen()).rejects.toThrow();
  bench.roster = ROSTER;
  await bench.reopen();
  expect(bench.kinds()).toEqual(['roster', 'evidence', 'roster']);
});

test('a policy with another log key for the same log is refused: clients would refuse every checkpoint', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addPolicy(serialiseNote(bench.policy.note));
  const log = key(bench.log.head.checkpoint.split('\n')[0]!, 'ed25519', 'the next log key');
  const policy = await signPolicy(nextPolicy(bench.policy, { tlog: tlogText({ log }) }));
  expect(await failure(bench.cosigner.addPolicy(serialiseNote(policy.note)))).toBe('not_ready');
});

test('what anybody may send is refused before it waits for the log', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const manifest = deployment();
  const proposed = await bench.cosigner.propose(text(manifest), 'olga');
  if (proposed.status !== 'logged') throw new Error('it waits');
  let queued = 0;
  const log: Pick<TransparencyLog, 'append' | 'appendPrepared' | 'entry' | 'head' | 'settle'> = {
    append: (leaf) => bench.log.append(leaf),
    entry: (index) => bench.log.entry(index),
    settle: () => bench.log.settle(),
    get head() {
      return bench.log.head;
    },
    appendPrepared: (prepare) => {
      queued++;
      return bench.log.appendPrepared(prepare);
    },
  };
  const { ledger, clock, evidence } = bench;
  const cosigner = new Cosigner({
    ...{ log, ledger, clock, evidence, approvals: undefined, rules: RULES, bundleSigner: COSIGNER },
    requireSound: () => {},
  });
  const stranger = key(OPERATOR.name, 'ed25519', 'stranger');
  const revoke = revocation({ fleet: 'first', serial: 1, digest: digest(manifest) });
  expect(await failure(cosigner.accept(await countersigned(proposed.note, stranger)))).toBe('signature_invalid');
  const forged = parseNote(await countersigned(proposed.note));
  const [line, other] = [forged.signatures[0]!, forged.signatures[1]!];
  const bent = { ...other, signature: other.signature.map((byte) => byte ^ 1) };
  expect(await failure(cosigner.accept(serialiseNote({ ...forged, signatures: [line, bent] })))).toBe(
    'signature_invalid',
  );
  expect(await failure(cosigner.revoke(await signedBy(revoke, stranger)))).toBe('signature_missing');
  expect(
    await failure(cosigner.accept(serialiseNote(await signNote(text(deployment({ fleet: 'none' })), [stranger])))),
  ).toBe('not_found');
  expect(queued).toBe(0);
  expect(await cosigner.accept(await countersigned(proposed.note))).toMatchObject({ status: 'logged' });
  expect(queued).toBe(1);
});

test('a log with more trust policies than a set may have still has sets, with the newest of them', async () => {
  const bench = await CosignerBench.create();
  await bench.accepted(deployment());
  const first = serialiseNote(bench.policy.note);
  const last = serialiseNote((await signPolicy(nextPolicy(bench.policy, {}))).note);
  for (const note of [first, last]) await bench.cosigner.addPolicy(note);
  /** Many of the first, which stand for as many versions, and the last. */
  class LongLedger extends Ledger {
    override get policies(): readonly number[] {
      const [index = 0, newest = 0] = super.policies;
      return [...Array.from({ length: 100 }, () => index), newest];
    }
  }
  const { log, disk, policy, folder, clock } = bench;
  const ledger = new LongLedger(disk, policy, { roster: ROSTER.verifierKey, checkpoint: LOG.verifierKey });
  const files = new TileFiles({ folder, rows: readRows(disk) });
  const sets = new TrustSets({ log, ledger, files, folder, clock, keep: 1000 });
  const digests = await sets.publish({ size: log.head.size, note: log.head.checkpoint, quorum: 1 });
  const { policies } = parseTrustSet(readFileSync(join(folder, setPath(digests.get('first')!))));
  expect(policies.length).toBe(MAXIMUM_LATER_POLICIES);
  expect(policies.at(-1)).toBe(last);
});
