/** The audit of a site: what is in order, what each tampering is found by, and what is said where nothing can be known. */

import { describe, expect, it } from 'vitest';
import {
  AUDIT_STEPS,
  AUDIT_TEXTS,
  type AuditStepId,
  auditReportJson,
  FLEET_STEPS,
  failureOf,
  runAudit,
  SITE_STEPS,
  seenInReport,
} from '../../src/audit/index.ts';
import { fromUtf8, HoldfastError, sha256, utf8 } from '../../src/core/index.ts';
import { agreementTexts, descriptionDigest, publicKeyOf, type Statement } from '../../src/evidence/index.ts';
import { evidenceLeaf, parseVerifierKey, serialiseNote, TileWriter, tilePath } from '../../src/trust/index.ts';
import { EVIDENCE_KEY, signed, signWith } from '../evidence/scene.ts';
import {
  COSIGNER,
  digestOfManifest,
  key,
  nextPolicy,
  OPERATOR,
  revocationLeaf,
  signBundle,
  signPolicy,
  TestLog,
} from '../trust/fixture.ts';
import { bundleNode, DAY, deployment, NOW, point, revocation } from '../trust/manifests.ts';
import { following } from '../trust/verify/scene.ts';
import { AuditScene, resultOf, type SceneChanges, SITE } from './scene.ts';

/** Every step's result for a site that is in order, with a policy of one's own. */
const IN_ORDER: Readonly<Record<AuditStepId, string>> = {
  ...(Object.fromEntries(AUDIT_STEPS.map((id) => [id, 'passed'])) as Record<AuditStepId, string>),
  history: 'not_checked',
  'token-class': 'stated',
  ceremony: 'stated',
  software: 'stated',
};

/** A byte of a file changed. */
const flipped = (bytes: Uint8Array, at = Math.floor(bytes.length / 2)) => bytes.with(at, bytes[at]! ^ 1);

interface Tampering {
  readonly changes?: SceneChanges;
  readonly tamper?: (scene: AuditScene) => void | Promise<void>;
  readonly options?: Parameters<AuditScene['options']>[0];
}

const replaceText = (scene: AuditScene, path: string, from: string | RegExp, to: string) => {
  const before = fromUtf8(scene.files.get(path)!);
  const after = before.replace(from, to);
  if (after === before) throw new Error(`nothing to replace in ${path}`);
  scene.files.set(path, utf8(after));
};

const bundlePath = (scene: AuditScene) => `evidence/${scene.folder.manifest.evidence.sha256}.json`;
const statementPath = (scene: AuditScene, place: number) =>
  `evidence/${scene.folder.evidence.statements[place]!.sha256}.json`;

