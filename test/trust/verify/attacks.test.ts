/** The attack table of docs/trust.md: each row is what somebody tries, and the exact code with which a client refuses it. */

import { describe, expect, it } from 'vitest';
import {
  cosign,
  type LiveManifest,
  nextRoster,
  noteLeaf,
  parseTrustSet,
  parseVerifierKey,
  type Roster,
  type RosterEntry,
  type SignedNote,
  type SignedPolicy,
  serialiseBundle,
  serialiseNote,
  serialiseRoster,
  serialiseTrustSet,
  signNote,
  type TrustPolicy,
  type TrustRequest,
  type TrustSet,
} from '../../../src/trust/index.ts';
import {
  acceptance,
  COSIGNER,
  digestOfManifest,
  evidence,
  hex,
  key,
  nextPolicy,
  OPERATOR,
  ORIGIN,
  POLICY_KEYS,
  proposal,
  REVOKER,
  ROSTER,
  revocationLeaf,
  signBundle,
  signPolicy,
  TestLog,
  tlogText,
  trustPolicy,
  WITNESSES,
} from '../fixture.ts';
import { bundleNode, DAY, deployment, membership, NOW, nextEpoch, retirement, revocation } from '../manifests.ts';
import { FIRST, following, readerOf, type Scene, SECOND, scene, verdict } from './scene.ts';

type Attack = (honest: Scene) => Promise<Partial<TrustRequest>>;
type Row = [code: string, what: string, attack: Attack];

const HOUR = 3_600_000;
const otherNodes = [1, 2, 3].map((number) => bundleNode(number, `other-${number}`));

/** The set of `log`, parts of which were replaced. */
const setWith = async (log: TestLog, changes: Partial<TrustSet>, fleet = 'first') =>
  await log.trustSet(fleet, { changes });

const witnessed = (time: number, names: readonly string[] = WITNESSES) =>
  Object.fromEntries(names.map((name) => [name, time]));

/** The acceptance's note of `manifest`, changed in its lines. */
async function lines(manifest: LiveManifest, change: (note: SignedNote) => SignedNote): Promise<string> {
  return serialiseNote(change(await signBundle(manifest, COSIGNER, OPERATOR)));
}

/** The log with an acceptance that its honest software would refuse, and a roster that fits to it. */
async function withLeaf(log: TestLog, entry: Uint8Array, manifest: LiveManifest): Promise<TestLog> {
  const fork = log.fork();
  const index = fork.entries.length;
  fork.write(entry);
  const listed = {
    fleet: manifest.fleet,
    serial: manifest.serial,
    digest: digestOfManifest(manifest),
    index,
    state: 'live' as const,
  };
  await falseRoster(fork, (fleets) => [...fleets.filter(({ fleet }) => fleet !== manifest.fleet), listed]);
  return fork;
}

/** Ends a batch with a roster of the attacker's making. */
async function falseRoster(
  log: TestLog,
  change: (fleets: readonly RosterEntry[]) => readonly RosterEntry[],
  rest: Partial<Roster> = {},
  signer = ROSTER,
): Promise<void> {
  const right = nextRoster(log.state);
  const text = serialiseRoster({ ...right, fleets: change(right.fleets), ...rest });
  log.write(noteLeaf('roster', await signNote(text, [signer])));
}

/** The set of a log whose `state` knows nothing of the acceptance at `index`. */
async function setAt(log: TestLog, index: number, size = log.entries.length): Promise<Uint8Array> {
  const checkpoint = await log.checkpoint({ size });
  return serialiseTrustSet({
    bundle: log.noteAt(index),
    acceptance: await log.proof(index, checkpoint, size),
    roster: new TextDecoder().decode(log.entries[size - 1]),
    rosterProof: await log.proof(size - 1, checkpoint, size),
    revocation: undefined,
    policies: log.policies(),
  });
}

async function revoked(signer = REVOKER): Promise<Uint8Array> {
  return await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) }), signer);
}

const table = (name: string, rows: readonly Row[]) => {
  describe(name, () => {
    it.each(rows)('%s: %s', async (code, _, attack) => {
      const honest = await scene();
      expect(await verdict({ ...honest.request, ...(await attack(honest)) })).toBe(code);
    });
  });
};

