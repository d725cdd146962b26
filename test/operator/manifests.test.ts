/** Drafts and what the log makes of them: serial, digests, epoch; retirements and revocations. */

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import {
  isSameDeployment,
  nextDeployment,
  nextRetirement,
  parseBundleFile,
  parseDraft,
  parseNodeDescription,
  requireRevocation,
  revocationOf,
  signRevocation,
} from '../../src/operator/index.ts';
import {
  type LiveManifest,
  noteLeaf,
  parseBundle,
  type SignedPolicy,
  serialiseBundle,
  serialiseNote,
} from '../../src/trust/index.ts';
import {
  COSIGNER,
  digestOfManifest,
  evidence,
  key,
  OPERATOR,
  proposal,
  REVOKER,
  ROSTER,
  revocationLeaf,
  signBundle,
  signPolicy,
  TestLog,
  trustPolicy,
} from '../trust/fixture.ts';
import { bundleNode, DAY, deployment, membership, NOW, revocation } from '../trust/manifests.ts';
import { codeOf, draft, EVIDENCE } from './bench.ts';

let policy: SignedPolicy;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
});

const ruleOf = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    if (error instanceof HoldfastError) return [error.code, error.details.rule];
    throw error;
  }
  return 'nothing';
};

async function accepted(manifest: LiveManifest = deployment()): Promise<TestLog> {
  const log = new TestLog(policy);
  await log.accept(manifest);
  return log;
}

describe('the next deployment', () => {
  it('is serial 1 of epoch 1 in an empty log', () => {
    const { manifest } = nextDeployment(new TestLog(policy).state, 'first', draft());
    expect(manifest).toEqual(deployment({ evidence: { sha256: EVIDENCE.sha256, address: EVIDENCE.address } }));
  });

  it('names the last proposal and the last accepted bundle, which may differ', async () => {
    const log = await accepted();
    const second = nextDeployment(log.state, 'first', draft());
    expect(second.manifest).toMatchObject({ serial: 2, epoch: 1, previous: digestOfManifest(deployment()) });
    await log.append(await proposal(second.manifest));
    const third = nextDeployment(log.state, 'first', draft());
    expect(third.manifest).toMatchObject({
      serial: 3,
      previous: second.digest,
      accepted: digestOfManifest(deployment()),
    });
  });

  it('has a new epoch exactly where the membership changes', async () => {
    const { state } = await accepted();
    const moved = draft({
      nodes: [1, 2, 3].map((n) => ({ ...bundleNode(n), endpoint: `https://moved-${n}.example` })),
    });
    expect(nextDeployment(state, 'first', moved).manifest.epoch).toBe(1);
    const rekeyed = draft({ nodes: [bundleNode(1), bundleNode(2), bundleNode(3, 'other')] });
    expect(nextDeployment(state, 'first', rekeyed).manifest).toMatchObject({
      epoch: 2,
      earlier: [membership(deployment())],
    });
    const dropped = { ...rekeyed, epoch: 2, earlier: [] };
    expect(ruleOf(() => nextDeployment(state, 'first', dropped))).toEqual(['bad_input', 'membership_wrong']);
    const jump = draft({ epoch: 5 });
    expect(ruleOf(() => nextDeployment(state, 'first', jump))).toEqual(['bad_input', 'epoch_wrong']);
  });

  it('reuses no key that was revoked or belongs to another fleet', async () => {
    const log = await accepted();
    expect(ruleOf(() => nextDeployment(log.state, 'second', draft()))).toEqual(['bad_input', 'key_of_other_fleet']);
    const of = { fleet: 'first', serial: 1, digest: digestOfManifest(deployment()) };
    await log.append(await revocationLeaf(revocation(of)));
    expect(ruleOf(() => nextDeployment(log.state, 'first', draft()))).toEqual(['bundle_revoked', 'key_revoked']);
  });

  it('is compared without its place, time and evidence', () => {
    const other = deployment({ serial: 9, previous: 'a'.repeat(64), notAfter: NOW + DAY });
    expect(isSameDeployment(deployment(), other)).toBe(true);
    expect(isSameDeployment(deployment(), { ...other, coordinators: ['https://c.vault.example'] })).toBe(false);
    expect(isSameDeployment(deployment(), { ...other, epoch: 2 })).toBe(false);
  });
});

describe('retiring', () => {
  const retirement = { successor: 'second', sunset: NOW + 90 * DAY, now: NOW + 500 };

  it('keeps everything but names successor and sunset, and outlives the sunset', async () => {
    const { state } = await accepted();
    const { manifest } = nextRetirement(state, 'first', retirement);
    expect(manifest).toMatchObject({
      kind: 'retire',
      serial: 2,
      nodes: deployment().nodes,
      notBefore: NOW,
      ...{ successor: 'second' },
    });
    const late = nextRetirement(state, 'first', { ...retirement, sunset: NOW + 700 * DAY });
    expect(late.manifest.notAfter).toBe(NOW + 700 * DAY);
  });

  it('ends deployments of the fleet, and is only of an accepted one', async () => {
    const log = await accepted();
    await log.accept(nextRetirement(log.state, 'first', retirement).manifest);
    expect(ruleOf(() => nextDeployment(log.state, 'first', draft()))).toEqual(['bundle_retired', 'fleet_retired']);
    expect(await codeOf(() => nextRetirement(new TestLog(policy).state, 'first', retirement))).toBe('not_found');
  });
});

