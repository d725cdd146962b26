import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/core/index.ts';
import {
  checkLog,
  type DeployManifest,
  emptyLog,
  type LiveManifest,
  type LogState,
  MAXIMUM_LEAF,
  nextRoster,
  noteLeaf,
  parseLeaf,
  parseLogState,
  parseVerifierKey,
  type RosterEntry,
  type SignedPolicy,
  serialiseLogState,
  serialiseNote,
  serialiseRoster,
  signNote,
} from '../../../src/trust/index.ts';
import {
  acceptance,
  COSIGNER,
  digestOfManifest,
  evidence,
  key,
  nextPolicy,
  OPERATOR,
  proposal,
  REVOKER,
  ROSTER,
  revocationLeaf,
  signBundle,
  signPolicy,
  TestLog,
  tlogText,
  trustPolicy,
} from '../fixture.ts';
import { bundleNode, deployment, nextEpoch, nodeKeys, retirement, revocation } from '../manifests.ts';

let policy: SignedPolicy;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
});

/** The next proposal of a fleet after `before`, which was accepted. */
const following = (before: LiveManifest, changes: Partial<DeployManifest> = {}): DeployManifest =>
  deployment({
    fleet: before.fleet,
    epoch: before.epoch,
    nodes: before.nodes,
    ...(before.earlier && { earlier: before.earlier }),
    serial: before.serial + 1,
    previous: digestOfManifest(before),
    accepted: digestOfManifest(before),
    ...changes,
  });

const FIRST = deployment();
const otherNodes = [1, 2, 3].map((number) => bundleNode(number, `other-${number}`));
const second = (changes: Partial<DeployManifest> = {}) =>
  deployment({ fleet: 'second', nodes: otherNodes, ...changes });

async function withFirst(): Promise<TestLog> {
  const log = new TestLog(policy);
  await log.accept(FIRST);
  return log;
}

const roster = async (log: TestLog, fleets: readonly RosterEntry[], changes = {}) =>
  noteLeaf('roster', await signNote(serialiseRoster({ ...nextRoster(log.state), fleets, ...changes }), [ROSTER]));

describe('a log that obeys its rules', () => {
  it('lists a fleet as live from its acceptance on, and not from its proposal', async () => {
    const log = new TestLog(policy);
    expect(log.write(evidence(), await proposal(FIRST))).toEqual([]);
    expect(nextRoster(log.state).fleets).toEqual([]);
    expect(log.write(await acceptance(FIRST))).toEqual([]);
    expect(nextRoster(log.state)).toEqual({
      origin: 'log.example/family/production',
      number: 1,
      previous: null,
      size: 3,
      fleets: [{ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST), index: 2, state: 'live' }],
      policy: null,
    });
  });

  it('lets its rosters follow each other, and names the policy that it has', async () => {
    const log = await withFirst();
    await log.append(noteLeaf('policy', policy.note));
    const [one, two] = [3, 5].map((index) => parseLeaf(log.entries[index]!));
    if (one?.type !== 'roster' || two?.type !== 'roster') throw new Error('these are rosters');
    expect(two.roster).toMatchObject({ number: 2, previous: one.roster.digest, size: 5, policy: policy.digest });
  });

  it('goes on after a void proposal, after a retirement, and after a revocation with new keys', async () => {
    const log = await withFirst();
    const squatted = following(FIRST, { coordinators: ['https://evil.example'] });
    expect(log.write(await proposal(squatted))).toEqual([]);
    const third = following(FIRST, {
      serial: 3,
      previous: digestOfManifest(squatted),
      coordinators: ['https://c.example'],
    });
    expect(log.write(await proposal(third), await acceptance(third))).toEqual([]);
    expect(log.write(await acceptance(squatted))).toEqual(['acceptance_void']);
    await log.append(await revocationLeaf(revocation({ fleet: 'first', serial: 3, digest: digestOfManifest(third) })));
    expect(nextRoster(log.state).fleets).toMatchObject([{ serial: 3, state: 'revoked' }]);
    const renewed = following(third, { epoch: 2, nodes: otherNodes });
    await log.accept(renewed);
    const retired = retirement(following(renewed, { epoch: 2 }));
    await log.accept(retired);
    expect(nextRoster(log.state).fleets).toMatchObject([{ serial: 5, state: 'retired' }]);
  });

  it('takes rules of a new policy from where it stands', async () => {
    const log = await withFirst();
    const thief = key('cosigner.example/bundle-2');
    const two = await signPolicy(nextPolicy(policy, { cosigner: parseVerifierKey(thief.verifierKey) }));
    const next = following(FIRST, { coordinators: ['https://c.example'] });
    expect(checkLog(log.state, [await proposal(next, thief)]).misconduct).toMatchObject([{ code: 'leaf_signature' }]);
    expect(log.write(noteLeaf('policy', two.note), await proposal(next, thief))).toEqual([]);
    expect(log.write(await proposal(following(next), COSIGNER))).toEqual(['leaf_signature']);
  });

  it('comes to the same state however its leaves are divided into batches, and after a stop in between', async () => {
    const log = await withFirst();
    await log.append(noteLeaf('policy', policy.note));
    const next = following(FIRST, { coordinators: ['https://c.example'] });
    await log.accept(next);
    await log.append(await revocationLeaf(revocation({ fleet: 'first', serial: 2, digest: digestOfManifest(next) })));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 20, maxLength: 20 }), (sizes) => {
        let state: LogState = emptyLog(policy);
        let rest = log.entries.slice();
        for (const size of sizes) {
          const batch = checkLog(state, rest.slice(0, size));
          expect(batch.misconduct).toEqual([]);
          state = parseLogState(serialiseLogState(batch.state));
          rest = rest.slice(size);
        }
        expect(serialiseLogState(state)).toBe(serialiseLogState(log.state));
      }),
      { numRuns: 20 },
    );
  });

  it('continues the serials of another log if its policy is not the first one', async () => {
    const two = await signPolicy(
      nextPolicy(policy, { tlog: tlogText({ log: key('log-2.example/family/production') }) }),
      ['anna.example/policy', 'bela.example/policy'].map((name) => key(name)),
    );
    const next = following(FIRST);
    expect(checkLog(emptyLog(two), [await proposal(next)]).misconduct).toEqual([]);
    expect(checkLog(emptyLog(policy), [await proposal(next)]).misconduct).toMatchObject([{ code: 'serial_wrong' }]);
  });
});