table('signatures', [
  ['trusted', 'nothing at all is changed', async () => ({})],
  [
    'signature_missing',
    'only the cosigner has signed',
    async ({ log }) => ({
      set: await setWith(log, { bundle: serialiseNote(await signBundle(FIRST, COSIGNER)) }),
    }),
  ],
  [
    'signature_missing',
    'only the operator has signed',
    async ({ log }) => ({
      set: await setWith(log, { bundle: serialiseNote(await signBundle(FIRST, OPERATOR)) }),
    }),
  ],
  [
    'signature_missing',
    'a revoker has signed for the operator',
    async ({ log }) => ({
      set: await setWith(log, { bundle: serialiseNote(await signBundle(FIRST, COSIGNER, REVOKER)) }),
    }),
  ],
  [
    'signature_invalid',
    'another key has the operator’s name and, by chance or work, its ID',
    async ({ log }) => ({
      set: await setWith(log, {
        bundle: await lines(FIRST, ({ text, signatures }) => ({
          text,
          signatures: [signatures[0]!, { ...signatures[1]!, signature: new Uint8Array(64).fill(7) }],
        })),
      }),
    }),
  ],
  [
    'signature_missing',
    'another key has the operator’s ID under another name',
    async ({ log }) => ({
      set: await setWith(log, {
        bundle: await lines(FIRST, ({ text, signatures }) => ({
          text,
          signatures: [signatures[0]!, { ...signatures[1]!, name: 'operator.example/other' }],
        })),
      }),
    }),
  ],
  [
    'signature_missing',
    'another key has the operator’s name',
    async ({ log }) => ({
      set: await setWith(log, {
        bundle: serialiseNote(await signBundle(FIRST, COSIGNER, key(OPERATOR.name, 'ed25519', 'thief'))),
      }),
    }),
  ],
  [
    'signature_invalid',
    'the operator’s line stands twice',
    async ({ log }) => ({
      set: await setWith(log, { bundle: serialiseNote(await signBundle(FIRST, COSIGNER, OPERATOR, OPERATOR)) }),
    }),
  ],
  [
    'bundle_malformed',
    'the lines stand in another order',
    async ({ log }) => ({
      set: await setWith(log, { bundle: serialiseNote(await signBundle(FIRST, OPERATOR, COSIGNER)) }),
    }),
  ],
  [
    'bundle_malformed',
    'an unknown line stands between',
    async ({ log }) => ({
      set: await setWith(log, { bundle: serialiseNote(await signBundle(FIRST, COSIGNER, key('x/y'), OPERATOR)) }),
    }),
  ],
  [
    'signature_invalid',
    'the signatures of one text stand under another',
    async ({ log }) => {
      const right = await signBundle(FIRST, COSIGNER, OPERATOR);
      const { text } = await signBundle({ ...FIRST, coordinators: ['https://evil.example'] }, COSIGNER);
      return { set: await setWith(log, { bundle: serialiseNote({ text, signatures: right.signatures }) }) };
    },
  ],
]);

table('the log', [
  [
    'proof_invalid',
    'both have signed a bundle for one victim, and nobody logged it',
    async ({ log }) => ({
      set: await setWith(log, { bundle: serialiseNote(await signBundle(SECOND, COSIGNER, OPERATOR)) }),
    }),
  ],
  [
    'proof_invalid',
    'the proposal’s place is shown as the acceptance’s',
    async ({ log }) => ({
      set: await setWith(log, { acceptance: await log.proof(3, await log.checkpoint()) }),
    }),
  ],
  [
    'not_accepted',
    'the acceptance is logged, and the roster leaves it out',
    async ({ log }) => {
      const fork = log.fork();
      await falseRoster(fork, () => []);
      return { set: await fork.trustSet() };
    },
  ],
  [
    'proof_invalid',
    'a bundle comes with the proof of another',
    async ({ log }) => {
      const newer = log.fork();
      await newer.accept(SECOND);
      const { bundle } = parseTrustSet(await log.trustSet());
      return { set: await setWith(newer, { bundle }) };
    },
  ],
  [
    'proof_invalid',
    'the proofs are of two checkpoints',
    async ({ log }) => {
      const { roster, rosterProof } = parseTrustSet(await log.trustSet());
      const newer = log.fork();
      await newer.append(evidence());
      return { set: await setWith(newer, { roster, rosterProof }) };
    },
  ],
  [
    'proof_invalid',
    'the checkpoint is of a log without these leaves',
    async ({ log, policy }) => {
      const empty = new TestLog(policy);
      await empty.accept(deployment({ nodes: otherNodes }));
      await empty.append(evidence());
      const checkpoint = await empty.checkpoint();
      return {
        set: await setWith(log, {
          acceptance: await log.proof(4, checkpoint),
          rosterProof: await log.proof(5, checkpoint),
        }),
      };
    },
  ],
  [
    'wrong_origin',
    'the log is another one',
    async ({ log }) => ({
      set: await log.trustSet('first', { origin: 'evil.example/log', log: key('evil.example/log') }),
    }),
  ],
  [
    'signature_missing',
    'another key has signed for the log',
    async ({ log }) => ({
      set: await log.trustSet('first', { log: key(ORIGIN, 'ed25519', 'thief') }),
    }),
  ],
  [
    'bundle_superseded',
    'an old bundle is shown beside the newest roster',
    async ({ log }) => {
      await log.accept(SECOND);
      return { set: await setAt(log, 4) };
    },
  ],
  [
    'trusted',
    'a stolen cosigner’s key has squatted serial 2, and serial 3 goes on',
    async ({ log }) => {
      const squatted = following(FIRST, { coordinators: ['https://evil.example'] });
      await log.append(await proposal(squatted));
      await log.accept(following(FIRST, { serial: 3, previous: digestOfManifest(squatted) }));
      return { set: await log.trustSet() };
    },
  ],
]);

