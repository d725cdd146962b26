import { expect, test, vi } from 'vitest';
import { EvidencePace, MAXIMUM_EVIDENCE_A_DAY } from '../../src/cosigner/service/evidence-pace.ts';
import {
  checkLog,
  type DeployManifest,
  digestOf,
  emptyLog,
  type LiveManifest,
  type NoteSigner,
  parseNote,
  serialiseNote,
  signNote,
} from '../../src/trust/index.ts';
import { COSIGNER, key, nextPolicy, OPERATOR, REVOKER, ROSTER, signPolicy } from '../trust/fixture.ts';
import { bundleNode, DAY, deployment, NOW, retirement, revocation } from '../trust/manifests.ts';
import { CosignerBench, countersigned, digest, EVIDENCE, following, signedBy, text } from './cosigner-fixture.ts';

const failure = async (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error: { code: string }) => error.code,
  );

/** Every log made here must satisfy an auditor who knows nothing but leaves and policy. */
function audit(bench: CosignerBench): void {
  const entries = Array.from({ length: bench.log.head.size }, (_, i) => bench.log.entry(i)!);
  expect(checkLog(emptyLog(bench.policy), entries).misconduct).toEqual([]);
}

async function proposed(bench: CosignerBench, manifest: LiveManifest): Promise<string> {
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const result = await bench.cosigner.propose(text(manifest), 'olga');
  if (result.status !== 'logged') throw new Error('it waits');
  return result.note;
}

test('a proposal is signed and logged once, and the same again gets the same answer', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const manifest = deployment();
  const first = await bench.cosigner.propose(text(manifest), 'olga');
  expect(first).toMatchObject({ status: 'logged', digest: digest(manifest) });
  expect(await bench.cosigner.propose(text(manifest), 'olga')).toEqual(first);
  expect(bench.signedBundles).toEqual([text(manifest)]);
  expect(bench.kinds()).toEqual(['roster', 'evidence', 'roster', 'proposal', 'roster']);
  expect(bench.evidenceChecks.length).toBe(1);
  audit(bench);
});

test('the same proposal from two sides at a time is signed once, and both get the same answer', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const [a, b] = await Promise.all([1, 2].map(() => bench.cosigner.propose(text(deployment()), 'olga')));
  expect(a).toEqual(b);
  expect(bench.signedBundles.length).toBe(1);
  audit(bench);
});

test('what somebody else notes of the same evidence stands in nobody’s way', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  await bench.cosigner.addEvidence({ ...EVIDENCE, size: 7, address: 'https://squatter.example/' }, 'mallory');
  const first = bench.log.head.size;
  const places: (number | undefined)[] = [];
  bench.evidence.verify = async (_bundle, { isLogged, placeOf }) => {
    expect([1000, 7, 8].map((size) => isLogged({ sha256: EVIDENCE.sha256, size }))).toEqual([true, true, false]);
    places.push(placeOf(EVIDENCE.sha256), placeOf('f'.repeat(64)));
  };
  expect(await bench.cosigner.propose(text(deployment()), 'olga')).toMatchObject({ status: 'logged', index: first });
  expect(places).toEqual([1, undefined]);
});

test('an accepted bundle is in the roster; everybody may send it, and again', async () => {
  const bench = await CosignerBench.create();
  const manifest = deployment();
  const note = await proposed(bench, manifest);
  const both = await countersigned(note);
  const [a, b] = await Promise.all([bench.cosigner.accept(both), bench.cosigner.accept(both)]);
  expect(a).toEqual(b);
  expect(a.note).toBe(both);
  expect(await bench.cosigner.accept(both)).toEqual(a);
  expect(bench.kinds().filter((kind) => kind === 'acceptance').length).toBe(1);
  expect(bench.leaves().at(-1)).toContain(`"digest":"${digest(manifest)}"`);
  audit(bench);
});