describe('a log that breaks a rule', () => {
  type Case = [string, string, (log: TestLog) => Promise<Uint8Array[]>];
  const next = following(FIRST);
  const cases: Case[] = [
    ['leaf_malformed', 'text of no type', async () => [utf8('hello\n')]],
    ['leaf_malformed', 'bytes that are no text', async () => [Uint8Array.of(0xff, 0xfe)]],
    ['leaf_malformed', 'an entry that is too long', async () => [new Uint8Array(MAXIMUM_LEAF + 1)]],
    [
      'leaf_malformed',
      'a proposal with two signatures',
      async () => {
        const note = serialiseNote(await signBundle(next, COSIGNER, OPERATOR));
        return [utf8(`holdfast/proposal/v1\n${note}`)];
      },
    ],
    ['leaf_signature', 'a proposal of the operator', async () => [await proposal(next, OPERATOR)]],
    [
      'leaf_signature',
      'a proposal by another key of the cosigner’s name',
      async () => [await proposal(next, key(COSIGNER.name, 'ed25519', 'thief'))],
    ],
    [
      'leaf_signature',
      'an acceptance with the lines in another order',
      async () => [await proposal(next), await acceptance(next, OPERATOR, COSIGNER)],
    ],
    [
      'leaf_signature',
      'an acceptance without the operator',
      async () => [await proposal(next), await acceptance(next, COSIGNER, REVOKER)],
    ],
    [
      'leaf_signature',
      'a revocation by nobody who may',
      async () => [
        await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) }), ROSTER),
      ],
    ],
    [
      'wrong_names',
      'a fleet of another environment',
      async () => [await proposal({ ...second(), environment: 'testing' })],
    ],
    ['serial_wrong', 'a serial left out', async () => [await proposal({ ...next, serial: 3 })]],
    ['serial_wrong', 'a serial twice', async () => [await proposal(FIRST)]],
    ['previous_wrong', 'another past', async () => [await proposal({ ...next, previous: 'a'.repeat(64) })]],
    ['accepted_wrong', 'an accepted bundle that was not', async () => [await proposal({ ...next, accepted: null })]],
    ['epoch_wrong', 'new nodes in the old epoch', async () => [await proposal({ ...next, nodes: otherNodes })]],
    ['epoch_wrong', 'an epoch left out', async () => [await proposal({ ...next, nodes: otherNodes, epoch: 3 })]],
    [
      'membership_wrong',
      'a new epoch that does not carry the one before',
      async () => [await proposal({ ...next, epoch: 2, nodes: nextEpoch(FIRST, { 3: 'new-3' }).nodes })],
    ],
    [
      'membership_wrong',
      'a membership that begins anew, although nothing was revoked',
      async () => {
        const anew = { ...next, epoch: 2, nodes: otherNodes };
        return [await proposal(anew), await acceptance(anew)];
      },
    ],
    [
      'retirement_wrong',
      'a retirement without the earlier epochs',
      async () => {
        const second = following(FIRST, nextEpoch(FIRST, { 3: 'new-3' }));
        const { earlier: _, ...bare } = following(second);
        return [await proposal(second), await acceptance(second), await proposal(retirement(bare))];
      },
    ],
    [
      'key_of_other_fleet',
      'a key that another fleet had in an earlier epoch',
      async () => {
        const replaced = following(FIRST, nextEpoch(FIRST, { 3: 'new-3' }));
        const third = second({ nodes: [otherNodes[0]!, otherNodes[1]!, bundleNode(3)] });
        return [await proposal(replaced), await acceptance(replaced), await proposal(third)];
      },
    ],
    [
      'key_of_other_fleet',
      'a key that another fleet says to have had before it was logged',
      async () => {
        const old = second(nextEpoch(second(), { 3: 'new-3' }));
        const claims = second({ fleet: 'third', nodes: [7, 8].map((n) => bundleNode(n)).concat(otherNodes[2]!) });
        return [await proposal(old), await acceptance(old), await proposal(claims)];
      },
    ],
    [
      'key_of_other_fleet',
      'an earlier epoch with a key of another fleet',
      async () => {
        const claims = second(
          nextEpoch(second({ nodes: [otherNodes[0]!, otherNodes[1]!, bundleNode(3)] }), { 3: 'x' }),
        );
        return [await proposal(claims)];
      },
    ],
    ['key_of_other_fleet', 'keys of another fleet', async () => [await proposal(second({ nodes: FIRST.nodes }))]],
    [
      'key_of_other_fleet',
      'keys that another fleet took first',
      async () => [
        await proposal({ ...next, epoch: 2, nodes: otherNodes }),
        await proposal(second()),
        await acceptance(second()),
        await acceptance({ ...next, epoch: 2, nodes: otherNodes }),
      ],
    ],
    [
      'key_revoked',
      'a key that was revoked',
      async () => [
        await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) })),
        await proposal({ ...next, epoch: 2, nodes: [otherNodes[0]!, otherNodes[1]!, bundleNode(3)] }),
      ],
    ],
    [
      'key_revoked',
      'the revoked key in another role and fleet',
      async () => [
        await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) })),
        await proposal(
          second({
            nodes: [
              otherNodes[0]!,
              otherNodes[1]!,
              { ...otherNodes[2]!, keys: { ...nodeKeys('x'), identity: FIRST.nodes[0]!.keys.session } },
            ],
          }),
        ),
      ],
    ],
    [
      'serial_revoked',
      'a revoked proposal accepted',
      async () => [
        await proposal(next),
        await revocationLeaf(revocation({ fleet: 'first', serial: 2, digest: digestOfManifest(next) })),
        await acceptance(next),
      ],
    ],
    [
      'fleet_retired',
      'a retired fleet deployed again',
      async () => {
        const retired = retirement(next);
        return [await proposal(retired), await acceptance(retired), await proposal(following(retired))];
      },
    ],
    [
      'retirement_wrong',
      'a retirement with other nodes',
      async () => [await proposal(retirement(next, { nodes: otherNodes, epoch: 2 }))],
    ],
    [
      'retirement_wrong',
      'a retirement of a fleet that is not there',
      async () => [await proposal(retirement(second(), { successor: 'third' }))],
    ],
    [
      'retirement_wrong',
      'a second successor',
      async () => {
        const retired = retirement(next);
        const again = retirement(following(retired), { successor: 'third' });
        return [await proposal(retired), await acceptance(retired), await proposal(again)];
      },
    ],
    ['acceptance_unknown', 'an acceptance of what was not proposed', async () => [await acceptance(next)]],
    ['acceptance_repeated', 'an acceptance twice', async () => [await acceptance(FIRST)]],
    [
      'revocation_unknown',
      'a revocation of what is not there',
      async () => [await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: 'a'.repeat(64) }))],
    ],
    [
      'revocation_unknown',
      'a revocation with another serial',
      async () => [await revocationLeaf(revocation({ fleet: 'first', serial: 2, digest: digestOfManifest(FIRST) }))],
    ],
    [
      'revocation_repeated',
      'a revocation twice',
      async () => {
        const leaf = await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) }));
        return [leaf, leaf];
      },
    ],
    [
      'policy_wrong',
      'a policy with one signature',
      async () => [noteLeaf('policy', (await signPolicy(nextPolicy(policy, {}), [key('anna.example/policy')])).note)],
    ],
    [
      'policy_wrong',
      'a policy of a log with another origin',
      async () => [
        noteLeaf(
          'policy',
          (await signPolicy(nextPolicy(policy, { tlog: tlogText({ log: key('x.example/log') }) }))).note,
        ),
      ],
    ],
    ['roster_omits', 'a roster without the fleet', async (log) => [await roster(log, [])]],
    [
      'roster_wrong',
      'a roster with another digest',
      async (log) => [await roster(log, [{ ...nextRoster(log.state).fleets[0]!, digest: 'a'.repeat(64) }])],
    ],
    [
      'roster_wrong',
      'a roster that leaves out a number',
      async (log) => [await roster(log, nextRoster(log.state).fleets, { number: 3 })],
    ],
    [
      'roster_wrong',
      'a roster that names another policy',
      async (log) => [await roster(log, nextRoster(log.state).fleets, { policy: 'a'.repeat(64) })],
    ],
    [
      'leaf_signature',
      'a roster of the bundle key',
      async (log) => [noteLeaf('roster', await signNote(serialiseRoster(nextRoster(log.state)), [COSIGNER]))],
    ],
  ];

  it.each(cases)('%s: %s', async (code, _, leaves) => {
    const log = await withFirst();
    const before = log.state;
    const { state, misconduct } = checkLog(before, await leaves(log));
    expect(misconduct.map((found) => found.code)).toEqual([code]);
    expect(misconduct[0]!.index).toBe(state.size - 1);
    expect(misconduct[0]!.sentence.length).toBeGreaterThan(10);
  });

  it('roster_resurrects: a revoked fleet that is listed as live', async () => {
    const log = await withFirst();
    const live = nextRoster(log.state).fleets;
    log.write(await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) })));
    expect(log.write(await roster(log, live))).toEqual(['roster_resurrects']);
  });

  it('keeps the state that it had, so that the next right leaf is right', async () => {
    const log = await withFirst();
    expect(log.write(await proposal({ ...next, serial: 7 }), await roster(log, []))).toEqual([
      'serial_wrong',
      'roster_omits',
    ]);
    await log.append(await proposal(next));
    expect(log.state.fleets.get('first')!.proposal.manifest.serial).toBe(2);
    expect(log.state.endsInRoster).toBe(true);
  });

  it('revokes no key of another fleet, whatever the revoked proposal had claimed', async () => {
    const log = await withFirst();
    // Proposed with keys that nobody had yet: those of the fleet that is about to be accepted.
    const claim = deployment({ fleet: 'third', nodes: otherNodes });
    const [live, next] = [second(), following(second())];
    const revoked = await revocationLeaf(revocation({ fleet: 'third', serial: 1, digest: digestOfManifest(claim) }));
    expect(log.write(await proposal(claim), await proposal(live), await acceptance(live), revoked)).toEqual([]);
    expect(log.write(await proposal(next), await acceptance(next))).toEqual([]);
  });

  it('revokes neither the keys nor the serial of a proposal that waits to replace what is revoked', async () => {
    const log = await withFirst();
    const replacement = { ...next, epoch: 2, nodes: otherNodes };
    const revoked = await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) }));
    expect(log.write(await proposal(replacement), revoked, await acceptance(replacement))).toEqual([]);
    expect(nextRoster(log.state).fleets).toMatchObject([{ serial: 2, state: 'live' }]);
  });
});

describe('a leaf', () => {
  it('is read back as what was written, and refused with any byte changed or added', async () => {
    const leaves = [evidence(), await proposal(FIRST), await acceptance(FIRST), noteLeaf('policy', policy.note)];
    for (const leaf of leaves) {
      const read = parseLeaf(leaf);
      if (read.type !== 'evidence') expect(noteLeaf(read.type, read.note)).toEqual(leaf);
      expect(() => parseLeaf(Uint8Array.of(...leaf, 10))).toThrow(expect.objectContaining({ name: 'HoldfastError' }));
    }
    fc.assert(
      fc.property(fc.constantFrom(...leaves), fc.nat(), fc.integer({ min: 1, max: 255 }), (leaf, at, flip) => {
        const changed = leaf.slice();
        changed[at % leaf.length]! ^= flip;
        try {
          expect(parseLeaf(changed)).not.toEqual(parseLeaf(leaf));
        } catch (error) {
          expect(['bundle_malformed', 'policy_malformed']).toContain((error as { code?: string }).code);
        }
      }),
      { numRuns: 300 },
    );
  });
});
