/** Whatever both parties and a revoker send, in any order: what must hold of every log that refuses what breaks a rule. */

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type FleetState, keyText, type LiveManifest, nextRoster, type Roster } from '../../../src/trust/index.ts';
import {
  acceptance,
  COSIGNER,
  digestOfManifest,
  OPERATOR,
  proposal,
  REVOKER,
  revocationLeaf,
  signPolicy,
  TestLog,
  trustPolicy,
} from '../fixture.ts';
import { bundleNode, deployment, membership, retirement, revocation } from '../manifests.ts';

interface Step {
  readonly kind: 'both' | 'deploy' | 'retire' | 'accept' | 'acceptOld' | 'revoke' | 'revokeProposal' | 'roster';
  readonly fleet: 'first' | 'second';
  /** Which set of three nodes. */
  readonly keys: number;
  /** Added to what would be right. */
  readonly serial: number;
  /** Undefined: what the keys ask for. */
  readonly epoch: number | undefined;
  readonly signer: number;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Step['kind'][]>(
      'both',
      'both',
      'both',
      'deploy',
      'retire',
      'accept',
      'accept',
      'accept',
      'acceptOld',
      'revoke',
      'revokeProposal',
      'roster',
    ),
    fleet: fc.constantFrom('first' as const, 'second' as const),
    keys: fc.integer({ min: 0, max: 4 }),
    serial: fc.constantFrom(0, 0, 0, 0, 1, -1),
    epoch: fc.constantFrom(undefined, undefined, undefined, 0, 1, 2),
    signer: fc.nat(2),
  }),
  { minLength: 10, maxLength: 30, size: 'max' },
);

const nodesOf = (set: number) => [1, 2, 3].map((number) => bundleNode(number, `set ${set} node ${number}`));
const keysOf = (manifest: LiveManifest) =>
  manifest.nodes.flatMap(({ keys }) => [keys.identity, keys.session, keys.oprf].map(keyText));

/** The manifest that a step proposes, right apart from what the step changes about it. */
function proposed({ fleet, keys, serial, epoch, kind }: Step, known: FleetState | undefined): LiveManifest {
  const was = known?.accepted?.manifest;
  const number = Math.max(1, (known?.proposal.manifest.serial ?? 0) + 1 + serial);
  const revoked = was !== undefined && known !== undefined && was.serial <= known.revokedThrough;
  // What was revoked is replaced as a whole; of what is live one token, or none.
  const fresh = nodesOf(keys);
  const nodes = !was || revoked ? fresh : [was.nodes[0]!, was.nodes[1]!, keys < 3 ? fresh[2]! : was.nodes[2]!];
  const right = was && nodes[2]!.keys.oprf.join() !== was.nodes[2]!.keys.oprf.join() ? 1 : 0;
  const next = was ? was.epoch + (kind === 'retire' ? 0 : (epoch ?? right)) : 1;
  const carried =
    was && next > was.epoch ? [...(was.earlier ?? []), { ...membership(was), epoch: next - 1 }] : was?.earlier;
  const manifest = deployment({
    fleet,
    nodes: kind === 'retire' && was ? was.nodes : nodes,
    epoch: next,
    ...(carried && !(revoked && next > was!.epoch) && { earlier: carried }),
    serial: number,
    previous: number === 1 ? null : (known?.proposal.digest ?? 'a'.repeat(64)),
    accepted: number === 1 ? null : (known?.accepted?.digest ?? null),
  });
  return kind === 'retire' ? retirement(manifest, { successor: 'third' }) : manifest;
}

