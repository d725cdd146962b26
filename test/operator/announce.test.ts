/** From a draft to a bundle that clients can verify, wherever it stops in between. */

import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import {
  type AnnounceStep,
  announce,
  checkLastProposal,
  checkProposal,
  draftOfPinned,
  nextDeployment,
  propose,
  readLog,
  revocationOf,
  waitForLeaf,
  waitForRevocation,
  waitForTrustSet,
} from '../../src/operator/index.ts';
import {
  digestOf,
  parseCheckpoint,
  parseNote,
  parseTrustSet,
  serialiseNote,
  signText,
  verifyTrustSet,
} from '../../src/trust/index.ts';
import { COSIGNER, key, OPERATOR } from '../trust/fixture.ts';
import { bundleNode, deployment, membership, NOW } from '../trust/manifests.ts';
import { codeOf, draft, EVIDENCE, OperatorBench } from './bench.ts';

const optionsOf = (bench: OperatorBench) => ({
  fleet: 'first',
  draft: draft(),
  evidence: EVIDENCE,
  policy: bench.policy,
  site: bench.site,
  submission: bench.submission,
  operator: OPERATOR,
  clock: bench.clock,
});

const verified = (bench: OperatorBench, set: Uint8Array) =>
  verifyTrustSet({
    policy: bench.policy,
    set,
    configuration: { vault: 'family', environment: 'production', fleet: 'first' },
    operation: 'enrol',
    state: undefined,
    clock: bench.bench.now,
    builtAt: NOW,
    reader: {
      consistencyProof: async () => {
        throw new Error('not needed');
      },
      bundleText: async () => {
        throw new Error('not needed');
      },
    },
  });

