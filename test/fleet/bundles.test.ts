/** A bundle's life with real processes and tokens, by the commands that people use, and each thing that is refused. */

import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/index.ts';
import {
  answerAgreement,
  descriptionDigest,
  makeAgreementChallenge,
  serialiseAgreementAnswers,
  serialiseAgreementChallenge,
  withAgreement,
  writeNodeKeysPredicate,
} from '../../src/evidence/index.ts';
import { addStatement } from '../../src/operator/index.ts';
import { canonicalJson, fleetOf, serialiseBundle, serialiseTrustFile } from '../../src/trust/index.ts';
import { answeringToken, CEREMONY_KEY, nodeKeysOf, signed, statementsOf } from '../evidence/scene.ts';
import { deployment } from '../trust/manifests.ts';
import { type Party, TrustParties } from './trust-parties.ts';

let parties: TrustParties;
let anchor: string[];
let olga: string[];
let anna: string[];
let evidence: string[];
const digests: string[] = [];

beforeAll(async () => {
  parties = await TrustParties.create();
});
afterAll(async () => {
  await parties?.[Symbol.asyncDispose]();
});

/** The code, and that the exit code is not 0. */
async function refused(party: Party, ...words: string[]): Promise<string> {
  const { code, value } = await parties.as(party, ...words);
  expect(code).toBe(value.exitCode);
  expect(code).not.toBe(0);
  return value.code;
}

async function fetchSet(name: string, fleet = 'first'): Promise<string> {
  const response = await fetch(`${parties.logUrl}/trust/${fleet}`);
  writeFileSync(parties.path(name), new Uint8Array(await response.arrayBuffer()));
  return parties.path(name);
}

function nodesDraft(): Record<string, unknown> {
  const { nodes, coordinators } = JSON.parse(serialiseBundle(deployment()).split('\n')[1]!) as {
    nodes: Record<string, unknown>[];
    coordinators: string[];
  };
  return { nodes: nodes.map(({ node: _, ...rest }) => rest), coordinators };
}

const verify = (file: string, ...words: string[]) => ['bundle', 'verify', file, ...anchor, ...words];
const countersign = (out: string) => [
  ...['bundle', 'countersign', ...anchor, ...parties.signing('operator')],
  ...['--evidence', parties.path('evidence', 'evidence.json'), '--out', parties.path(out)],
];

describe('the policy', () => {
  it('is made, linted, signed by two of three and anchored', async () => {
    const draft = parties.put('draft.json', parties.policyDraft());
    const note = parties.path('policy.note');
    const { digest } = await parties.ok('anna', 'policy', 'create', '--draft', draft, '--out', note);
    expect(await parties.ok('anna', 'policy', 'lint', note)).toMatchObject({ findings: [] });
    const sign = (party: 'anna' | 'bela' | 'cecil') => [
      ...['policy', 'sign', note, '--name', `${party}.example/policy`, ...parties.signing(party)],
      ...['--approve', String(digest)],
    ];
    const anchored = ['policy', 'anchor', note, '--source', parties.logUrl, '--out', parties.path('client.json')];
    expect(await refused('anna', ...anchored)).toBe('policy_signatures');
    await parties.ok('anna', ...sign('anna'));
    expect(await refused('anna', ...anchored)).toBe('policy_signatures');
    expect(await parties.ok('bela', ...sign('bela'))).toMatchObject({ approvals: [{ signatures: 2, threshold: 2 }] });
    expect(await parties.ok('anna', ...anchored)).toMatchObject({ fleet: 'first', version: 1 });
    anchor = ['--anchor', parties.path('client.json')];
  });

  it('is not signed by others, unread, or unsafe', async () => {
    const note = parties.path('policy.note');
    const sign = (...words: string[]) => ['policy', 'sign', note, '--name', 'cecil.example/policy', ...words];
    const other = ['--approve', 'a'.repeat(64)];
    expect(await refused('cecil', ...sign(...parties.signing('cecil'), ...other))).toBe('not_approved');
    expect(await refused('cecil', ...sign(...parties.signing('cecil')))).toBe('usage');
    const unsafe = parties.put('unsafe.json', { ...parties.policyDraft(), graceAge: 90 * 86_400 });
    const out = parties.path('unsafe.note');
    const { digest } = await parties.ok('anna', 'policy', 'create', '--draft', unsafe, '--out', out);
    const { code, value } = await parties.as('anna', 'policy', 'lint', out);
    expect([code, value.code, (value.error as { details: object }).details]).toMatchObject([
      6,
      'policy_unsafe',
      { finding: 'ages_wrong' },
    ]);
    const anyway = [
      'policy',
      'sign',
      out,
      '--name',
      'anna.example/policy',
      ...parties.signing('anna'),
      '--approve',
      String(digest),
    ];
    expect(await refused('anna', ...anyway)).toBe('policy_unsafe');
  });
});