describe('revoking', () => {
  it('names an accepted bundle or a proposal by its digest', async () => {
    const log = await accepted();
    const bundle = revocationOf(log.state, digestOfManifest(deployment()), 'a key left its token');
    expect(bundle.manifest).toMatchObject({ kind: 'revoke', serial: 1, revokes: digestOfManifest(deployment()) });
    expect(log.write(await revocationLeaf(bundle.manifest))).toEqual([]);
    expect(await codeOf(() => revocationOf(log.state, digestOfManifest(deployment()), 'again'))).toBe('bundle_revoked');
    expect(await codeOf(() => revocationOf(log.state, 'a'.repeat(64), 'unknown'))).toBe('not_found');
  });

  it('is signed by cosigner, operator or a revoker, and by nobody else', async () => {
    const log = await accepted();
    const bundle = revocationOf(log.state, digestOfManifest(deployment()), 'a key left its token');
    for (const signer of [COSIGNER, OPERATOR, REVOKER]) {
      const note = await signRevocation(bundle, signer, policy);
      requireRevocation(note, policy);
      expect(log.fork().write(noteLeaf('revocation', note))).toEqual([]);
    }
    for (const signer of [ROSTER, key(REVOKER.name, 'ed25519', 'another secret')]) {
      expect(await codeOf(() => signRevocation(bundle, signer, policy))).toBe('signing_refused');
      const note = await signBundle(bundle.manifest, signer);
      expect(await codeOf(() => requireRevocation(note, policy))).toBe('signature_missing');
    }
  });

  it('has a reason that people can read', async () => {
    const { state } = await accepted();
    const revoke = (reason: string) => codeOf(() => revocationOf(state, digestOfManifest(deployment()), reason));
    expect(await revoke('')).toBe('bundle_malformed');
    expect(await revoke('two\nlines')).toBe('bundle_malformed');
  });
});

describe('a draft', () => {
  const nodes = [1, 2, 3].map((n) => JSON.parse(nodesLine())[n - 1]);
  function nodesLine(): string {
    const { nodes } = JSON.parse(serialiseBundle(deployment()).split('\n')[1]!) as { nodes: Record<string, unknown>[] };
    return JSON.stringify(nodes.map(({ node: _, ...rest }) => rest));
  }
  const text = (changes: Record<string, unknown> = {}) =>
    JSON.stringify({ nodes, coordinators: ['https://a.vault.example'], ...changes });
  const defaults = { now: NOW + 1, last: undefined, evidence: EVIDENCE };

  it('takes what it does not say from defaults', () => {
    const read = parseDraft(text(), defaults);
    expect(read).toMatchObject({ epoch: undefined, notBefore: NOW, notAfter: NOW + 365 * DAY });
    expect(read.policy).toEqual(deployment().policy);
    expect(read.nodes).toEqual(deployment().nodes);
    expect(read.evidence).toEqual({ sha256: EVIDENCE.sha256, address: EVIDENCE.address });
  });

  it('takes the rest from the bundle before it', () => {
    const policy = { ...deployment().policy, limit: 5 };
    const last = deployment({ policy, notAfter: NOW });
    const read = parseDraft(undefined, { ...defaults, last });
    expect(read).toMatchObject({
      policy,
      nodes: last.nodes,
      coordinators: last.coordinators,
      notAfter: NOW + 365 * DAY,
    });
    expect(parseDraft(undefined, { ...defaults, last, evidence: undefined }).evidence).toEqual(last.evidence);
    expect(parseDraft(undefined, { ...defaults, last, coordinators: ['https://z.example'] }).coordinators).toEqual([
      'https://z.example',
    ]);
  });

  it('is refused with what is wrong or missing', async () => {
    const read = (given: string | undefined, changes = {}) =>
      codeOf(() => parseDraft(given, { ...defaults, ...changes }));
    expect(await read(text({ serial: 3 }))).toBe('bad_input');
    expect(await read(text({ notAfter: 'tomorrow' }))).toBe('bad_input');
    expect(await read('[]')).toBe('bad_input');
    expect(await read('{"nodes":7}')).toBe('bad_input');
    expect(() => parseDraft(undefined, defaults)).toThrow('--nodes');
    expect(() => parseDraft(text({ coordinators: undefined }), defaults)).toThrow('coordinators');
    expect(() => parseDraft(text(), { ...defaults, evidence: undefined })).toThrow('evidence');
  });

  it('takes nodes as the command node keys prints them', async () => {
    const printed = { ...nodes[0], profile: { ecdh: true }, code: 'ok', exitCode: 0 };
    expect(parseNodeDescription(JSON.stringify(printed))).toEqual(nodes[0]);
    const without = (name: string) => JSON.stringify({ ...nodes[0], [name]: undefined });
    for (const name of Object.keys(nodes[0]!)) {
      expect(await codeOf(() => parseNodeDescription(without(name)))).toBe('bad_input');
    }
  });
});

describe('a file with a bundle', () => {
  it('is a text, a note, a leaf or a trust set', async () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const text = serialiseBundle(deployment());
    expect(parseBundleFile(bytes(text))).toMatchObject({ kind: 'text', bundle: parseBundle(text), signatures: [] });
    const note = serialiseNote(await signBundle(deployment(), COSIGNER, OPERATOR));
    expect(parseBundleFile(bytes(note)).signatures).toHaveLength(2);
    expect(parseBundleFile(await proposal(deployment())).bundle.text).toBe(text);
    const set = await (await accepted()).trustSet();
    expect(parseBundleFile(set)).toMatchObject({ kind: 'trust set', bundle: { text } });
    expect(await codeOf(() => parseBundleFile(evidence()))).toBe('bad_input');
    expect(await codeOf(() => parseBundleFile(bytes('{}')))).toBe('bad_input');
  });

  it('never crashes its reader', () => {
    const text = serialiseBundle(deployment());
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(20), fc.string({ maxLength: 6 }), (at, length, put) => {
        try {
          parseBundleFile(new TextEncoder().encode(text.slice(0, at) + put + text.slice(at + length)));
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
        }
      }),
    );
  });
});