test.each<[string, Partial<LiveManifest>, string]>([
  ['a serial that is not the next', { serial: 2, previous: 'a'.repeat(64) }, 'conflict'],
  ['another environment', { environment: 'test' }, 'wrong_environment'],
  ['another vault', { vault: 'other' }, 'wrong_environment'],
  ['an end that has passed', { notBefore: NOW - 20 * DAY, notAfter: NOW }, 'bundle_expired'],
  ['a beginning too far ahead', { notBefore: NOW + 31 * DAY, notAfter: NOW + 90 * DAY }, 'bad_input'],
  ['too long a validity', { notAfter: NOW + 395 * DAY }, 'bad_input'],
  [
    'a token class below the floor',
    { nodes: [1, 2, 3].map((n) => ({ ...bundleNode(n), tokenClass: 'emulated' as const })) },
    'policy_floor',
  ],
  [
    'one operator for a majority',
    { nodes: [1, 2, 3].map((n) => ({ ...bundleNode(n), operator: 'one.example' })) },
    'policy_floor',
  ],
  ['more guesses than the floor', { policy: { ...deployment().policy, limit: 11 } }, 'policy_floor'],
  ['evidence that is not logged', { evidence: { sha256: 'f'.repeat(64), address: EVIDENCE.address } }, 'not_found'],
  ['evidence elsewhere', { evidence: { sha256: EVIDENCE.sha256, address: 'https://other.example/' } }, 'not_found'],
])('a proposal with %s is refused before the key is asked', async (_what, changes, code) => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const size = bench.log.head.size;
  expect(await failure(bench.cosigner.propose(text(deployment(changes as object)), 'olga'))).toBe(code);
  expect(bench.signedBundles).toEqual([]);
  expect(bench.log.head.size).toBe(size);
});

test('what is no bundle is refused', async () => {
  const { cosigner } = await CosignerBench.create();
  const right = text(deployment());
  for (const wrong of ['', 'x', right.slice(0, -1), `${right}\n`, right.replace('{', '{ '), 'y'.repeat(70_000)]) {
    expect(await failure(cosigner.propose(wrong, 'olga'))).toBe('bundle_malformed');
  }
});

test('evidence that does not verify is not signed for', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  bench.evidence.verify = async () => {
    throw new Error('the evidence does not verify');
  };
  expect(await failure(bench.cosigner.propose(text(deployment()), 'olga'))).not.toBe('no error');
  expect(bench.signedBundles).toEqual([]);
});

test('of two proposals for one serial one wins; the other is told to be written anew', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const rivals = [deployment(), deployment({ notAfter: NOW + 100 * DAY })];
  const results = await Promise.allSettled(rivals.map((rival) => bench.cosigner.propose(text(rival), 'olga')));
  const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  expect(refused).toEqual([
    expect.objectContaining({ code: 'conflict', message: expect.stringMatching(/came first/) }),
  ]);
  expect(bench.signedBundles.length).toBe(1);
  audit(bench);
});

test('a later proposal makes an unaccepted one void, and its serial jams nothing', async () => {
  const bench = await CosignerBench.create();
  const squatter = deployment({ notAfter: NOW + 50 * DAY });
  const old = await countersigned(await proposed(bench, squatter));
  const next = following(squatter, { accepted: null });
  const note = await proposed(bench, next);
  expect(await failure(bench.cosigner.accept(old))).toBe('conflict');
  await bench.cosigner.accept(await countersigned(note));
  expect(bench.leaves().at(-1)).toContain('"serial":2');
  audit(bench);
});

test('a weaker bundle is refused unless the trust policy names it', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addPolicy(serialiseNote(bench.policy.note));
  const five = deployment({
    nodes: [1, 2, 3, 4, 5].map((n) => bundleNode(n)),
    policy: { ...deployment().policy, minimumShares: 4 },
  });
  await bench.accepted(five);
  const three = following(five, { epoch: 2, nodes: [1, 2, 3].map((n) => bundleNode(n, `other-${n}`)) });
  expect(await failure(bench.cosigner.propose(text(three), 'olga'))).toBe('fleet_weakened');
  const policy = await signPolicy(nextPolicy(bench.policy, { weakerBundles: [digest(three)] }));
  await bench.cosigner.addPolicy(serialiseNote(policy.note));
  expect(await bench.cosigner.propose(text(three), 'olga')).toMatchObject({ status: 'logged' });
  audit(bench);
});

const swapped = (note: string) => {
  const { text: noteText, signatures } = parseNote(note);
  return serialiseNote({ text: noteText, signatures: [...signatures].reverse() });
};