table('the roster', [
  [
    'roster_wrong',
    'it is not the last leaf',
    async ({ log }) => {
      const size = log.entries.length;
      const newer = log.fork();
      newer.write(evidence());
      const checkpoint = await newer.checkpoint();
      return {
        set: await setWith(log, {
          acceptance: await newer.proof(4, checkpoint),
          rosterProof: await newer.proof(size - 1, checkpoint),
        }),
      };
    },
  ],
  [
    'bundle_malformed',
    'the last leaf is none',
    async ({ log }) => {
      log.write(evidence());
      return { set: await log.trustSet() };
    },
  ],
  [
    'signature_missing',
    'the bundle key has signed it',
    async ({ log }) => {
      await falseRoster(log, (fleets) => fleets, {}, COSIGNER);
      return { set: await log.trustSet() };
    },
  ],
  [
    'roster_wrong',
    'it lists another digest at this serial',
    async ({ log }) => {
      await falseRoster(log, ([first]) => [{ ...first!, digest: 'a'.repeat(64) }]);
      return { set: await log.trustSet() };
    },
  ],
  [
    'roster_wrong',
    'it lists an older serial than was accepted',
    async ({ log }) => {
      await log.accept(SECOND);
      await falseRoster(log, ([first]) => [{ ...first!, serial: 1 }]);
      return { set: await log.trustSet() };
    },
  ],
  [
    'roster_wrong',
    'it lists another place',
    async ({ log }) => {
      await falseRoster(log, ([first]) => [{ ...first!, index: 0 }]);
      return { set: await log.trustSet() };
    },
  ],
  [
    'roster_wrong',
    'it was made for another size',
    async ({ log }) => {
      await falseRoster(log, (fleets) => fleets, { size: 3 });
      return { set: await log.trustSet() };
    },
  ],
  [
    'roster_wrong',
    'it is of another log',
    async ({ log }) => {
      await falseRoster(log, (fleets) => fleets, { origin: 'evil.example/log' });
      return { set: await log.trustSet() };
    },
  ],
  [
    'roster_wrong',
    'it lists a retired fleet as live',
    async ({ log }) => {
      const retired = retirement(following(FIRST));
      await log.accept(retired);
      await falseRoster(log, ([first]) => [{ ...first!, state: 'live' }]);
      return { set: await log.trustSet(), operation: 'follow' };
    },
  ],
  [
    'quorum_not_met',
    'it resurrects a revoked fleet, which no auditing witness cosigns',
    async ({ log }) => {
      const live = nextRoster(log.state).fleets;
      log.write(await revoked());
      await falseRoster(log, () => live);
      return { set: await log.trustSet('first', { witnessed: witnessed(NOW - HOUR, WITNESSES.slice(1)) }) };
    },
  ],
]);

table('witnesses and time', [
  [
    'quorum_not_met',
    'nobody has cosigned',
    async ({ log }) => ({ set: await log.trustSet('first', { witnessed: {} }) }),
  ],
  [
    'quorum_not_met',
    'only cosigner’s witness and one other have',
    async ({ log }) => ({
      set: await log.trustSet('first', { witnessed: witnessed(NOW, [WITNESSES[1], WITNESSES[3]]) }),
    }),
  ],
  [
    'signature_invalid',
    'a cosignature is false',
    async ({ log }) => {
      const checkpoint = await log.checkpoint();
      const [first, second, ...others] = checkpoint.signatures;
      const signature = second!.signature.slice();
      signature[20]! ^= 1;
      const changed = { text: checkpoint.text, signatures: [first!, { ...second!, signature }, ...others] };
      return {
        set: await setWith(log, { acceptance: await log.proof(4, changed), rosterProof: await log.proof(5, changed) }),
      };
    },
  ],
  [
    'signature_invalid',
    'a witness’s time was changed',
    async ({ log }) => {
      const checkpoint = await log.checkpoint({ witnessed: witnessed(NOW - 3 * DAY) });
      const signatures = checkpoint.signatures.map((line, i) => {
        if (i === 0) return line;
        const signature = line.signature.slice();
        new DataView(signature.buffer).setBigUint64(0, BigInt(NOW / 1000));
        return { ...line, signature };
      });
      const changed = { text: checkpoint.text, signatures };
      return {
        set: await setWith(log, { acceptance: await log.proof(4, changed), rosterProof: await log.proof(5, changed) }),
      };
    },
  ],
  [
    'signature_invalid',
    'a witness has two lines with different times',
    async ({ log }) => {
      const checkpoint = await log.checkpoint({ witnessed: witnessed(NOW - 3 * DAY) });
      const again = await cosign(checkpoint.text, key(WITNESSES[0], 'cosignature'), NOW / 1000);
      const changed = { text: checkpoint.text, signatures: [...checkpoint.signatures, again] };
      return {
        set: await setWith(log, { acceptance: await log.proof(4, changed), rosterProof: await log.proof(5, changed) }),
      };
    },
  ],
  [
    'log_stale',
    'freeze: an old state is shown to somebody who enrols',
    async ({ log }) => ({
      set: await log.trustSet('first', { witnessed: witnessed(NOW - 2 * DAY) }),
    }),
  ],
  [
    'log_stale',
    'freeze: an old state is shown to a client that has trusted it, to move there',
    async ({ log, state }) => ({
      set: await log.trustSet('first', { witnessed: witnessed(NOW - 2 * DAY) }),
      state: { ...state, time: 1 },
      operation: 'move',
    }),
  ],
  [
    'log_stale',
    'freeze: an old state with a bundle unknown here, to recover',
    async ({ log, state }) => {
      await log.accept(SECOND);
      return {
        set: await log.trustSet('first', { witnessed: witnessed(NOW - 2 * DAY) }),
        state: { ...state, time: 1 },
        operation: 'recover',
      };
    },
  ],
  [
    'trusted',
    'grace: what is trusted already goes on for 14 days',
    async ({ log, state }) => ({
      set: await log.trustSet('first', { witnessed: witnessed(NOW - 13 * DAY) }),
      state: { ...state, time: 1 },
      operation: 'recover',
    }),
  ],
  [
    'log_stale',
    'a revocation is suppressed for longer than graceAge',
    async ({ log, state }) => ({
      set: await log.trustSet('first', { witnessed: witnessed(NOW - 15 * DAY) }),
      state: { ...state, time: 1 },
      operation: 'recover',
    }),
  ],
  [
    'log_stale',
    'one witness of the quorum is old, the others are fresh',
    async ({ log }) => ({
      set: await log.trustSet('first', {
        witnessed: { [WITNESSES[0]]: NOW - 2 * DAY, [WITNESSES[1]]: NOW, [WITNESSES[2]]: NOW },
      }),
    }),
  ],
  [
    'clock_fault',
    'the auditing witness lies about the future',
    async ({ log }) => ({
      set: await log.trustSet('first', { witnessed: { ...witnessed(NOW), [WITNESSES[0]]: NOW + 365 * DAY } }),
    }),
  ],
  [
    'trusted',
    'another witness lies about the future, and the quorum does without it',
    async ({ log }) => ({
      set: await log.trustSet('first', { witnessed: { ...witnessed(NOW), [WITNESSES[1]]: NOW + 365 * DAY } }),
    }),
  ],
  ['clock_fault', 'the clock is before the build', async () => ({ builtAt: NOW + HOUR })],
  [
    'clock_fault',
    'the clock is before what witnesses vouched for',
    async ({ state }) => ({ state, clock: NOW - 2 * HOUR }),
  ],
  ['clock_fault', 'the clock tells no number', async () => ({ clock: Number.NaN })],
]);