describe('the first bundle', () => {
  beforeAll(async () => {
    await parties.serve(parties.path('policy.note'), ['anna']);
    [olga, anna] = [await parties.connection('olga'), await parties.connection('anna')];
  });

  const propose = (...words: string[]) => ['bundle', 'propose', ...anchor, ...words];

  it('can be written from the trust file that its nodes have, and before there is evidence about it', async () => {
    const { nodes, ...manifest } = deployment();
    const trust = parties.put(
      'nodes-trust.json',
      serialiseTrustFile({
        fleet: fleetOf({ ...manifest, nodes }),
        environment: 'production',
        expires: Date.parse('2090-01-31T00:00:00Z'),
        names: nodes.map(({ name }) => name),
        coordinators: manifest.coordinators,
        authority: undefined,
      }),
    );
    const described = (nodesDraft().nodes as object[]).map((node, i) => [
      '--nodes',
      parties.put(`described-${i}.json`, node),
    ]);
    const from = (order: readonly number[]) => [
      ...propose('--trust-file', trust, ...order.flatMap((i) => described[i]!)),
      ...['--out', parties.path('from-trust.txt')],
    ];
    await parties.ok('operator', ...from([0, 1, 2]));
    const { description } = await parties.ok('operator', 'evidence', 'describe', parties.path('from-trust.txt'));
    expect(description).toBe(descriptionDigest({ ...manifest, nodes }));
    for (const wrong of [
      [1, 0, 2],
      [0, 1],
    ])
      expect(await refused('operator', ...from(wrong))).toBe('bad_input');
  });

  it('has evidence: statements of its description, signed on the operator’s token, verified and published', async () => {
    const draft = ['--draft', parties.put('nodes.json', nodesDraft())];
    const later = parties.put('later.json', '{}');
    const [folder, address] = [parties.path('evidence'), 'https://vault.example/evidence/later.json'];
    const unnamed = ['--evidence', later, '--evidence-address', address, '--out', parties.path('unnamed.txt')];
    await parties.ok('operator', ...propose(...draft, ...unnamed));
    const { description } = await parties.ok('operator', 'evidence', 'describe', parties.path('unnamed.txt'));
    const manifest = deployment();
    expect(description).toBe(descriptionDigest(manifest));
    // A witness has asked the first node for its keys that sign nothing; what was asked and answered stands in the log.
    const labels = { session: 'holdfast/session', oprf: 'holdfast/oprf' };
    const about = { description: String(description), node: 'node-1', labels };
    const { challenge, secrets } = makeAgreementChallenge(about, systemRandom);
    const answers = await answerAgreement(challenge, answeringToken('node-1'));
    const exchange = [parties.path('node-1.challenge'), parties.path('node-1.answers')] as const;
    writeFileSync(exchange[0], serialiseAgreementChallenge(challenge));
    writeFileSync(exchange[1], serialiseAgreementAnswers(answers));
    const log = (...files: string[]) => ['evidence', 'log-exchange', ...files, '--site', parties.logUrl, ...olga];
    const asked = await parties.ok('operator', ...log(exchange[0]));
    const answered = await parties.ok('operator', ...log(...exchange));
    expect(Math.min(...(answered.indices as number[]))).toBeGreaterThan(Math.max(...(asked.indices as number[])));
    const keys = manifest.nodes.map(({ name }) => {
      const read = nodeKeysOf(manifest, name);
      const proven =
        name === 'node-1' ? withAgreement(read, String(description), { challenge, answers, secrets }) : read;
      return parties.put(`${name}.keys`, canonicalJson(writeNodeKeysPredicate(proven)));
    });
    const sign = [
      ...['--name', 'operator.example/evidence', ...parties.signing('operator'), '--out', folder],
      ...['--description', String(description), '--fleet-name', 'first'],
    ];
    await parties.ok('operator', 'evidence', 'node-keys', ...keys, ...sign);
    const software = [
      ...['evidence', 'software', '--source', 'git+https://code.example/holdfast', '--commit', 'c'.repeat(40)],
      ...['--builder', 'https://operator.example/builder', '--lockfile', later, ...sign],
    ];
    expect(await refused('operator', ...software, '--artifact', 'image=5e3f')).toBe('usage');
    await parties.ok('operator', ...software, '--artifact', `container image=sha256:${'a'.repeat(64)}`);
    await parties.ok('operator', 'evidence', 'assemble', folder);
    const named = parties.path('named.txt');
    const publish = ['evidence', 'publish', folder, '--site', parties.logUrl, ...olga];
    const name = async (out: string) => {
      const value = await parties.ok('operator', ...publish);
      evidence = ['--evidence', `${folder}/evidence.json`, '--evidence-address', String(value.address)];
      await parties.ok('operator', ...propose(...draft, ...evidence, '--out', out));
    };
    await name(named);
    // In production nobody signs without a ceremony.
    const check = ['evidence', 'verify', folder, '--bundle'];
    expect(await refused('operator', ...check, named)).toBe('evidence_missing');
    expect(await refused('operator', ...propose(...draft, ...evidence, ...olga))).toBe('evidence_missing');
    const [ceremony] = statementsOf(manifest);
    await addStatement(folder, ceremony!, signed(ceremony!, CEREMONY_KEY), CEREMONY_KEY);
    await parties.ok('operator', 'evidence', 'assemble', folder);
    const complete = parties.path('complete.txt');
    await name(complete);
    const verified = await parties.ok('operator', ...check, complete);
    expect(verified).toMatchObject({ description, ceremony: { made: ['node-1', 'node-2', 'node-3'], earlier: [] } });
    expect((verified.statements as unknown[]).length).toBe(5);
    const served = await fetch(
      `${parties.logUrl}/evidence/${(verified.statements as { sha256: string }[])[0]!.sha256}`,
    );
    expect(served.status).toBe(200);
  });

  it('is proposed, and waits for the cosigner’s person', async () => {
    const draft = ['--draft', parties.put('nodes.json', nodesDraft())];
    expect(await refused('operator', ...propose('--out', parties.path('x')))).toBe('bad_input');
    // Sent, it must name its evidence.
    expect(await refused('operator', ...propose(...draft, ...olga))).toBe('bad_input');
    const value = await parties.ok('operator', ...propose(...draft, ...evidence, ...olga));
    expect(value).toMatchObject({ status: 'pending', serial: 1, epoch: 1, kind: 'deploy' });
    digests.push(String(value.digest));
    expect(await refused('operator', ...countersign('early.bundle'), '--approve', digests[0]!)).toBe('not_found');
  });

  it('is cosigned only by who may, for the digest that was read', async () => {
    const [digest] = digests as [string];
    const operators = [...new Set((nodesDraft().nodes as { operator: string }[]).map(({ operator }) => operator))];
    expect(await parties.ok('cosigner', 'bundle', 'cosign', ...olga)).toMatchObject({
      waiting: [{ digest, kind: 'deploy', fleet: 'first', serial: 1, operators }],
    });
    const cosign = (who: string[], approved: string) => [
      'bundle',
      'cosign',
      digest,
      ...anchor,
      ...who,
      '--approve',
      approved,
    ];
    expect(await refused('cosigner', ...cosign(anna, 'a'.repeat(64)))).toBe('not_approved');
    expect(await refused('cosigner', ...cosign(olga, digest))).toBe('forbidden');
    expect(await parties.ok('cosigner', ...cosign(anna, digest))).toMatchObject({ status: 'logged', serial: 1 });
    expect(await refused('cosigner', ...cosign(anna, digest))).toBe('not_found');
  });

  it('is countersigned by the operator’s key only, with the evidence that the operator has', async () => {
    const approve = ['--approve', digests[0]!];
    // At once: it waits for the witnesses by itself.
    await parties.ok('operator', ...countersign('accepted.bundle'), ...approve);
    const other = parties.put('other.json', '{"what":"was never done"}');
    const wrong = ['bundle', 'countersign', ...anchor, '--evidence', other, '--out', parties.path('x'), ...approve];
    expect(await refused('operator', ...wrong, ...parties.signing('operator'))).toBe('evidence_wrong');
    const revoker = [
      'bundle',
      'countersign',
      ...anchor,
      '--out',
      parties.path('x'),
      '--name',
      'helpline.example/revoke',
    ];
    expect(await refused('revoker', ...revoker, ...parties.signing('revoker'), ...approve)).toBe('signing_refused');
    expect(await refused('operator', ...countersign('y.bundle'), '--approve', 'a'.repeat(64))).toBe('not_approved');
    expect(await refused('operator', ...countersign('z.bundle'), '--digest', 'a'.repeat(64), ...approve)).toBe(
      'conflict',
    );
  });

  it('is accepted, by anybody and any number of times, and verifies', async () => {
    const file = parties.path('accepted.bundle');
    const proposal = readFileSync(file, 'utf8').split('\n').slice(0, -2).join('\n');
    const alone = parties.put('proposal.note', `${proposal}\n`);
    expect(await refused('w3', 'bundle', 'accept', alone, ...anchor)).toBe('signature_missing');
    const first = await parties.ok('w3', 'bundle', 'accept', file, ...anchor);
    expect(await parties.ok('w3', 'bundle', 'accept', file, ...anchor)).toMatchObject({ index: first.index });
    const set = await fetchSet('set-1.json');
    const state = ['--state', parties.path('state.json')];
    const verified = await parties.ok('w3', ...verify(set, ...state, '--update-state'));
    expect(verified).toMatchObject({ serial: 1, digest: digests[0], standing: { state: 'live' } });
    expect((verified.steps as unknown[]).length).toBe(7);
    await parties.ok('w3', ...verify(set, ...state));
    await parties.ok('w3', 'bundle', 'verify', set, '--policy', parties.path('policy.note'));
    expect(await parties.ok('w3', 'bundle', 'show', set)).toMatchObject({ file: 'trust set', digest: digests[0] });
  });

  it('verifies in no changed form', async () => {
    const set = readFileSync(parties.path('set-1.json'), 'utf8');
    const failure = async (changed: string) => {
      const { code, value } = await parties.as('w3', ...verify(parties.put('changed.json', changed)));
      expect(code).toBe(value.exitCode);
      return `${(value.error as { details: { step: number } }).details.step} ${value.code}`;
    };
    expect(await failure(` ${set}`)).toBe('1 bundle_malformed');
    expect(await failure(set.replaceAll('a.vault.example', 'evil.example'))).toBe('2 signature_invalid');
    const { value } = await parties.as('w3', ...verify(parties.path('set-1.json'), '--fleet-name', 'second'));
    expect(value.code).toBe('wrong_environment');
  });
});