describe('announcing a fleet', () => {
  it('ends in a trust set that a client verifies', async () => {
    const bench = await OperatorBench.create();
    const steps: AnnounceStep[] = [];
    const announced = await announce({ ...optionsOf(bench), onStep: (step) => steps.push(step) });
    expect(steps).toEqual(['propose', 'witness', 'countersign', 'accept', 'publish', 'done']);
    expect(announced).toMatchObject({ serial: 1, already: false });
    const trust = await verified(bench, announced.trustSet);
    expect(trust).toMatchObject({ digest: announced.digest, standing: { state: 'live' } });
    expect(trust.manifest.nodes).toEqual(draft().nodes);
  });

  it('changes nothing the second time', async () => {
    const bench = await OperatorBench.create();
    const first = await announce(optionsOf(bench));
    const kinds = bench.bench.kinds();
    const later = { ...draft(), notBefore: NOW, evidence: { ...EVIDENCE, sha256: 'a'.repeat(64) } };
    const again = await announce({ ...optionsOf(bench), draft: later });
    expect(again).toMatchObject({ digest: first.digest, already: true });
    expect(bench.bench.kinds()).toEqual(kinds);
  });

  it('renews what ends soon, and not what lasts', async () => {
    const bench = await OperatorBench.create();
    const day = 86_400_000;
    const lasting = (days: number) => draft({ notBefore: NOW, notAfter: NOW + days * day });
    const options = (days: number) => ({ ...optionsOf(bench), draft: lasting(days) });
    await announce(options(29));
    expect(await announce(options(29))).toMatchObject({ serial: 1, already: true });
    expect(await announce(options(365))).toMatchObject({ serial: 2, already: false });
    expect(await announce(options(400))).toMatchObject({ serial: 2, already: true });
  });

  it('proposes anew what would end as soon as it is accepted', async () => {
    const bench = await OperatorBench.create();
    const short = draft({ notBefore: NOW, notAfter: NOW + 3_600_000 });
    const stop = announce({
      ...optionsOf(bench),
      draft: short,
      onStep: (step) => {
        if (step === 'witness') throw new Error('power cut');
      },
    });
    await expect(stop).rejects.toThrow('power cut');
    expect(await announce(optionsOf(bench))).toMatchObject({ serial: 2, already: false });
  });

  it('announces a change as the next serial and epoch', async () => {
    const bench = await OperatorBench.create();
    await announce(optionsOf(bench));
    const moved = draft({ coordinators: ['https://c.vault.example'] });
    expect(await announce({ ...optionsOf(bench), draft: moved })).toMatchObject({ serial: 2, already: false });
    const rekeyed = draft({
      nodes: [bundleNode(1), bundleNode(2), bundleNode(3, 'new-3')],
      coordinators: moved.coordinators,
    });
    const third = await announce({ ...optionsOf(bench), draft: rekeyed });
    const earlier = [membership(deployment())];
    expect((await verified(bench, third.trustSet)).manifest).toMatchObject({ serial: 3, epoch: 2, earlier });
  });

  it.each(['propose', 'witness', 'countersign', 'accept', 'publish'] as const)(
    'goes on where it stopped before %s',
    async (stopped) => {
      const bench = await OperatorBench.create();
      const stop = announce({
        ...optionsOf(bench),
        onStep: (step) => {
          if (step === stopped) throw new Error('power cut');
        },
      });
      await expect(stop).rejects.toThrow('power cut');
      const announced = await announce(optionsOf(bench));
      expect(announced.serial).toBe(1);
      await verified(bench, announced.trustSet);
      expect(bench.bench.kinds().filter((kind) => kind === 'proposal')).toHaveLength(1);
      expect(bench.bench.kinds().filter((kind) => kind === 'acceptance')).toHaveLength(1);
    },
  );

  it('waits for the cosigner’s person, and asks whoever is to approve', async () => {
    const bench = await OperatorBench.create({ approval: true });
    const asked: string[] = [];
    const announced = await announce({
      ...optionsOf(bench),
      approve: async (digest) => {
        asked.push(digest);
        await bench.submission.approve(digest);
      },
    });
    expect(asked).toEqual([announced.digest]);
  });

  it('gives up in time where nobody approves or witnesses, and says what is missing', async () => {
    const unapproved = await OperatorBench.create({ approval: true });
    expect(await codeOf(() => announce({ ...optionsOf(unapproved), patience: 5000 }))).toBe('not_ready');
    const unseen = await OperatorBench.create();
    unseen.witnesses = [];
    await expect(announce({ ...optionsOf(unseen), patience: 5000 })).rejects.toThrow('witnesses to confirm');
    expect(unseen.bench.kinds()).not.toContain('acceptance');
  });

  it('replaces a proposal that says something else, and never accepts the old one', async () => {
    const bench = await OperatorBench.create();
    const stop = announce({
      ...optionsOf(bench),
      onStep: (step) => {
        if (step === 'countersign') throw new Error('power cut');
      },
    });
    await expect(stop).rejects.toThrow('power cut');
    const other = draft({ coordinators: ['https://c.vault.example'] });
    const announced = await announce({ ...optionsOf(bench), draft: other });
    expect(announced.serial).toBe(2);
    expect(bench.bench.kinds().filter((kind) => kind === 'acceptance')).toHaveLength(1);
  });

  it.each([
    ['another text', 'untrusted', (note: string) => note.replace('"serial":1', '"serial":7')],
    ['by another key', 'signature_missing', (note: string) => note.replace(COSIGNER.name, 'mallory.example/bundle')],
    ['falsely', 'signature_invalid', (note: string) => note.replace(/.{9}(?==*\n$)/, 'AAAAAAAAA')],
  ] as const)('believes no cosigner that answers with %s signed', async (_, code, change) => {
    const bench = await OperatorBench.create();
    const submission = {
      ...bench.submission,
      proposal: async (text: string) => {
        const answer = await bench.submission.proposal(text);
        return answer.status === 'logged' ? { ...answer, note: change(answer.note) } : answer;
      },
    };
    expect(await codeOf(() => announce({ ...optionsOf(bench), submission }))).toBe(code);
    expect(bench.bench.kinds()).not.toContain('acceptance');
  });

  it('signs with no key but the policy’s', async () => {
    const bench = await OperatorBench.create();
    const wrong = { ...optionsOf(bench), operator: key('operator.example/bundle', 'ed25519', 'another secret') };
    expect(await codeOf(() => announce(wrong))).toBe('signing_refused');
    expect(bench.bench.kinds()).not.toContain('acceptance');
  });
});