/** Each piece of what a site serves, the step that finds it, and its code. */
const TAMPERED: readonly (readonly [string, AuditStepId, string, Tampering])[] = [
  [
    'the anchor, without enough signatures',
    'anchor',
    'policy_signatures',
    {
      tamper: (scene) => replaceText(scene, 'anchor.json', /\\n— bela[^\\]*/, ''),
      options: { anchor: undefined },
    },
  ],
  [
    'the anchor, in its text',
    'anchor',
    'signature_invalid',
    {
      tamper: (scene) => replaceText(scene, 'anchor.json', /maxAge\\":86400/, 'maxAge\\":86401'),
      options: { anchor: undefined },
    },
  ],
  [
    'the anchor left out, with the policies',
    'anchor',
    'trust_unavailable',
    {
      tamper: ({ files }) => ['anchor.json', 'policies/1'].forEach((path) => void files.delete(path)),
      options: { anchor: undefined },
    },
  ],
  [
    'a newer policy that its keepers have not signed',
    'policy',
    'policy_signatures',
    {
      tamper: async ({ policy, files }) => {
        const next = await signPolicy(nextPolicy(policy, { maxAge: 9_000_000 }), [key('anna.example/policy')]);
        files.set('policies/2', utf8(serialiseNote(next.note)));
      },
    },
  ],
  ['an old policy', 'policy', 'policy_expired', { options: { now: NOW + 301 * DAY } }],
  ['a policy that protects nobody', 'policy', 'policy_unsafe', { changes: { policy: { auditors: [] } } }],
  [
    'the checkpoint left out',
    'checkpoint',
    'trust_unavailable',
    { tamper: ({ files }) => void files.delete('checkpoint') },
  ],
  [
    'the checkpoint’s root',
    'checkpoint',
    'signature_invalid',
    {
      tamper: (scene) => replaceText(scene, 'checkpoint', /\n[A-Za-z0-9+/]{43}=\n/, `\n${'A'.repeat(43)}=\n`),
    },
  ],
  [
    'another log',
    'checkpoint',
    'wrong_origin',
    {
      tamper: async ({ log, files }) =>
        void files.set(
          'checkpoint',
          utf8(serialiseNote(await log.checkpoint({ origin: 'log.example/other', log: key('log.example/other') }))),
        ),
    },
  ],
  [
    'a log that witnesses have not seen',
    'witnesses',
    'quorum_not_met',
    {
      tamper: async ({ log, files }) =>
        void files.set('checkpoint', utf8(serialiseNote(await log.checkpoint({ witnessed: {} })))),
    },
  ],
  ['an old state', 'witnesses', 'log_stale', { options: { now: NOW + 3 * DAY } }],
  ['a state from the future', 'witnesses', 'clock_fault', { options: { now: NOW - 5 * DAY } }],
  [
    'an entry of the log',
    'log',
    'untrusted',
    {
      tamper: ({ files, log }) => {
        const path = `tile/entries/000.p/${log.entries.length}`;
        files.set(path, flipped(files.get(path)!));
      },
    },
  ],
  [
    'the entries left out',
    'log',
    'not_ready',
    {
      tamper: ({ files, log }) => void files.delete(`tile/entries/000.p/${log.entries.length}`),
    },
  ],
  [
    'a leaf that breaks a rule',
    'log',
    'log_misconduct',
    {
      tamper: async (scene) => {
        const { log } = scene;
        const leaf = await revocationLeaf(revocation({ fleet: 'first', serial: 9, digest: '9'.repeat(64) }));
        log.write(leaf);
        await log.append();
        await scene.publish();
      },
    },
  ],
  [
    'a roster by another key',
    'roster',
    'signature_missing',
    {
      options: { maximumLeaves: 1 },
      tamper: async (scene) => {
        const other = new TestLog(scene.policy, { roster: key('cosigner.example/other') });
        other.entries.push(...scene.log.entries);
        other.state = scene.log.state;
        const entries = other.entries.length;
        await other.append();
        expect(other.entries.length).toBe(entries + 1);
        await scene.publish(other);
      },
    },
  ],
  [
    'the past, as it was seen before',
    'history',
    'split_view',
    {
      options: { seen: { origin: 'log.example/family/production', size: 3, root: '3'.repeat(64) } },
    },
  ],
  [
    'entries that were seen before, taken back',
    'history',
    'rolled_back',
    {
      options: { seen: { origin: 'log.example/family/production', size: 300, root: '3'.repeat(64) } },
    },
  ],
  [
    'the trust set left out',
    'bundle',
    'trust_unavailable',
    { tamper: ({ files }) => void files.delete('trust/first') },
  ],
  [
    'a limit in the bundle',
    'bundle',
    'signature_invalid',
    {
      tamper: (scene) => replaceText(scene, 'trust/first', /\\"limit\\":10/, '\\"limit\\":11'),
    },
  ],
  [
    'the operator’s signature',
    'bundle',
    'signature_missing',
    {
      tamper: (scene) => replaceText(scene, 'trust/first', /— operator\.example\/bundle [^\\]*\\n/, ''),
    },
  ],
  [
    'a revocation',
    'revocations',
    'bundle_revoked',
    {
      tamper: async (scene) => {
        const digest = digestOfManifest(scene.folder.manifest);
        await scene.log.append(await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest })));
        await scene.publish();
      },
    },
  ],
  [
    'a proof of inclusion',
    'acceptance',
    'proof_invalid',
    {
      tamper: (scene) =>
        replaceText(scene, 'trust/first', /index \d+\\n[A-Za-z0-9+/]{43}=/, `index 10\\n${'A'.repeat(43)}=`),
    },
  ],
  [
    'an old bundle, with an old log',
    'acceptance',
    'bundle_superseded',
    {
      tamper: async (scene) => {
        const old = scene.files.get('trust/first')!;
        const { manifest } = scene.folder;
        await scene.log.accept({ ...following(manifest), evidence: manifest.evidence });
        await scene.publish();
        scene.files.set('trust/first', old);
      },
    },
  ],
  [
    'a bundle that has run out',
    'strength',
    'bundle_expired',
    {
      changes: { bundle: { notAfter: NOW - DAY } },
    },
  ],
  [
    'a bundle below the floors',
    'strength',
    'policy_floor',
    {
      changes: { bundle: { policy: { ...deployment().policy, limit: 50 } } },
    },
  ],
  [
    'the evidence left out',
    'evidence',
    'evidence_missing',
    { tamper: (scene) => void scene.files.delete(bundlePath(scene)) },
  ],
  [
    'the evidence manifest',
    'evidence',
    'evidence_wrong',
    {
      tamper: (scene) => void scene.files.set(bundlePath(scene), flipped(scene.files.get(bundlePath(scene))!)),
    },
  ],
  [
    'evidence without the ceremony',
    'evidence',
    'evidence_missing',
    {
      changes: { statements: (all) => all.filter(({ kind }) => kind !== 'ceremony') },
    },
  ],
  ['evidence that is not in the log', 'logged', 'evidence_unlogged', { changes: { unlogged: [-1] } }],
  ['a statement that is not in the log', 'logged', 'evidence_unlogged', { changes: { unlogged: [2] } }],
  [
    'a statement',
    'statements',
    'evidence_wrong',
    {
      tamper: (scene) =>
        void scene.files.set(statementPath(scene, 1), flipped(scene.files.get(statementPath(scene, 1))!)),
    },
  ],
  [
    'a statement left out',
    'statements',
    'evidence_missing',
    { tamper: (scene) => void scene.files.delete(statementPath(scene, 0)) },
  ],
  [
    'the signature on a statement',
    'statements',
    'evidence_signature',
    {
      changes: {
        signed: (files) =>
          files.map((file, i) => (i === 4 ? utf8(fromUtf8(file).replace(/"sig":"..../, '"sig":"AAAA')) : file)),
      },
    },
  ],
  [
    'the class of a token',
    'token-class',
    'token_class_unproven',
    {
      changes: {
        bundle: { nodes: deployment().nodes.map((node) => ({ ...node, tokenClass: 'attested' as const })) },
      },
    },
  ],
  ['a limit by which nodes count', 'service-record', 'evidence_mismatch', { changes: { nodePolicy: { limit: 100 } } }],
  [
    'a report that no token has signed',
    'service-record',
    'evidence_signature',
    {
      changes: {
        service: (record) => ({
          ...record,
          reports: record.reports.map((report, i) =>
            i === 1 ? { ...report, signature: record.reports[0]!.signature } : report,
          ),
        }),
      },
    },
  ],
  [
    'a report in the place of another',
    'service-record',
    'evidence_mismatch',
    {
      changes: {
        service: (record) => ({
          ...record,
          reports: record.reports.map((report, i) => (i === 1 ? { ...record.reports[0]!, node: 2 } : report)),
        }),
      },
    },
  ],
  [
    'the Plexi view’s digest',
    'plexi',
    'split_view',
    {
      tamper: (scene) =>
        replaceText(scene, 'namespaces/family.production.first/audits/1', /"digest":"[0-9a-f]{4}/, '"digest":"ffff'),
    },
  ],
  [
    'the Plexi view’s signature',
    'plexi',
    'signature_invalid',
    {
      tamper: (scene) => scene.publish(scene.log, key('cosigner.example/plexi', 'ed25519', 'another')),
    },
  ],
];

describe('an audit', () => {
  it('of a site in order passes, and claims no more than is proven', async () => {
    const report = await (await AuditScene.make()).audit();
    expect(Object.fromEntries(AUDIT_STEPS.map((id) => [id, resultOf(report, id)]))).toEqual(IN_ORDER);
    expect(report.passed).toBe(true);
    expect(report.steps.map(({ number }) => number)).toEqual(AUDIT_STEPS.map((_, i) => i + 1));
    const { message } = report.steps.find(({ id }) => id === 'token-class')!;
    expect(message).toBe(
      'The operator states that these keys live in Example Tokens Vault 2. Nothing independent confirms it.',
    );
    expect(failureOf(report)).toBeUndefined();
  });

  it.each(TAMPERED)(
    'finds %s tampered with: step %s fails with %s',
    async (_what, id, code, { changes, tamper, options }) => {
      const scene = await AuditScene.make(changes);
      await tamper?.(scene);
      const report = await scene.audit(options);
      expect(`${id}: ${resultOf(report, id)}`).toBe(`${id}: ${code}`);
      expect(report.passed).toBe(false);
      // What comes before it is as it was; and whatever failed, no step is left out.
      const before = AUDIT_STEPS.slice(0, AUDIT_STEPS.indexOf(id));
      expect(
        before.filter((each) => resultOf(report, each) !== IN_ORDER[each] && !(each === 'anchor' || each === 'log')),
      ).toEqual([]);
      const ids = report.steps.map((step) => step.id);
      expect(ids.slice(0, SITE_STEPS.length)).toEqual([...SITE_STEPS]);
      if (report.fleets.length > 0) expect(ids.slice(SITE_STEPS.length)).toEqual([...FLEET_STEPS]);
    },
  );

  it('has a row of tampering for every step that can fail by itself', () => {
    const found = new Set(TAMPERED.map(([, id]) => id));
    // What these three refuse is in the table of test/evidence/verify.test.ts, on which they rest.
    expect(AUDIT_STEPS.filter((id) => !found.has(id))).toEqual(['node-keys', 'ceremony', 'software']);
  });

  it('says that a policy from the site itself proves nothing about who vouches', async () => {
    const report = await (await AuditScene.make()).audit({ anchor: undefined });
    expect(resultOf(report, 'anchor')).toBe('stated');
    expect(report.steps[0]!.message).toContain('comes from the site that is being checked');
  });

  it('compares with an earlier report', async () => {
    const scene = await AuditScene.make();
    const seen = seenInReport(auditReportJson(await scene.audit()));
    await scene.log.append();
    await scene.publish();
    const later = await scene.audit({ seen });
    expect(resultOf(later, 'history')).toBe('passed');
    expect(resultOf(await scene.audit({ seen, maximumLeaves: 2 }), 'history')).toBe('passed');
    const other = await AuditScene.make({ bundle: { coordinators: ['https://c.vault.example'] } });
    await other.log.append();
    await other.publish();
    expect(resultOf(await other.audit({ seen }), 'history')).toBe('split_view');
    expect(resultOf(await other.audit({ seen, maximumLeaves: 2 }), 'history')).toBe('split_view');
  });

  it('of a log that is too long to read says which steps are left out', async () => {
    const report = await (await AuditScene.make()).audit({ maximumLeaves: 2 });
    const left = AUDIT_STEPS.filter((id) => resultOf(report, id) !== IN_ORDER[id]);
    expect(left).toEqual(['log', 'logged', 'service-record']);
    expect(left.map((id) => resultOf(report, id))).toEqual(['not_checked', 'not_checked', 'not_checked']);
    expect(report.passed).toBe(true);
  });

  it('without a service record says that nothing is known of the limits', async () => {
    const report = await (await AuditScene.make({ withoutService: true })).audit();
    expect(resultOf(report, 'service-record')).toBe('not_checked');
    expect(report.passed).toBe(true);
  });

  it('passes over evidence of others, and what looks like a record of this fleet by another key', async () => {
    const scene = await AuditScene.make();
    await scene.logEvidence(utf8('{"something":"else"}'));
    const name = 'thief.example/evidence';
    const subject = { name: 'first bundle', sha256: digestOfManifest(scene.folder.manifest) };
    const reports = [{ node: 1, statement: utf8('x'), signature: new Uint8Array(70).fill(1) }];
    const predicate = { gathered: NOW, through: [], reports };
    await scene.logEvidence(signed({ kind: 'service-record', subject, predicate }, { ...EVIDENCE_KEY, name }));
    await scene.publish();
    expect(resultOf(await scene.audit(), 'service-record')).toBe('passed');
  });

  it('goes on with a fleet that retired', async () => {
    const scene = await AuditScene.make();
    const { manifest } = scene.folder;
    const next = following(manifest, { evidence: manifest.evidence });
    await scene.log.accept({ ...next, kind: 'retire', successor: 'second', sunset: NOW + 90 * DAY });
    await scene.publish();
    const report = await scene.audit();
    expect(resultOf(report, 'strength')).toBe('passed');
    expect(report.steps.find(({ id }) => id === 'strength')!.message).toContain('It has retired; second follows it');
    expect(resultOf(report, 'evidence')).toBe('passed');
  });

  it('passes over a revoked fleet where others are in force, unless it is named', async () => {
    const scene = await AuditScene.make();
    const { manifest } = scene.folder;
    const digest = digestOfManifest(manifest);
    await scene.log.append(await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest })));
    const nodes = [7, 8, 9].map((number) => bundleNode(number));
    await scene.log.accept(deployment({ fleet: 'second', nodes, evidence: manifest.evidence }));
    await scene.publish();
    expect((await scene.audit()).fleets).toEqual(['second']);
    expect(resultOf(await scene.audit({ fleet: 'first' }), 'revocations')).toBe('bundle_revoked');
  });

  it('finds a trust set of another history that is longer than the one of the checkpoint', async () => {
    const scene = await AuditScene.make();
    const fork = scene.log.fork();
    const last = fork.entries.pop()!;
    fork.entries.push(last.with(last.length - 3, last.at(-3)! ^ 1));
    await fork.append();
    scene.files.set('trust/first', await fork.trustSet());
    // Its tiles are those of the fork, so that a proof can be made at all.
    const writer = new TileWriter();
    for (const entry of fork.entries) writer.append(entry);
    for (const { tile, data } of writer.take()) if (tile.level === 0) scene.files.set(tilePath(tile), data);
    expect(resultOf(await scene.audit(), 'acceptance')).toBe('split_view');
  });

  it('takes a trust set that is newer than the checkpoint, if it continues it', async () => {
    const scene = await AuditScene.make();
    const before = scene.files.get('checkpoint')!;
    const entries = new Map([...scene.files].filter(([path]) => path.startsWith('tile/entries')));
    await scene.log.append();
    await scene.publish();
    scene.files.set('checkpoint', before);
    for (const [path, content] of entries) scene.files.set(path, content);
    expect(resultOf(await scene.audit(), 'acceptance')).toBe('passed');
  });

  it('of a site that goes on to another document meanwhile asks to be done again, and accuses nobody', async () => {
    const scene = await AuditScene.make();
    const before = new Map(scene.files);
    const { manifest } = scene.folder;
    const { sha256 } = manifest.evidence;
    const address = `https://mirror.example/evidence/${sha256}.json`;
    const next = following(manifest, { evidence: { sha256, address } });
    const size = scene.folder.files.get(sha256)!.length;
    await scene.log.append(evidenceLeaf({ sha256, size, address }));
    await scene.log.accept(next);
    await scene.publish();
    expect(resultOf(await scene.audit(), 'logged')).toBe('passed');
    // Its checkpoint and its entries were read a moment before, the rest after.
    for (const [path, content] of before) {
      if (path === 'checkpoint' || path.startsWith('tile/entries')) scene.files.set(path, content);
    }
    const report = await scene.audit();
    expect(resultOf(report, 'acceptance')).toBe('passed');
    expect(resultOf(report, 'logged')).toBe('not_ready');
    expect(failureOf(report)).toMatchObject({ code: 'not_ready', message: expect.stringContaining('again') });
  });

  it('refuses evidence signed by a key that has another purpose', async () => {
    const bundleKey = {
      name: OPERATOR.name,
      ...publicKeyOf('Ed25519', parseVerifierKey(OPERATOR.verifierKey).publicKey),
    };
    const scene = await AuditScene.make({
      evidence: (evidence) => ({ ...evidence, keys: [...evidence.keys, bundleKey] }),
    });
    expect(resultOf(await scene.audit(), 'evidence')).toBe('evidence_mismatch');
  });

  it('wants an exchange with a key in the log in its order, before the statement that reveals its secret', async () => {
    const secret = sha256(utf8('ephemeral'));
    const description = descriptionDigest(deployment());
    const about = { description, node: 'node-1', label: 'holdfast/oprf' };
    const { commitment, answer } = agreementTexts(about, secret, point('node-1 oprf'))!;
    const proof = { kind: 'agreement' as const, secret, signature: signWith('node-1 identity', utf8(answer)) };
    const statements = (all: Statement[]) =>
      all.map((each): Statement => {
        if (each.kind !== 'node-keys' || each.predicate.node !== 'node-1') return each;
        const keys = each.predicate.keys.map((one) => (one.name === 'oprf' ? { ...one, proof } : one));
        return { ...each, predicate: { ...each.predicate, keys } };
      });
    const result = async (first: readonly string[]) =>
      resultOf(await (await AuditScene.make({ statements, first })).audit(), 'node-keys');
    expect(await result([commitment, answer])).toBe('passed');
    expect(await result([answer, commitment])).toBe('possession_invalid');
    expect(await result([answer])).toBe('possession_invalid');
    expect(await result([])).toBe('possession_invalid');
  });

  it('reads a log in pieces, and is cancelled between them', async () => {
    const scene = await AuditScene.make();
    for (let i = 0; i < 40; i++) await scene.log.append();
    await scene.publish();
    const whole = await scene.audit();
    expect(whole.passed).toBe(true);
    expect(whole.steps.find(({ id }) => id === 'log')!.facts.size).toBe(scene.log.entries.length);
    const stop = new AbortController();
    const options = scene.options();
    const source = {
      fetch: async (address: string, maximum: number, signal: AbortSignal | undefined) => {
        const found = await options.source.fetch(address, maximum, signal);
        if (address.includes('/tile/entries/')) stop.abort();
        return found;
      },
    };
    await expect(runAudit({ ...options, source, signal: stop.signal })).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('of one fleet that the log does not list is refused', async () => {
    const scene = await AuditScene.make();
    await expect(scene.audit({ fleet: 'second' })).rejects.toMatchObject({ code: 'not_accepted' });
  });

  it('ends when it is cancelled', async () => {
    const scene = await AuditScene.make();
    const stop = new AbortController();
    const options = scene.options({ signal: stop.signal, onBegin: (id) => void (id === 'log' && stop.abort()) });
    await expect(
      runAudit({
        ...options,
        source: {
          fetch: async (...all) => {
            stop.signal.throwIfAborted();
            return options.source.fetch(...all);
          },
        },
      }),
    ).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('of a site that nobody reaches fails as unreachable, and not as untrusted', async () => {
    const scene = await AuditScene.make();
    const source = {
      fetch: async (): Promise<Uint8Array> => {
        throw new HoldfastError('not_ready', 'no answer');
      },
    };
    const report = await scene.audit({ source });
    expect(failureOf(report)).toMatchObject({ code: 'not_ready', exitCode: 5 });
  });

  it('of a hostile site that serves anything without end is bounded', async () => {
    const scene = await AuditScene.make();
    let most = 0;
    const source = {
      fetch: async (_address: string, maximumBytes: number) => {
        most = Math.max(most, maximumBytes);
        return new Uint8Array(maximumBytes + 1);
      },
    };
    const report = await scene.audit({ source });
    expect(resultOf(report, 'checkpoint')).toBe('not_checked');
    expect(resultOf(report, 'policy')).toBe('too_large');
    expect(most).toBeLessThanOrEqual(20 * 2 ** 20);
  });

  it('shows a bundle signed by one party only as that', async () => {
    const scene = await AuditScene.make();
    const alone = serialiseNote(await signBundle(scene.folder.manifest, COSIGNER));
    scene.files.set('trust/first', await scene.log.trustSet('first', { changes: { bundle: alone } }));
    expect(resultOf(await scene.audit(), 'bundle')).toBe('signature_missing');
  });

  it('has texts for every step', () => {
    expect(Object.keys(AUDIT_TEXTS).sort()).toEqual([...AUDIT_STEPS].sort());
    expect(
      Object.values(AUDIT_TEXTS)
        .flatMap((text) => Object.values(text))
        .filter((text) => text.length < 8),
    ).toEqual([]);
    expect(SITE).toMatch(/^https:/);
  });
});
