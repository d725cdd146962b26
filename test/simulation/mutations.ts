/** Planted bugs: each takes one rule of the protocol away, and the simulation must find that out. */

import { HoldfastError } from '../../src/core/index.ts';
import { Committer } from '../../src/node/committer.ts';
import { Repair } from '../../src/node/repair.ts';
import {
  type Body,
  type BodyKind,
  type Certificate,
  type Context,
  decodeBody,
  decodeOwnerDeletion,
  fencesAgree,
  type RecordState,
  transitions as real,
  StatementVerifier,
  type Transitions,
  threshold,
} from '../../src/protocol/index.ts';
import { planted } from './host.ts';

interface Planted {
  readonly transitions?: Transitions;
  readonly restore?: () => void;
}

type VerifyCertificate = (this: StatementVerifier, certificate: Certificate, kind: BodyKind) => Body;

/** Puts another certificate check in place everywhere. */
function certificateCheck(make: (original: VerifyCertificate) => VerifyCertificate): () => void {
  const { prototype } = StatementVerifier;
  const original = prototype.certificate as VerifyCertificate;
  prototype.certificate = make(original) as typeof prototype.certificate;
  return () => {
    prototype.certificate = original as typeof prototype.certificate;
  };
}

/** The body that a certificate names, whoever signed it. */
function unverified({ body }: Certificate, kind: BodyKind): Body {
  const decoded = decodeBody(body);
  if (decoded.kind !== kind) throw new HoldfastError('untrusted', 'another kind');
  return decoded;
}

const withoutTombstone = (before: RecordState, after: RecordState): RecordState =>
  after.tombstone === before.tombstone ? after : { ...after, tombstone: before.tombstone };

const anybodyMayTakeOver = (context: Context): Context => ({
  ...context,
  fleet: { ...context.fleet, policy: { ...context.fleet.policy, takeover: { kind: 'immediate' } } },
});

/** A certificate check that takes a mere majority's votes for a staging. */
const stageByMajority = (): Planted => ({
  restore: certificateCheck(
    (original) =>
      function (certificate, kind) {
        if (kind !== 'stage') return original.call(this, certificate, kind);
        const { body, signatures } = certificate;
        const signers = signatures.map(({ signer }) => signer);
        const nodes = new Set(signers.map(({ node }) => node));
        const enough = nodes.size === signers.length && nodes.size >= threshold(this.fleet);
        if (!enough || !fencesAgree(signers)) throw new HoldfastError('untrusted', 'too few');
        for (const entry of signatures) this.verify({ body, ...entry });
        return unverified(certificate, kind);
      },
  ),
});