test('an acceptance has the logged line of the cosigner and then the operator’s, nothing else', async () => {
  const bench = await CosignerBench.create();
  const note = await proposed(bench, deployment());
  const both = await countersigned(note);
  const parsed = parseNote(both);
  const stranger = (await signNote(parsed.text, [key('stranger.example/x')])).signatures;
  const other = (await signNote(parsed.text, [key('cosigner.example/bundle', 'ed25519', 'stolen')])).signatures;
  const forged = { ...parsed.signatures[1]!, signature: parsed.signatures[1]!.signature.map((byte) => byte ^ 1) };
  const notes = [
    note,
    swapped(both),
    serialiseNote({ ...parsed, signatures: [...parsed.signatures, ...stranger] }),
    serialiseNote({ ...parsed, signatures: [...stranger, parsed.signatures[1]!] }),
    serialiseNote({ ...parsed, signatures: [...other, parsed.signatures[1]!] }),
    serialiseNote({ ...parsed, signatures: [parsed.signatures[0]!, parsed.signatures[0]!] }),
    serialiseNote({ ...parsed, signatures: [parsed.signatures[0]!, forged] }),
    await countersigned(note, key('operator.example/bundle', 'ed25519', 'another')),
  ];
  const size = bench.log.head.size;
  for (const wrong of notes) expect(await failure(bench.cosigner.accept(wrong))).toBe('signature_invalid');
  expect(bench.log.head.size).toBe(size);
  // None of it stands in the way of the right one.
  expect((await bench.cosigner.accept(both)).note).toBe(both);
  audit(bench);
});

test('nothing is accepted that was not proposed, nor after it has expired', async () => {
  const bench = await CosignerBench.create();
  const unknown = await signedBy(deployment(), COSIGNER, OPERATOR);
  expect(await failure(bench.cosigner.accept(unknown))).toBe('not_found');
  const both = await countersigned(await proposed(bench, deployment()));
  bench.now = NOW + 356 * DAY;
  expect(await failure(bench.cosigner.accept(both))).toBe('bundle_expired');
});

test.each<[string, NoteSigner]>([
  ['the cosigner', COSIGNER],
  ['the operator', OPERATOR],
  ['a revoker', REVOKER],
])('%s alone can revoke; lines of strangers are not stored', async (_who, signer) => {
  const bench = await CosignerBench.create();
  const manifest = deployment();
  await bench.accepted(manifest);
  const revoke = revocation({ fleet: 'first', serial: 1, digest: digest(manifest) });
  const note = await signedBy(revoke, key('stranger.example/x'), signer);
  const logged = await bench.cosigner.revoke(note);
  expect(parseNote(logged.note).signatures.map(({ name }) => name)).toEqual([signer.name]);
  expect(await bench.cosigner.revoke(note)).toEqual(logged);
  expect(bench.leaves().at(-1)).toContain('"state":"revoked"');
  // Terminal: the same serial is accepted no more, and its keys never again.
  expect(await failure(bench.cosigner.propose(text(following(manifest, { epoch: 2 })), 'olga'))).toBe('bad_input');
  audit(bench);
});

test('a revocation without a right signature changes nothing', async () => {
  const bench = await CosignerBench.create();
  const manifest = deployment();
  await bench.accepted(manifest);
  const revoke = revocation({ fleet: 'first', serial: 1, digest: digest(manifest) });
  expect(await failure(bench.cosigner.revoke(await signedBy(revoke, ROSTER)))).toBe('signature_missing');
  const fake = await signedBy(revoke, REVOKER);
  expect(await failure(bench.cosigner.revoke(fake.replace(/.{8}\n$/, 'AAAAAAA=\n')))).toMatch(
    /signature_invalid|malformed/,
  );
  const wrong = revocation({ fleet: 'first', serial: 1, digest: 'd'.repeat(64) });
  expect(await failure(bench.cosigner.revoke(await signedBy(wrong, REVOKER)))).toBe('bad_input');
  expect(await failure(bench.cosigner.revoke(await signedBy(manifest, REVOKER)))).toBe('bad_input');
  expect(bench.leaves().at(-1)).toContain('"state":"live"');
});

test('a retirement is proposed and accepted like a deployment', async () => {
  const bench = await CosignerBench.create();
  const manifest = deployment();
  await bench.accepted(manifest);
  const before = { serial: 2, previous: digest(manifest), accepted: digest(manifest) };
  await bench.accepted(retirement(manifest, before));
  expect(bench.leaves().at(-1)).toContain('"state":"retired"');
  audit(bench);
});