describe('waiting for a trust set', () => {
  it('takes none of another bundle', async () => {
    const bench = await OperatorBench.create();
    const { trustSet } = await announce(optionsOf(bench));
    const waiting = { clock: bench.clock, patience: 3000 };
    expect(await codeOf(() => waitForTrustSet(bench.site, 'first', 'a'.repeat(64), waiting))).toBe('not_ready');
    expect(parseTrustSet(trustSet).bundle).toContain(OPERATOR.name);
  });
});

describe('whoever waits', () => {
  const unreachable = () => new HoldfastError('not_ready', 'the log cannot be reached');

  it('asks again where the cosigner is out of reach for a moment, with what was taken still in the log', async () => {
    const bench = await OperatorBench.create();
    let failures = 3;
    const site = {
      ...bench.site,
      trustSet: async (fleet: string) => {
        if (failures-- > 0) throw unreachable();
        return await bench.site.trustSet(fleet);
      },
    };
    expect(await announce({ ...optionsOf(bench), site })).toMatchObject({ serial: 1, already: false });
    expect(failures).toBeLessThan(0);
  });

  it('says in the end why nobody answered, and gives up at once where asking again is of no use', async () => {
    const bench = await OperatorBench.create();
    const waiting = { clock: bench.clock, patience: 3000 };
    const failing = (error: HoldfastError) =>
      waitForTrustSet({ ...bench.site, trustSet: () => Promise.reject(error) }, 'first', 'a'.repeat(64), waiting);
    await expect(failing(unreachable())).rejects.toThrow(/waited 3 s .* in vain \(the log cannot be reached\)/);
    const before = bench.bench.now;
    await expect(failing(new HoldfastError('untrusted', 'not the log'))).rejects.toMatchObject({ code: 'untrusted' });
    expect(bench.bench.now).toBe(before);
  });
});

describe('waiting for a leaf', () => {
  it('ends when the site’s witnessed checkpoint has it, not when the log has it', async () => {
    const bench = await OperatorBench.create();
    await announce(optionsOf(bench));
    const index = await bench.submission.evidence({ ...EVIDENCE, sha256: 'b'.repeat(64) });
    const before = bench.bench.now;
    await waitForLeaf(bench.site, index, { clock: bench.clock, patience: 3000 });
    expect(bench.bench.now).toBeGreaterThan(before);
    const sizeOf = async () => parseCheckpoint(parseNote((await bench.site.checkpoint('witnessed'))!).text).size;
    expect(await sizeOf()).toBeGreaterThan(index);
    bench.witnesses = [];
    const unseen = await bench.submission.evidence({ ...EVIDENCE, sha256: 'c'.repeat(64) });
    const waiting = waitForLeaf(bench.site, unseen, { clock: bench.clock, patience: 3000 });
    await expect(waiting).rejects.toMatchObject({ code: 'not_ready', message: expect.stringContaining('witnesses') });
    expect(await sizeOf()).toBeLessThanOrEqual(unseen);
  });
});

describe('the last proposal', () => {
  it('is checked once the witnesses have confirmed it, and never is the one before in its place', async () => {
    const bench = await OperatorBench.create();
    const { policy, site, submission, clock } = bench;
    const options = () => ({ policy, source: site, fleet: 'first', now: bench.bench.now, clock, patience: 3000 });
    // Without any proposal there is nothing to wait for.
    expect(await codeOf(() => checkLastProposal(options()))).toBe('quorum_not_met');
    await announce(optionsOf(bench));
    const proposeWith = async (coordinator: string) => {
      const { state } = await readLog(policy, site, { which: 'newest', now: bench.bench.now });
      const next = nextDeployment(state, 'first', draft({ coordinators: [coordinator] }));
      await propose(next, undefined, { submission, policy });
      return next.digest;
    };
    const second = await proposeWith('https://c.vault.example');
    // What the witnesses have confirmed by now has another last proposal, which would pass.
    expect((await checkProposal(options())).bundle.manifest.serial).toBe(1);
    const checked = await checkLastProposal(options());
    expect(checked.bundle).toMatchObject({ digest: second, manifest: { serial: 2 } });
    bench.witnesses = [];
    await proposeWith('https://d.vault.example');
    const unseen = checkLastProposal(options());
    await expect(unseen).rejects.toMatchObject({ code: 'not_ready', message: expect.stringContaining('witnesses') });
  });
});