async function leafOf(step: Step, log: TestLog, old: readonly LiveManifest[]): Promise<Uint8Array | undefined> {
  const known = log.state.fleets.get(step.fleet);
  const signer = [COSIGNER, OPERATOR, REVOKER][step.signer]!;
  const revoke = async ({ digest, manifest }: { digest: string; manifest: LiveManifest }) =>
    await revocationLeaf(
      revocation({ fleet: step.fleet, serial: manifest.serial, digest }, { epoch: manifest.epoch }),
      signer,
    );
  switch (step.kind) {
    case 'both':
    case 'deploy':
    case 'retire':
      return await proposal(proposed(step, known), step.signer === 2 ? OPERATOR : COSIGNER);
    case 'accept':
      return known && (await acceptance(known.proposal.manifest));
    case 'acceptOld':
      return old.length === 0 ? undefined : await acceptance(old[step.keys % old.length]!);
    case 'revoke':
      return known?.accepted && (await revoke(known.accepted));
    case 'revokeProposal':
      return known && (await revoke(known.proposal));
    case 'roster':
      return undefined;
  }
}

it('holds in every log that refuses what breaks a rule', async () => {
  const policy = await signPolicy(trustPolicy());
  let reached = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (script) => {
      const log = new TestLog(policy);
      const accepted: LiveManifest[] = [];
      const proposals: LiveManifest[] = [];
      const dead = new Set<string>();
      const owners = new Map<string, string>();
      let before: Roster | undefined;
      for (const step of script) {
        for (const part of step.kind === 'both' ? [step, { ...step, kind: 'accept' as const }] : [step]) {
          const leaf = await leafOf(part, log, proposals);
          if (leaf && log.fork().write(leaf).length === 0) log.write(leaf);
        }
        const fleet = log.state.fleets.get(step.fleet);
        if (fleet && !proposals.some((manifest) => digestOfManifest(manifest) === fleet.proposal.digest)) {
          proposals.push(fleet.proposal.manifest);
        }
        const roster = nextRoster(log.state);
        for (const entry of roster.fleets) {
          const { manifest, digest } = log.state.fleets.get(entry.fleet)!.accepted!;
          const earlier = before?.fleets.find((known) => known.fleet === entry.fleet);
          // Serials only grow, and within one of them nothing but a revocation changes.
          expect(entry.serial).toBeGreaterThanOrEqual(earlier?.serial ?? 1);
          if (earlier?.serial === entry.serial)
            expect([earlier.digest, earlier.index]).toEqual([entry.digest, entry.index]);
          // What is revoked stays so, with every key that it had.
          if (entry.state === 'revoked') for (const dying of [digest, ...keysOf(manifest)]) dead.add(dying);
          else for (const living of [digest, ...keysOf(manifest)]) expect(dead.has(living)).toBe(false);
          // What was said of an epoch is never said otherwise, unless all of it was revoked.
          for (const one of manifest.earlier ?? []) {
            const then = accepted.findLast(({ fleet, epoch }) => fleet === entry.fleet && epoch === one.epoch);
            if (then) expect(one).toEqual(membership(then));
          }
          // No key is ever in two fleets.
          for (const key of keysOf(manifest)) {
            expect(owners.get(key) ?? entry.fleet).toBe(entry.fleet);
            owners.set(key, entry.fleet);
          }
          // A retired fleet is not deployed again.
          if (earlier?.state === 'retired') expect(['retired', 'revoked']).toContain(entry.state);
          if (earlier?.digest !== digest) accepted.push(manifest);
        }
        // Every fleet that was ever listed still is.
        expect(roster.fleets.length).toBeGreaterThanOrEqual(before?.fleets.length ?? 0);
        before = roster;
        if (step.kind === 'roster') await log.append();
      }
      // From each accepted bundle, what it names as accepted before leads back to the fleet's first.
      for (const manifest of accepted) {
        const previous = accepted
          .filter(({ fleet, serial }) => fleet === manifest.fleet && serial < manifest.serial)
          .at(-1);
        expect(manifest.accepted).toBe(previous === undefined ? null : digestOfManifest(previous));
      }
      reached = Math.max(reached, accepted.length);
    }),
    { numRuns: 60 },
  );
  // Or the scripts would have shown nothing.
  expect(reached).toBeGreaterThan(2);
});
