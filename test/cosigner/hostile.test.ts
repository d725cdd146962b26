/** What somebody may send, or configure, that must neither stop the cosigner for ever nor fill its memory. */

import { expect, test } from 'vitest';
import type { TransparencyLog } from '../../src/cosigner/log/index.ts';
import { Cosigner } from '../../src/cosigner/service/index.ts';
import { parseNote, parseVerifierKey, serialiseNote, signNote } from '../../src/trust/index.ts';
import { COSIGNER, key, nextPolicy, OPERATOR, ROSTER, signPolicy, tlogText } from '../trust/fixture.ts';
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
  expect(await failure(bench.cosigner.addEvidence(EVIDENCE))).toBe('not_ready');
  expect(await bench.cosigner.addPolicy(policy)).toMatchObject({ status: 'logged' });
  await bench.accepted(deployment());
  expect(bench.leaves().at(-1)).toContain(`— ${NEXT_ROSTER.name} `);
});

test('a batch stored under one roster key and finished under another waits for the right one', async () => {
  const bench = await CosignerBench.create();
  bench.crashAt = bench.events + 3;
  expect(await failure(bench.cosigner.addEvidence(EVIDENCE))).not.toBe('no error');
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
  await bench.cosigner.addEvidence(EVIDENCE);
  const manifest = deployment();
  const proposed = await bench.cosigner.propose(text(manifest));
  if (proposed.status !== 'logged') throw new Error('it waits');
  let queued = 0;
  const log: Pick<TransparencyLog, 'append' | 'appendPrepared' | 'entry'> = {
    append: (leaf) => bench.log.append(leaf),
    entry: (index) => bench.log.entry(index),
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