table('going back', [
  [
    'rolled_back',
    'the log has become smaller',
    async ({ log, state }) => {
      const set = await log.trustSet();
      return { set, state: { ...state, size: log.entries.length + 1 } };
    },
  ],
  [
    'split_view',
    'two clients see two roots of one size',
    async ({ policy, state }) => {
      const other = new TestLog(policy);
      await other.append(noteLeaf('policy', policy.note));
      await other.append(evidence('d'.repeat(64)), await proposal(FIRST), await acceptance(FIRST));
      return { set: await other.trustSet(), state, reader: readerOf(other) };
    },
  ],
  [
    'split_view',
    'the log’s operator has rewritten it',
    async ({ policy, state }) => {
      const other = new TestLog(policy);
      await other.append(noteLeaf('policy', policy.note));
      await other.append(evidence('d'.repeat(64)));
      await other.accept(FIRST);
      return { set: await other.trustSet(), state, reader: readerOf(other) };
    },
  ],
  [
    'split_view',
    'the policy’s floor is not in the log',
    async ({ log }) => {
      const signed = await signPolicy(trustPolicy({ floor: { size: 3, root: 'a'.repeat(64), serial: 1 } }));
      return { policy: signed, set: await setWith(log, { policies: [] }), ...(await withoutHint(signed)) };
    },
  ],
  [
    'rolled_back',
    'the log is smaller than the policy’s floor',
    async () => {
      const signed = await signPolicy(trustPolicy({ floor: { size: 30, root: 'a'.repeat(64), serial: 1 } }));
      return await withoutHint(signed);
    },
  ],
  [
    'rolled_back',
    'the serial is below the policy’s floor',
    async () => {
      const signed = await signPolicy(trustPolicy({ floor: { ...trustPolicy().floor, serial: 2 } }));
      return await withoutHint(signed);
    },
  ],
  [
    'rolled_back',
    'the serial is below the one that was trusted',
    async ({ state }) => ({
      state: { ...state, fleets: [{ ...state.fleets[0]!, serial: 2 }] },
    }),
  ],
  [
    'chain_broken',
    'there are two bundles of one serial',
    async ({ state }) => ({
      state: { ...state, fleets: [{ ...state.fleets[0]!, digest: 'a'.repeat(64) }] },
    }),
  ],
  [
    'trusted',
    'the bundle follows from the one that was trusted',
    async ({ log, state }) => {
      await log.accept(SECOND);
      return { state, set: await log.trustSet() };
    },
  ],
  [
    'chain_broken',
    'fast-forward: a serial far ahead that comes from elsewhere',
    async ({ log, state }) => {
      const far = deployment({ serial: 100, previous: 'b'.repeat(64), accepted: digestOfManifest(following(SECOND)) });
      const jumped = await withLeaf(log, await acceptance(far), far);
      const elsewhere = following(SECOND, { accepted: 'c'.repeat(64) });
      return {
        state,
        set: await setAt(jumped, 6),
        reader: { ...readerOf(jumped), bundleText: async () => (await signBundle(elsewhere, COSIGNER)).text },
      };
    },
  ],
  [
    'chain_broken',
    'fast-forward: a serial far ahead that comes from nowhere',
    async ({ log, state }) => {
      const far = deployment({ serial: 100, previous: 'b'.repeat(64) });
      const jumped = await withLeaf(log, await acceptance(far), far);
      return { state, set: await setAt(jumped, 6), reader: readerOf(jumped) };
    },
  ],
  [
    'chain_broken',
    'other nodes in the same epoch',
    async ({ log, state }) => {
      const swapped = following(FIRST, { nodes: otherNodes });
      const fork = await withLeaf(log, await acceptance(swapped), swapped);
      return { state, set: await setAt(fork, 6), reader: readerOf(fork, FIRST) };
    },
  ],
  [
    'trusted',
    'a new token in the next epoch, which carries the one before',
    async ({ log, state }) => {
      const second = following(FIRST, nextEpoch(FIRST, { 3: 'new-3' }));
      await log.accept(second);
      return { state, set: await log.trustSet(), reader: readerOf(log, FIRST) };
    },
  ],
  [
    'chain_broken',
    'an earlier epoch is rewritten: another token is said to have been a member',
    async (honest) =>
      await unlawful(honest, [], {
        ...nextEpoch(FIRST, { 3: 'new-3' }),
        earlier: [membership({ ...FIRST, nodes: [...FIRST.nodes.slice(0, 2), bundleNode(3, 'thief')] })],
      }),
  ],
  [
    'chain_broken',
    'the epoch before is dropped, so that nobody’s record can be read',
    async (honest) =>
      await unlawful(honest, [], { epoch: 2, nodes: nextEpoch(FIRST, { 3: 'new-3' }).nodes, earlier: [] }),
  ],
  [
    'chain_broken',
    'an earlier epoch is dropped within an epoch',
    async (honest) => {
      const second = following(FIRST, nextEpoch(FIRST, { 3: 'new-3' }));
      return await unlawful(honest, [second], { earlier: [] });
    },
  ],
  [
    'chain_broken',
    'an earlier epoch is rewritten within an epoch',
    async (honest) => {
      const second = following(FIRST, nextEpoch(FIRST, { 3: 'new-3' }));
      const nodes = [...FIRST.nodes.slice(0, 2), bundleNode(3, 'thief')];
      return await unlawful(honest, [second], { earlier: [membership({ ...FIRST, nodes })] });
    },
  ],
  [
    'chain_broken',
    'the epoch before the last is rewritten in the next',
    async (honest) => {
      const second = following(FIRST, nextEpoch(FIRST, { 3: 'new-3' }));
      return await unlawful(honest, [second], {
        ...nextEpoch(second, { 3: 'newer-3' }),
        earlier: [
          membership({ ...FIRST, nodes: [bundleNode(1), bundleNode(2), bundleNode(3, 'thief')] }),
          membership(second),
        ],
      });
    },
  ],
  [
    'chain_broken',
    'an epoch that jumps',
    async (honest) => {
      const skipped = nextEpoch({ ...FIRST, epoch: 2 }, { 3: 'new-3' });
      return await unlawful(honest, [], skipped);
    },
  ],
  [
    'chain_broken',
    'fewer nodes stay than could have left the old epoch together',
    async (honest) => await unlawful(honest, [], nextEpoch(FIRST, { 2: 'new-2', 3: 'new-3' })),
  ],
  [
    'chain_broken',
    'what is fetched of the chain fits, and is not what the bundle names',
    async ({ log, state }) => {
      const third = following(SECOND, { accepted: 'c'.repeat(64) });
      const fork = await withLeaf(log, await acceptance(third), third);
      const first = digestOfManifest(FIRST);
      const bundleText = async (digest: string) => serialiseBundle(digest === first ? FIRST : SECOND);
      return { state, set: await setAt(fork, 6), reader: { ...readerOf(fork), bundleText } };
    },
  ],
  [
    'chain_broken',
    'the chain leads over a bundle of another fleet',
    async ({ log, state }) => {
      const other = { ...SECOND, fleet: 'second' };
      const third = following(SECOND, { accepted: digestOfManifest(other) });
      const fork = await withLeaf(log, await acceptance(third), third);
      return { state, set: await setAt(fork, 6), reader: readerOf(fork, FIRST, other) };
    },
  ],
  [
    'bundle_malformed',
    'what is fetched of the chain is no bundle',
    async ({ log, state }) => {
      await log.accept(SECOND);
      return { state, set: await log.trustSet(), reader: { ...readerOf(log), bundleText: async () => 'nothing\n' } };
    },
  ],
  [
    'wrong_environment',
    'the stored state is of another vault',
    async ({ state }) => ({ state: { ...state, vault: 'others' } }),
  ],
]);