test('trust policies are logged once each, in their order, with nothing but lines of policy keys', async () => {
  const bench = await CosignerBench.create();
  const first = serialiseNote(bench.policy.note);
  const logged = await bench.cosigner.addPolicy(first);
  expect(await bench.cosigner.addPolicy(first)).toEqual(logged);
  const next = nextPolicy(bench.policy, { expires: NOW + 200 * DAY });
  const alone = await signPolicy(next, [key('anna.example/policy')]);
  expect(await failure(bench.cosigner.addPolicy(serialiseNote(alone.note)))).toBe('bad_input');
  const skipped = await signPolicy({ ...next, version: 3 });
  expect(await failure(bench.cosigner.addPolicy(serialiseNote(skipped.note)))).toBe('bad_input');
  const many = [...['anna', 'bela'].map((name) => key(`${name}.example/policy`)), key('stranger.example/x')];
  const signed = await signPolicy(next, many);
  const second = await bench.cosigner.addPolicy(serialiseNote(signed.note));
  expect(parseNote(second.note).signatures.length).toBe(2);
  expect(bench.leaves().at(-1)).toContain(digestOf(signed.text));
  expect(bench.ledger.policies.length).toBe(2);
  audit(bench);
});

test('nothing is appended where the witnesses raise the alarm', async () => {
  const bench = await CosignerBench.create();
  const note = await proposed(bench, deployment());
  bench.sound = () => {
    throw Object.assign(new Error('a witness knows more'), { code: 'store_refused' });
  };
  const both = await countersigned(note);
  const { size } = bench.log.head;
  expect(await failure(bench.cosigner.accept(both))).toBe('store_refused');
  expect(await failure(bench.cosigner.addEvidence({ ...EVIDENCE, size: 2 }, 'olga'))).toBe('store_refused');
  expect(bench.log.head.size).toBe(size);
});

test('a person’s approval: kept over a restart, given once, and only then is the key asked', async () => {
  const bench = await CosignerBench.create({ approval: true });
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const manifest = deployment();
  expect(await bench.cosigner.propose(text(manifest), 'olga')).toEqual({ status: 'pending', digest: digest(manifest) });
  expect(await bench.cosigner.propose(text(manifest), 'olga')).toEqual({ status: 'pending', digest: digest(manifest) });
  await bench.reopen();
  expect(bench.approvals!.waiting.map(({ text: waiting }) => waiting)).toEqual([text(manifest)]);
  expect(bench.signedBundles).toEqual([]);
  expect(await failure(bench.cosigner.approve('0'.repeat(64), 'olga'))).toBe('not_found');
  expect(await bench.cosigner.approve(digest(manifest), 'olga')).toMatchObject({ status: 'logged' });
  expect(bench.approvals!.waiting).toEqual([]);
  expect(await bench.cosigner.propose(text(manifest), 'olga')).toMatchObject({ status: 'logged' });
  expect(bench.signedBundles.length).toBe(1);
  audit(bench);
});

test('proposals that wait are bounded, and a rejected one makes room', async () => {
  const bench = await CosignerBench.create({ approval: true });
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const all = Array.from({ length: 65 }, (_, i) => deployment({ notAfter: NOW + (i + 1) * DAY }));
  for (const one of all.slice(0, 16)) await bench.cosigner.propose(text(one), 'olga');
  expect(await failure(bench.cosigner.propose(text(all[16]!), 'olga'))).toBe('overloaded');
  for (const [i, one] of all.slice(16, 64).entries()) await bench.cosigner.propose(text(one), `omar-${i % 3}`);
  expect(await failure(bench.cosigner.propose(text(all[64]!), 'otto'))).toBe('overloaded');
  await bench.cosigner.reject(digest(all[0]!));
  expect(await bench.cosigner.propose(text(all[64]!), 'otto')).toMatchObject({ status: 'pending' });
});

/** A fleet of another name with keys of its own. */
const fleetNamed = (fleet: string, changes: Partial<DeployManifest> = {}) =>
  deployment({ fleet, nodes: [1, 2, 3].map((node) => bundleNode(node, `${fleet}-${node}`)), ...changes });

test('evidence: one operator cannot fill the log with it, and the same again counts for nothing', async () => {
  const bench = await CosignerBench.create();
  let now = NOW;
  const pace = new EvidencePace({ now: () => now, sleep: async () => {} });
  for (let i = 0; i < MAXIMUM_EVIDENCE_A_DAY; i++) pace.take('mallory');
  expect(() => pace.take('mallory')).toThrowError(expect.objectContaining({ code: 'rate_limited' }));
  pace.take('olga');
  now += DAY;
  pace.take('mallory');
  now -= 2 * DAY;
  pace.take('mallory');
  // The cosigner counts by it.
  const take = vi.spyOn(EvidencePace.prototype, 'take');
  const first = await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  expect(await bench.cosigner.addEvidence(EVIDENCE, 'otto')).toEqual(first);
  await bench.cosigner.addEvidence({ ...EVIDENCE, size: EVIDENCE.size + 1 }, 'otto');
  expect(take.mock.calls).toEqual([['olga'], ['otto']]);
  take.mockRestore();
});