describe('a revocation', () => {
  it('is waited for until the fleet’s trust set has it, also where it revokes a proposal after the accepted bundle', async () => {
    const bench = await OperatorBench.create();
    const { policy, site, submission, clock } = bench;
    const { digest } = await announce(optionsOf(bench));
    const read = () => readLog(policy, site, { which: 'newest', now: bench.bench.now });
    const next = nextDeployment((await read()).state, 'first', draft({ coordinators: ['https://c.vault.example'] }));
    await propose(next, undefined, { submission, policy });
    await bench.witness();
    const { text, manifest } = revocationOf((await read()).state, next.digest, 'a key left its token');
    const note = serialiseNote({ text, signatures: [await signText(text, OPERATOR)] });
    const { index } = await site.submit('revocation', note);
    const set = async () => parseTrustSet((await site.trustSet('first'))!);
    expect(digestOf(parseNote((await set()).bundle).text)).toBe(digest);
    expect((await set()).revocation).toBeUndefined();
    await waitForRevocation(site, manifest, index, { clock, patience: 3000 });
    expect((await set()).revocation).toBeDefined();
  });

  it('of a fleet of which nothing was accepted is waited for until the witnesses have confirmed the log with it', async () => {
    const bench = await OperatorBench.create();
    const { policy, site, clock } = bench;
    const stop = announce({
      ...optionsOf(bench),
      onStep: (step) => {
        if (step === 'countersign') throw new Error('power cut');
      },
    });
    await expect(stop).rejects.toThrow('power cut');
    const { state } = await readLog(policy, site, { which: 'newest', now: bench.bench.now });
    const { text, manifest } = revocationOf(state, state.fleets.get('first')!.proposal.digest, 'never mind');
    const note = serialiseNote({ text, signatures: [await signText(text, OPERATOR)] });
    const { index } = await site.submit('revocation', note);
    await waitForRevocation(site, manifest, index, { clock, patience: 3000 });
    expect(parseCheckpoint(parseNote((await site.checkpoint('witnessed'))!).text).size).toBeGreaterThan(index);
    bench.witnesses = [];
    const unseen = waitForRevocation(site, manifest, index + 100, { clock, patience: 3000 });
    await expect(unseen).rejects.toMatchObject({ code: 'not_ready' });
  });
});

describe('a draft of a pinned trust file', () => {
  it('describes its nodes as the operator says', () => {
    const { nodes, policy, coordinators } = draft();
    const earlier = [{ ...membership(deployment()), epoch: 3 }];
    const fleet = { fleet: 'first', epoch: 4, nodes: nodes.map(({ keys }) => keys), policy, earlier };
    const trust = { fleet, environment: 'x', expires: NOW, names: nodes.map(({ name }) => name), coordinators };
    const made = draftOfPinned(
      { ...trust, authority: undefined },
      {
        endpoints: nodes.map(({ endpoint }) => endpoint),
        operator: 'one.example',
        region: 'here',
        tokenClass: 'emulated',
        evidence: EVIDENCE,
        notBefore: NOW,
        notAfter: NOW + 1000,
      },
    );
    expect(made).toMatchObject({ epoch: 4, earlier, policy, coordinators, notBefore: NOW });
    expect(made.nodes.map(({ operator, tokenClass }) => [operator, tokenClass])).toEqual(
      nodes.map(() => ['one.example', 'emulated']),
    );
    expect(made.nodes.map(({ endpoint }) => endpoint)).toEqual(nodes.map(({ endpoint }) => endpoint));
  });
});