/** A log that accepts, after lawful bundles, one with `changes` that breaks a rule, for a client that trusts serial 1. */
async function unlawful(
  { log, state }: Scene,
  lawful: readonly LiveManifest[],
  changes: Parameters<typeof following>[1],
): Promise<Partial<TrustRequest>> {
  for (const manifest of lawful) await log.accept(manifest);
  const bad = following(lawful.at(-1) ?? FIRST, changes);
  expect(log.fork().write(await proposal(bad))).toEqual([expect.stringMatching(/^(?:epoch|membership)_wrong$/)]);
  const index = log.entries.length;
  const fork = await withLeaf(log, await acceptance(bad), bad);
  return { state, set: await setAt(fork, index), reader: readerOf(fork, FIRST, ...lawful) };
}

/** The honest log again, for a client with another first policy, which the log does not know. */
async function withoutHint(policy: SignedPolicy): Promise<Partial<TrustRequest>> {
  const log = new TestLog(policy);
  await log.append(evidence('9'.repeat(64)));
  await log.accept(FIRST);
  return { policy, set: await log.trustSet(), reader: readerOf(log, FIRST) };
}

table('names and environments', [
  [
    'wrong_environment',
    'the testing fleet’s set is shown to production',
    async ({ request }) => ({
      configuration: { ...request.configuration, environment: 'testing' },
    }),
  ],
  [
    'wrong_environment',
    'another fleet of the same log is shown',
    async ({ log }) => {
      await log.accept(deployment({ fleet: 'second', nodes: otherNodes }));
      return { set: await log.trustSet('second') };
    },
  ],
  [
    'wrong_environment',
    'the configuration names a fleet that nothing leads to',
    async ({ log, request }) => {
      await log.accept(deployment({ fleet: 'second', nodes: otherNodes }));
      return { set: await log.trustSet('second'), configuration: { ...request.configuration, fleet: 'second' } };
    },
  ],
  [
    'wrong_environment',
    'both sign a testing bundle into production’s log',
    async ({ log }) => {
      const testing = { ...FIRST, environment: 'testing' };
      return { set: await setAt(await withLeaf(log, await acceptance(testing), testing), 6) };
    },
  ],
]);