export const MUTATIONS: Readonly<Record<string, () => Planted>> = {
  'no-certificate-check': () => ({
    restore: certificateCheck(() => (certificate, kind) => unverified(certificate, kind)),
  }),

  'no-fence-check': () => ({
    restore: certificateCheck(
      () =>
        function (certificate, kind) {
          const { body, signatures } = certificate;
          const nodes = new Set(signatures.map(({ signer }) => signer.node));
          if (nodes.size < threshold(this.fleet)) throw new HoldfastError('untrusted', 'too few');
          for (const entry of signatures) this.verify({ body, ...entry });
          return unverified(certificate, kind);
        },
    ),
  }),

  'evaluate-before-anchoring': () => {
    const { prototype } = Committer;
    const original = prototype.update;
    prototype.update = function (record, decide) {
      return new Promise((resolve, reject) => {
        const whole = original.call(this, record, (state) => {
          const decision = decide(state);
          if (!decision.body && !decision.refusal) resolve({ decision, statement: undefined });
          return decision;
        });
        whole.then(resolve, reject);
      });
    };
    return {
      restore: () => {
        prototype.update = original;
      },
    };
  },

  'budget-reset-on-open': () => ({
    transitions: {
      ...real,
      decideOpen: (context, state, request, heads) => {
        const decision = real.decideOpen(context, state, request, heads);
        const { active } = decision.state;
        if (!decision.body || decision.state === state || !active) return decision;
        const full = { ...active, attempt: active.confirmed, vote: undefined };
        return { ...decision, state: { ...decision.state, active: full } };
      },
    },
  }),

  'forgotten-tombstone': () => ({
    transitions: {
      ...real,
      decideDestroy: (context, state, proof) => {
        const decision = real.decideDestroy(context, state, proof);
        return { ...decision, state: withoutTombstone(state, decision.state) };
      },
      mergeCertified: (context, state, carried, heads) =>
        withoutTombstone(state, real.mergeCertified(context, state, carried, heads)),
    },
  }),

  'no-repair-barrier': () => {
    const original = Object.getOwnPropertyDescriptor(Repair.prototype, 'done')!;
    Object.defineProperty(Repair.prototype, 'done', { ...original, get: () => true });
    return { restore: () => Object.defineProperty(Repair.prototype, 'done', original) };
  },

  'destruction-by-own-count': () => ({
    transitions: {
      ...real,
      decideAttempt: (context, state, request, heads) => {
        const decision = real.decideAttempt(context, state, request, heads);
        if (decision.refusal?.code !== 'spent' || !state.active) return decision;
        const tombstone = { generation: state.active.generation, kind: 'spent' as const, proof: new Uint8Array(0) };
        return { ...decision, state: { ...state, active: undefined, tombstone } };
      },
    },
  }),

  'confirm-without-certificate': () => {
    const unproven = new WeakSet<Body>();
    const restore = certificateCheck(
      (original) =>
        function (certificate, kind) {
          try {
            return original.call(this, certificate, kind);
          } catch (error) {
            if (kind !== 'attempt') throw error;
            const body = unverified(certificate, kind);
            unproven.add(body);
            return body;
          }
        },
    );
    // Only confirmations go without: an evaluation needs its certificate as ever.
    const decideEvaluation: Transitions['decideEvaluation'] = (context, state, certified) => {
      if (unproven.has(certified.body)) throw new HoldfastError('untrusted', 'no certificate');
      return real.decideEvaluation(context, state, certified);
    };
    return { restore, transitions: { ...real, decideEvaluation } };
  },

  'open-not-bound-to-owner': () => ({
    transitions: {
      ...real,
      decideOpen: (context, ...rest) => real.decideOpen(anybodyMayTakeOver(context), ...rest),
      decideStage: (context, ...rest) => real.decideStage(anybodyMayTakeOver(context), ...rest),
      decideActivate: (context, ...rest) => real.decideActivate(anybodyMayTakeOver(context), ...rest),
    },
  }),

  'epoch-begins-with-fewer-leaves': () => {
    const original = Object.getOwnPropertyDescriptor(Repair.prototype, 'done')!;
    const early = new WeakSet<Repair>();
    const done = function (this: Repair): boolean {
      if (this.waitingFor.startsWith('joining') && this.headsKnown > 0) early.add(this);
      return early.has(this) || (original.get!.call(this) as boolean);
    };
    Object.defineProperty(Repair.prototype, 'done', { ...original, get: done });
    return { restore: () => Object.defineProperty(Repair.prototype, 'done', original) };
  },

  'leavers-vote-on': () => {
    planted.leaversVoteOn = true;
    return {
      restore: () => {
        planted.leaversVoteOn = false;
      },
    };
  },

  'stage-by-majority': stageByMajority,

  'spent-on-old-heads': () => ({
    transitions: {
      ...real,
      decideSpent: (context, state, request, heads) => {
        const aged = heads.map(({ signer, body }) => ({ signer: { ...signer, time: 2 ** 50 }, body }));
        return real.decideSpent(context, state, request, aged);
      },
    },
  }),

  'spent-on-few-heads': () => ({
    transitions: {
      ...real,
      // As if those that showed none had shown what a majority does.
      decideSpent: (context, state, request, heads) => {
        const late = context.fleet.policy.destroyAfter * 1000;
        const fresh = heads.filter(({ signer, body }) => signer.time >= body.attemptTime + late);
        const nodes = new Set(fresh.map(({ signer }) => signer.node));
        if (nodes.size < threshold(context.fleet)) return real.decideSpent(context, state, request, heads);
        const others = context.fleet.nodes.map((_, i) => ({
          ...fresh[0]!,
          signer: { ...fresh[0]!.signer, node: i + 1 },
        }));
        return real.decideSpent(context, state, request, [...fresh, ...others]);
      },
    },
  }),

  'takeover-delay-from-certificate': () => ({
    transitions: {
      ...real,
      // As if it had been certified an age ago.
      decideStage: (context, state, document, opened) => {
        if (!opened?.body.takeover || state.highest >= opened.body.generation) {
          return real.decideStage(context, state, document, opened);
        }
        const { generation, blindHash, ownerKey, takeover } = opened.body;
        const open = { blindHash, ownerKey, takeover, cancelled: false, time: 0 };
        return real.decideStage(context, { ...state, highest: generation, open, stage: undefined }, document, opened);
      },
    },
  }),

  'takeover-deletes-unstaged': () => ({
    transitions: {
      ...real,
      // A node that knows of nothing older believes the opening alone.
      decideDestroy: (context, state, proof) => {
        const unstaged = proof.kind === 'owner' && decodeOwnerDeletion(proof.proof).stageCertificate === undefined;
        if (!unstaged || state.active) return real.decideDestroy(context, state, proof);
        const tombstone = { ...proof };
        return { state: { ...state, highest: Math.max(state.highest, proof.generation), stage: undefined, tombstone } };
      },
    },
  }),

  'repair-merges-certified-only': () => ({ transitions: { ...real, mergeVotes: (_context, state) => state } }),
};

/** Runs `body` with a planted bug, or none, and takes the bug out again. */
export async function withMutation<T>(
  name: string | undefined,
  body: (transitions: Transitions | undefined) => Promise<T>,
): Promise<T> {
  const bug = name === undefined ? {} : MUTATIONS[name]!();
  try {
    return await body(bug.transitions);
  } finally {
    bug.restore?.();
  }
}