/** Cosigned, countersigned, accepted. */
async function complete(digest: string, name: string): Promise<void> {
  await parties.ok('cosigner', 'bundle', 'cosign', digest, ...anchor, ...anna, '--approve', digest);
  await parties.ok('operator', ...countersign(name), '--approve', digest);
  await parties.ok('operator', 'bundle', 'accept', parties.path(name), ...anchor);
}

describe('what follows', () => {
  const propose = (...words: string[]) => ['bundle', 'propose', ...anchor, ...olga, ...words];

  it('is a renewal that keeps all but its time', async () => {
    expect(await refused('operator', ...propose('--not-after', '2099-01-31T00:00:00Z'))).toBe('bad_input');
    const value = await parties.ok('operator', ...propose());
    expect(value).toMatchObject({ serial: 2, epoch: 1, status: 'pending', weaker: [] });
    const paths = (value.changes as { path: string }[]).map(({ path }) => path);
    expect(paths.toSorted()).toEqual(['accepted', 'notAfter', 'notBefore', 'previous', 'serial']);
    digests.push(String(value.digest));
    const rejected = await parties.ok('cosigner', 'bundle', 'cosign', digests[1]!, ...anna, '--reject');
    expect(rejected).toMatchObject({ status: 'rejected' });
    const again = await parties.ok('operator', ...propose('--out', parties.path('second.txt')));
    await complete(String(again.digest), 'second.bundle');
    const set = await fetchSet('set-2.json');
    const state = ['--state', parties.path('state.json'), '--update-state'];
    expect(await parties.ok('w3', ...verify(set, ...state))).toMatchObject({ serial: 2 });
    expect(await refused('w3', ...verify(parties.path('set-1.json'), ...state))).toBe('rolled_back');
    const diff = await parties.ok('w3', 'bundle', 'diff', parties.path('set-1.json'), parties.path('second.txt'));
    expect(diff).toMatchObject({ after: again.digest, weaker: [] });
  });

  it('is never a weaker fleet without the keyholders’ consent', async () => {
    const weaker = { policy: { ...deployment().policy, limit: 9, takeover: { kind: 'immediate' } } };
    const draft = ['--draft', parties.put('weaker.json', weaker)];
    expect(await refused('operator', ...propose(...draft))).toBe('policy_floor');
  });

  it('is the next version of the policy, signed by keyholders of both', async () => {
    const [note, next] = [parties.path('policy.note'), parties.path('policy-2.note')];
    const changes = parties.put('changes.json', { maxAge: 43_200 });
    const { digest } = await parties.ok('anna', 'policy', 'rotate', note, '--changes', changes, '--out', next);
    const sign = (party: 'bela' | 'cecil') => [
      ...['policy', 'sign', next, '--name', `${party}.example/policy`, ...parties.signing(party)],
      ...['--approve', String(digest)],
    ];
    expect(await refused('bela', ...sign('bela'))).toBe('chain_broken');
    await parties.ok('bela', ...sign('bela'), '--previous', note);
    const show = ['policy', 'show', next, '--previous', note];
    expect(await parties.ok('bela', ...show)).toMatchObject({ approvals: [{ by: 1, signatures: 1 }, { by: 2 }] });
    const submit = ['policy', 'submit', next, ...olga];
    const first = await parties.as('operator', ...submit);
    expect(first.code).toBe(first.value.exitCode);
    expect(first.code).not.toBe(0);
    await parties.ok('cecil', ...sign('cecil'), '--previous', note);
    await parties.ok('operator', 'policy', 'submit', note, ...olga);
    await parties.ok('operator', ...submit);
  });

  it('is a retirement, after which records are recovered and none are made', async () => {
    const retire = ['bundle', 'retire', ...anchor, ...olga, '--successor', 'second'];
    const sunset = new Date(Date.now() + 86_400_000).toISOString().replace(/\.\d{3}Z$/, 'Z');
    expect(await refused('operator', ...retire, '--sunset', '2020-01-01T00:00:00Z')).toBe('bundle_malformed');
    const value = await parties.ok('operator', ...retire, '--sunset', sunset);
    expect(value).toMatchObject({ kind: 'retire', serial: 3 });
    await complete(String(value.digest), 'third.bundle');
    digests.push(String(value.digest));
    const set = await fetchSet('set-3.json');
    expect(await refused('w3', ...verify(set))).toBe('bundle_retired');
    const verified = await parties.ok('w3', ...verify(set, '--operation', 'recover'));
    expect(verified).toMatchObject({ standing: { state: 'retired', successor: 'second' }, policyVersion: 2 });
    expect(await refused('operator', ...propose())).toBe('bundle_retired');
  });

  it('is a revocation, which one key is enough for, and which is for ever', async () => {
    const digest = digests.at(-1)!;
    const revoke = (name: string, party: Party, of: string) => [
      ...['bundle', 'revoke', ...anchor, '--digest', of, '--reason', 'a token was stolen'],
      ...['--name', name, ...parties.signing(party), '--out', parties.path(`${party}.revocation`)],
    ];
    const asked = await parties.as(
      'revoker',
      ...revoke('helpline.example/revoke', 'revoker', digest),
      '--approve',
      'a'.repeat(64),
    );
    expect(asked.value.code).toBe('not_approved');
    const { details } = asked.value.error as { details: { digest: string } };
    const approve = ['--approve', details.digest];
    expect(await refused('revoker', ...revoke('helpline.example/revoke', 'revoker', 'b'.repeat(64)), ...approve)).toBe(
      'not_found',
    );
    const revoked = await parties.ok('revoker', ...revoke('helpline.example/revoke', 'revoker', digest), ...approve);
    expect(revoked).toMatchObject({ kind: 'revoke', serial: 3 });
    const set = await fetchSet('set-4.json');
    expect(await refused('w3', ...verify(set, '--operation', 'recover'))).toBe('bundle_revoked');
    const again = await parties.ok('w3', 'bundle', 'accept', parties.path('revoker.revocation'), ...anchor);
    expect(again).toMatchObject({ index: revoked.index });
    expect(await refused('operator', ...propose())).toBe('bundle_revoked');
  });
});