table('bundles out of force', [
  ['bundle_expired', 'the bundle has expired', async () => await onlyBundle(deployment({ notAfter: NOW }))],
  [
    'bundle_not_yet_valid',
    'the bundle is not valid yet',
    async () => await onlyBundle(deployment({ notBefore: NOW + HOUR })),
  ],
  [
    'bundle_revoked',
    'the bundle is revoked',
    async ({ log }) => {
      await log.append(await revoked());
      return { set: await log.trustSet() };
    },
  ],
  [
    'bundle_revoked',
    'the bundle is revoked, for what was trusted',
    async ({ log, state }) => {
      await log.append(await revoked(OPERATOR));
      return { set: await log.trustSet(), state, operation: 'recover' };
    },
  ],
  [
    'bundle_revoked',
    'a revocation comes along, the roster notwithstanding',
    async ({ log }) => {
      const note = await signBundle(
        revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) }),
        COSIGNER,
      );
      return { set: await setWith(log, { revocation: serialiseNote(note) }) };
    },
  ],
  [
    'bundle_malformed',
    'a revocation of an older serial comes along',
    async ({ log }) => {
      await log.accept(SECOND);
      const note = await signBundle(
        revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) }),
        REVOKER,
      );
      return { set: await setWith(log, { revocation: serialiseNote(note) }) };
    },
  ],
  [
    'signature_missing',
    'a revocation of nobody who may',
    async ({ log }) => {
      const note = await signBundle(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) }), ROSTER);
      return { set: await setWith(log, { revocation: serialiseNote(note) }) };
    },
  ],
  [
    'bundle_retired',
    'a retired fleet, to enrol',
    async (honest) => await afterRetirement(honest, { operation: 'enrol' }),
  ],
  [
    'bundle_retired',
    'a retired fleet, to move there',
    async (honest) => await afterRetirement(honest, { operation: 'move' }),
  ],
  [
    'trusted',
    'a retired fleet before its sunset, to recover',
    async (honest) => await afterRetirement(honest, { operation: 'recover' }),
  ],
  [
    'bundle_retired',
    'a retired fleet after its sunset, to recover',
    async (honest) => await afterRetirement(honest, { operation: 'recover', sunset: NOW - HOUR }),
  ],
  [
    'trusted',
    'a retired fleet after its sunset, to find its successor',
    async (honest) => await afterRetirement(honest, { operation: 'follow', sunset: NOW - HOUR }),
  ],
]);

async function onlyBundle(manifest: LiveManifest): Promise<Partial<TrustRequest>> {
  const policy = await signPolicy(trustPolicy());
  const log = new TestLog(policy);
  await log.accept(manifest);
  return { set: await log.trustSet() };
}

async function afterRetirement(
  { log, state }: Scene,
  { operation, sunset = NOW + 90 * DAY }: { operation: TrustRequest['operation']; sunset?: number },
): Promise<Partial<TrustRequest>> {
  await log.accept(retirement(following(FIRST), { sunset }));
  return { set: await log.trustSet(), state, operation };
}

table('strength', [
  [
    'policy_floor',
    'an operator runs as many nodes as make a majority',
    async () =>
      await onlyBundle(
        deployment({ nodes: FIRST.nodes.map((node, i) => (i === 0 ? node : { ...node, operator: 'one.example' })) }),
      ),
  ],
  [
    'policy_floor',
    'a token is emulated',
    async () =>
      await onlyBundle(
        deployment({ nodes: FIRST.nodes.map((node, i) => (i === 0 ? { ...node, tokenClass: 'emulated' } : node)) }),
      ),
  ],
  [
    'policy_floor',
    'one node',
    async () => await onlyBundle(deployment({ nodes: [bundleNode(1)], policy: { ...FIRST.policy, minimumShares: 1 } })),
  ],
  [
    'policy_floor',
    'one guess more',
    async () => await onlyBundle(deployment({ policy: { ...FIRST.policy, limit: 11 } })),
  ],
  [
    'policy_floor',
    'a longer life',
    async () => await onlyBundle(deployment({ policy: { ...FIRST.policy, lifetimeLimit: 51 } })),
  ],
  [
    'policy_floor',
    'shorter waits',
    async () => await onlyBundle(deployment({ policy: { ...FIRST.policy, waits: [0] } })),
  ],
  [
    'policy_floor',
    'takeover',
    async () =>
      await onlyBundle(deployment({ policy: { ...FIRST.policy, takeover: { kind: 'delayed', seconds: 86_400 } } })),
  ],
  [
    'policy_floor',
    'cheaper stretching',
    async () =>
      await onlyBundle(
        deployment({ policy: { ...FIRST.policy, keyStretching: { memoryKiB: 8192, passes: 3, parallelism: 1 } } }),
      ),
  ],
  ['fleet_weakened', 'a new epoch halves the nodes, within the floors', async () => await weakened([])],
  ['trusted', 'a new epoch halves the nodes, and the policy’s keepers agree', async () => await weakened('all')],
]);

/** From five nodes to three, for a client that has trusted five. */
async function weakened(consent: readonly string[] | 'all'): Promise<Partial<TrustRequest>> {
  const five = deployment({
    nodes: [1, 2, 3, 4, 5].map((number) => bundleNode(number)),
    policy: { ...FIRST.policy, minimumShares: 4 },
  });
  const three = following(five, { epoch: 2, nodes: otherNodes });
  const weakerBundles = consent === 'all' ? [digestOfManifest(three)] : consent;
  const policy = await signPolicy(trustPolicy({ weakerBundles }));
  const { log, state } = await trusting(policy, five);
  // Otherwise nothing may follow that keeps no token.
  await log.append(await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(five) })));
  await log.accept(three);
  return { policy, state, set: await log.trustSet(), reader: readerOf(log, five) };
}