test('names of fleets: nobody uses them up with proposals that nobody accepts', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  for (let i = 0; i < 8; i++) await bench.cosigner.propose(text(fleetNamed(`squat-${i}`)), 'mallory');
  expect(await failure(bench.cosigner.propose(text(fleetNamed('squat-8')), 'mallory'))).toBe('overloaded');
  // Nobody else is kept out, and whoever has one accepted may go on.
  expect(await bench.cosigner.propose(text(fleetNamed('honest')), 'olga')).toMatchObject({ status: 'logged' });
  const first = await bench.cosigner.propose(text(fleetNamed('squat-0')), 'mallory');
  if (first.status === 'logged') await bench.cosigner.accept(await countersigned(first.note));
  expect(await bench.cosigner.propose(text(fleetNamed('squat-8')), 'mallory')).toMatchObject({ status: 'logged' });
  audit(bench);
});

test('a proposal that waits: no other operator takes its turn or its keys, for a day', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const [mine, shared] = [deployment(), [bundleNode(1, 'x-1'), bundleNode(2), bundleNode(3, 'x-3')]];
  await bench.cosigner.propose(text(mine), 'olga');
  const next = deployment({ serial: 2, previous: digest(mine), notAfter: NOW + 100 * DAY });
  const thief = fleetNamed('thief', { nodes: shared });
  expect(await failure(bench.cosigner.propose(text(next), 'mallory'))).toBe('conflict');
  expect(await failure(bench.cosigner.propose(text(thief), 'mallory'))).toBe('bad_input');
  // Nor after a restart.
  await bench.reopen();
  expect(await failure(bench.cosigner.propose(text(next), 'mallory'))).toBe('conflict');
  bench.now += DAY;
  expect(await bench.cosigner.propose(text(next), 'mallory')).toMatchObject({ status: 'logged' });
  // Whose proposal it is counts, and not whose fleet.
  expect(await failure(bench.cosigner.propose(text(thief), 'olga'))).toBe('bad_input');
  const again = deployment({ serial: 3, previous: digest(next), notAfter: NOW + 90 * DAY });
  expect(await failure(bench.cosigner.propose(text(again), 'olga'))).toBe('conflict');
  audit(bench);
});

test('a power cut at any step of proposing and accepting leaves no signed bundle outside the log', async () => {
  const manifest = deployment();
  for (let crashAt = 1; ; crashAt++) {
    const bench = await CosignerBench.create();
    await bench.cosigner.addEvidence(EVIDENCE, 'olga');
    const begun = bench.events;
    bench.crashAt = begun + crashAt;
    let note: string | undefined;
    try {
      const result = await bench.cosigner.propose(text(manifest), 'olga');
      if (result.status === 'logged') note = result.note;
      await bench.cosigner.accept(await countersigned(note!));
    } catch {
      // The power was cut.
    }
    const crashed = bench.events >= bench.crashAt;
    await bench.reopen();
    // Whatever was signed is logged by now, and nothing is half done.
    if (bench.signedBundles.length > 0) expect(bench.kinds()).toContain('proposal');
    expect(new Set(bench.signedBundles).size).toBeLessThanOrEqual(1);
    expect(bench.ledger.signing).toBeUndefined();
    const result = await bench.cosigner.propose(text(manifest), 'olga');
    expect(result.status).toBe('logged');
    if (note !== undefined) expect(result).toMatchObject({ note });
    if (result.status === 'logged') await bench.cosigner.accept(await countersigned(result.note));
    expect(bench.kinds().filter((kind) => kind === 'proposal').length).toBe(1);
    expect(bench.kinds().filter((kind) => kind === 'acceptance').length).toBe(1);
    audit(bench);
    if (!crashed) break;
    expect(crashAt).toBeLessThan(200);
  }
});

test('another proposal waits for the one whose signing failed', async () => {
  const bench = await CosignerBench.create();
  await bench.cosigner.addEvidence(EVIDENCE, 'olga');
  const [a, b] = [deployment(), deployment({ notAfter: NOW + 100 * DAY })];
  // The token fails once, after the text was stored.
  bench.crashAt = bench.events + 3;
  expect(await failure(bench.cosigner.propose(text(a), 'olga'))).not.toBe('no error');
  await bench.reopen();
  expect(await failure(bench.cosigner.propose(text(b), 'olga'))).toBe('conflict');
  expect(await bench.cosigner.propose(text(a), 'olga')).toMatchObject({ status: 'logged' });
  audit(bench);
});