async function trusting(policy: SignedPolicy, manifest: LiveManifest) {
  const log = new TestLog(policy);
  await log.accept(manifest);
  const { root, size } = { root: hex(await log.root()), size: log.entries.length };
  const { vault, environment, fleet, serial } = manifest;
  const state = {
    vault,
    environment,
    policyVersion: policy.policy.version,
    policyDigest: policy.digest,
    origin: ORIGIN,
    size,
    root,
    time: NOW / 1000 - 7200,
    fleets: [{ fleet, serial, digest: digestOfManifest(manifest), successor: null }],
  };
  return { log, state };
}

table('the trust policy', [
  [
    'policy_signatures',
    'a new policy has fewer signatures',
    async ({ log, policy }) => ({
      set: await setWith(log, { policies: [await policyNote(nextPolicy(policy, {}), [key(POLICY_KEYS[0])])] }),
    }),
  ],
  [
    'policy_signatures',
    'cosigner and operator make a policy',
    async ({ log, policy }) => ({
      set: await setWith(log, { policies: [await policyNote(nextPolicy(policy, {}), [COSIGNER, OPERATOR])] }),
    }),
  ],
  [
    'policy_malformed',
    'a new policy is no policy',
    async ({ log }) => ({ set: await setWith(log, { policies: ['hello\n'] }) }),
  ],
  [
    'policy_expired',
    'the policy has expired',
    async () => await withoutHint(await signPolicy(trustPolicy({ expires: NOW }))),
  ],
  [
    'policy_unsafe',
    'the policy’s quorum can do without an auditing witness',
    async () => await withoutHint(await signPolicy(trustPolicy({ auditors: [] }))),
  ],
  [
    'policy_outdated',
    'the log names a newer policy, which is kept back',
    async ({ log, policy }) => {
      const next = await signPolicy(nextPolicy(policy, { maxAge: 3600 }));
      await log.append(noteLeaf('policy', next.note));
      return { set: await setWith(log, { policies: [] }) };
    },
  ],
  [
    'rolled_back',
    'a newer policy was used here before',
    async ({ state }) => ({ state: { ...state, policyVersion: 2 } }),
  ],
  [
    'chain_broken',
    'there are two policies of one version',
    async ({ state }) => ({
      state: { ...state, policyDigest: 'a'.repeat(64) },
    }),
  ],
]);

async function policyNote(policy: TrustPolicy, signers: Parameters<typeof signPolicy>[1]): Promise<string> {
  return serialiseNote((await signPolicy(policy, signers)).note);
}

table('endless data', [
  ['bundle_malformed', 'a set of more than 1 MiB', async () => ({ set: new Uint8Array(1_048_577).fill(0x20) })],
  [
    'bundle_malformed',
    'a set nested deeply',
    async () => ({ set: new TextEncoder().encode(`${'['.repeat(500_000)}`) }),
  ],
  [
    'bundle_malformed',
    'a bundle with 65 signatures',
    async ({ log }) => ({
      set: await setWith(log, {
        bundle: await lines(FIRST, ({ text, signatures }) => ({
          text,
          signatures: Array.from({ length: 65 }, (_, i) => ({ ...signatures[0]!, name: `x/${i}` })),
        })),
      }),
    }),
  ],
  [
    'bundle_malformed',
    'a checkpoint with 65 signatures',
    async ({ log }) => {
      const checkpoint = await log.checkpoint();
      const more = Array.from({ length: 61 }, (_, i) => ({ ...checkpoint.signatures[1]!, name: `x/${i}` }));
      const changed = { text: checkpoint.text, signatures: [...checkpoint.signatures, ...more] };
      return {
        set: await setWith(log, { acceptance: await log.proof(4, changed), rosterProof: await log.proof(5, changed) }),
      };
    },
  ],
  [
    'bundle_malformed',
    'a proof with 64 hashes',
    async ({ log }) => {
      const { acceptance } = parseTrustSet(await log.trustSet());
      const hash = 'A'.repeat(43);
      return { set: await changedSet(log, acceptance.replace('\n\n', `\n${`${hash}=\n`.repeat(64)}\n`)) };
    },
  ],
  [
    'bundle_malformed',
    'a chain of 65 policies',
    async ({ log, policy }) => ({
      set: rawSet(
        await log.trustSet(),
        'policies',
        Array.from({ length: 65 }, () => serialiseNote(policy.note)),
      ),
    }),
  ],
]);

const changedSet = async (log: TestLog, acceptance: string) => rawSet(await log.trustSet(), 'acceptance', acceptance);

/** A set that no honest function writes. */
function rawSet(set: Uint8Array, member: string, value: unknown): Uint8Array {
  const read: Record<string, unknown> = JSON.parse(new TextDecoder().decode(set));
  return new TextEncoder().encode(`${JSON.stringify({ ...read, [member]: value })}\n`);
}

describe('stolen keys, and what makes good for them', () => {
  const vkey = (signer: typeof COSIGNER) => parseVerifierKey(signer.verifierKey);

  /** A client that trusted serial 1, after version 2 of the policy, which changes a key, and what the log then does. */
  async function recovered(changes: Partial<TrustPolicy>, then: (log: TestLog) => Promise<void>, roster = ROSTER) {
    const honest = await scene();
    const next = await signPolicy(nextPolicy(honest.policy, changes));
    const log = honest.log;
    log.signers.roster = roster;
    await log.append(noteLeaf('policy', next.note));
    await then(log);
    const reader = readerOf(log, FIRST, SECOND);
    return { honest, log, request: { ...honest.request, state: honest.state, reader } };
  }

  it.each([
    ['cosigner', COSIGNER],
    ['operator', OPERATOR],
  ] as const)('the %s’s bundle key: useless alone; version 2, a new serial', async (role, stolen) => {
    const alone = await scene();
    const bundle = serialiseNote(await signBundle(SECOND, stolen));
    expect(await verdict({ ...alone.request, set: await setWith(alone.log, { bundle }) })).toBe('signature_missing');

    const fresh = key(`${role}.example/bundle-2`);
    const pair = role === 'cosigner' ? ([fresh, OPERATOR] as const) : ([COSIGNER, fresh] as const);
    const organisations = new Map([...trustPolicy().organisations, [fresh.name, `${role}.example`]]);
    const { log, request } = await recovered({ [role]: vkey(fresh), organisations }, (log) =>
      log.accept(SECOND, ...pair),
    );
    expect(await verdict({ ...request, set: await log.trustSet() })).toBe('trusted');
    // What both signed with the stolen key, even if somebody gets it into the log.
    const third = following(SECOND);
    const false_ = await withLeaf(log, await acceptance(third), third);
    expect(await verdict({ ...request, set: await setAt(false_, false_.entries.length - 2) })).toBe(
      'signature_missing',
    );
  });

  it('the roster key: proves nothing without the log; version 2 names another', async () => {
    const { log, request } = await scene();
    const roster = serialiseNote(await signNote(serialiseRoster({ ...nextRoster(log.state), fleets: [] }), [ROSTER]));
    expect(await verdict({ ...request, set: await setWith(log, { roster }) })).toBe('proof_invalid');

    const fresh = key('cosigner.example/roster-2');
    const after = await recovered({ roster: vkey(fresh) }, async () => {}, fresh);
    expect(await verdict({ ...after.request, set: await after.log.trustSet() })).toBe('trusted');
    await falseRoster(after.log, (fleets) => fleets);
    expect(await verdict({ ...after.request, set: await after.log.trustSet() })).toBe('signature_missing');
  });

  it('the log key: no witness cosigns a fork; version 2 has a new origin and floor', async () => {
    const { log, request, policy, state } = await scene();
    const fork = new TestLog(policy);
    await fork.accept(FIRST);
    expect(await verdict({ ...request, set: await fork.trustSet('first', { witnessed: {} }) })).toBe('quorum_not_met');

    const origin = 'log-2.example/family/production';
    const fresh = key(origin);
    const next = await signPolicy(
      nextPolicy(policy, {
        tlog: tlogText({ log: fresh }),
        floor: { size: 0, root: trustPolicy().floor.root, serial: 1 },
      }),
    );
    const other = new TestLog(next, { log: fresh });
    await other.append(noteLeaf('policy', next.note));
    await other.append(await proposal(FIRST), await acceptance(FIRST));
    const set = await setAt(other, 3);
    expect(other.state.origin).toBe(origin);
    expect(await verdict({ ...request, state, set, reader: readerOf(other, FIRST) })).toBe('trusted');
    // The thief goes on with the old log.
    const old = await setWith(log, { policies: other.policies() });
    expect(await verdict({ ...request, state, set: old })).toBe('wrong_origin');
  });

  it('a witness’s key: is no quorum; version 2 names another witness', async () => {
    const { request, policy } = await scene();
    const fork = new TestLog(policy);
    await fork.accept(FIRST);
    const alone = await fork.trustSet('first', { witnessed: witnessed(NOW, [WITNESSES[0]]) });
    expect(await verdict({ ...request, set: alone })).toBe('quorum_not_met');

    const fresh = 'audit-2.example/w';
    const witnesses = [fresh, ...WITNESSES.slice(1)].map((name) => key(name, 'cosignature'));
    const after = await recovered(
      {
        tlog: tlogText({ witnesses }),
        auditors: [vkey(witnesses[0]!)],
        organisations: new Map([...trustPolicy().organisations, [fresh, 'audit-2.example']]),
      },
      async () => {},
    );
    const by = (names: readonly string[]) => after.log.trustSet('first', { witnessed: witnessed(NOW, names) });
    expect(await verdict({ ...after.request, set: await by([fresh, WITNESSES[1]]) })).toBe('trusted');
    expect(await verdict({ ...after.request, set: await by(WITNESSES) })).toBe('quorum_not_met');
  });

  it('a policy key: is no threshold; the two others replace it', async () => {
    const { log, request, policy } = await scene();
    const [stolen, ...others] = POLICY_KEYS.map((name) => key(name));
    const evil = await policyNote(nextPolicy(policy, { cosigner: vkey(key('evil/bundle')) }), [stolen!]);
    expect(await verdict({ ...request, set: await setWith(log, { policies: [evil] }) })).toBe('policy_signatures');

    const fresh = key('dora.example/policy');
    const keys = [fresh, ...others];
    const next = await signPolicy(nextPolicy(policy, { policyKeys: { threshold: 2, keys: keys.map(vkey) } }), others);
    await log.append(noteLeaf('policy', next.note));
    expect(await verdict({ ...request, set: await log.trustSet() })).toBe('trusted');
    const again = await policyNote(nextPolicy(next, {}), [stolen!, others[0]!]);
    const policies = [...log.policies(), again];
    expect(await verdict({ ...request, set: await setWith(log, { policies }) })).toBe('policy_signatures');
  });

  it('a node’s key: the bundle is revoked, and a later one has none of its keys', async () => {
    const { log, request, state } = await scene();
    await log.append(await revoked());
    const renewed = following(FIRST, { epoch: 2, nodes: otherNodes });
    await log.accept(renewed);
    expect(await verdict({ ...request, state, set: await log.trustSet(), reader: readerOf(log, FIRST) })).toBe(
      'trusted',
    );
    const revived = following(renewed, { epoch: 3, nodes: FIRST.nodes });
    expect(log.write(await proposal(revived))).toEqual(['key_revoked']);
  });
});
