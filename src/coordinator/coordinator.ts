/**
 * The coordinator: stateless, any number side by side. It carries a client's request to all nodes, turns `t` signed
 * votes into a certificate, fetches the evaluations, and brings lagging nodes up to date. It is trusted for
 * availability only: every part that it carries is signed or sealed by others (docs/protocol.md, section 6).
 */

import { asHoldfastError, bytesToHex, type Clock, HoldfastError, isErrorCode, sha256 } from '../core/index.ts';
import {
  assembleCertificate,
  type Certificate,
  type ClientAnswer,
  type ClientRequest,
  decodeBody,
  decodeSignedStatement,
  encodeCertificate,
  type Fleet,
  type NodeAnswer,
  type SignatureChecks,
  type SignedStatement,
  StatementVerifier,
  threshold,
  votesFor,
} from '../protocol/index.ts';
import { gather } from './gather.ts';
import { Pace } from './pace.ts';
import type { CoordinatorObserver, NodeTransport } from './ports.ts';
import { RecordRepair } from './record-repair.ts';

export interface CoordinatorOptions {
  readonly fleet: Fleet;
  readonly transport: NodeTransport;
  readonly checks: SignatureChecks;
  readonly clock: Clock;
  readonly observer: CoordinatorObserver;
  /** Milliseconds after which a node that has not answered counts as unreachable for this request. */
  readonly timeout: number;
  /** Milliseconds to wait for the minority once the majority has answered: spare answers let the client name a liar. */
  readonly grace: number;
  /** The same for enrolment, which wants all `n` nodes, and for the evaluations of a client that asks for them again. */
  readonly enrolmentGrace: number;
  /**
   * Milliseconds after which a request that went to a majority (a status: and one spare) goes to all the others too; default
   * 50, and more while all nodes take longer.
   */
  readonly hedge?: number;
}

type Answers = Map<number, NodeAnswer>;

const DEFAULT_HEDGE = 50;

/** Refusals that another node's certified state, or a majority's heads, may turn into a vote. */
const REPAIRABLE = new Set(['behind', 'not_found', 'owner_required', 'spent', 'destroyed', 'superseded']);

/** About 200 bytes each. */
const KEEP_EVALUATED = 4096;

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #verifier: StatementVerifier;
  readonly #nodes: readonly number[];
  readonly #t: number;
  readonly #repair: RecordRepair;
  readonly #statusPace: Pace;
  readonly #evaluationPace: Pace;
  /** Spreads over the nodes what needs only some of them. */
  #turn = 0;
  /** Attempts evaluated lately. */
  readonly #evaluated = new Set<string>();

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#verifier = new StatementVerifier(options.fleet, options.checks);
    this.#nodes = options.fleet.nodes.map((_, i) => i + 1);
    this.#t = threshold(options.fleet);
    this.#repair = new RecordRepair({ ...options, verifier: this.#verifier });
    const { clock, hedge = DEFAULT_HEDGE } = options;
    this.#statusPace = new Pace(clock, hedge, this.#t);
    this.#evaluationPace = new Pace(clock, hedge, this.#t);
  }

  /**
   * Takes one operation of a client to the nodes.
   * @throws HoldfastError `no_majority` where fewer than `t` nodes answered, `malformed` for another fleet's
   *   request, `other_epoch`.
   */
  async handle(request: ClientRequest): Promise<ClientAnswer> {
    const { fleet, observer } = this.#options;
    if (request.fleet !== fleet.fleet) throw new HoldfastError('malformed', 'the request is for another fleet');
    if (request.epoch !== fleet.epoch) {
      throw new HoldfastError('other_epoch', `the fleet is in epoch ${fleet.epoch}; use the trust file of that epoch`);
    }
    observer.count('requests', request.operation);
    switch (request.operation) {
      case 'status':
        return this.#status(request);
      case 'open':
      case 'attempt':
        return this.#evaluation(request);
      case 'stage':
        return this.#staging(request);
      default:
        return this.#receipts(request);
    }
  }

  async #status(request: ClientRequest): Promise<ClientAnswer> {
    const { fleet, grace, clock, timeout } = this.#options;
    const turn = this.#turn++ % this.#nodes.length;
    const known = (answer: NodeAnswer) => answer.code === 'ok' || answer.code === 'not_found';
    const { takeover } = fleet.policy;
    // What an owner has the time to cancel, t nodes must be seen to know of: where fewer do, all are waited for.
    const overtaken = (all: ReadonlyMap<number, NodeAnswer>) => {
      const shown = takeover.kind === 'delayed' ? [...all.values()].flatMap(takeoverShown) : [];
      return shown.length > 0 && !shown.some((one) => shown.filter((other) => other === one).length >= this.#t);
    };
    const answers = await gather({
      nodes: [...this.#nodes.slice(turn), ...this.#nodes.slice(0, turn)],
      ask: (node) =>
        this.#statusPace.measured(
          node,
          this.#ask(node, { kind: 'submit', request: forNode(request, node), heads: [] }),
        ),
      enough: (all) => count(all, known) >= this.#t && !overtaken(all),
      hedge: { first: this.#t + 1, after: this.#statusPace.patience, good: known },
      grace,
      timeout,
      clock,
    });
    const newest = [...answers.values()].filter((answer) => answer.content).map((answer) => answer.content!);
    return { ...clientAnswer(answers, undefined), portable: this.#repair.newest(request.record, newest) };
  }

  /** Votes, then the certificate, then the evaluations that it allows. */
  async #evaluation(request: ClientRequest): Promise<ClientAnswer> {
    const { clock, timeout, grace, enrolmentGrace } = this.#options;
    const { certificate, answers } = await this.#certify(request);
    if (!certificate) return clientAnswer(answers, undefined);
    const encoded = encodeCertificate(certificate);
    const ok = (answer: NodeAnswer) => answer.code === 'ok' && answer.sealed !== undefined;
    // Those whose votes came first are the quickest now, and have the attempt durably already.
    const voters = [...answers].filter(([, { code }]) => code === 'ok').map(([node]) => node);
    // An enrolment wants every node's share. A recovery wants as few as will do: a client to which one of them lied asks
    // again, and then all answer, which is waited for: an honest node that is slow may be the one that outvotes the liar.
    const wantsAll = request.operation === 'open' || this.#repeated(request);
    const evaluations = await gather({
      nodes: [...voters, ...this.#nodes.filter((node) => !voters.includes(node))],
      ask: (node) =>
        this.#evaluationPace.measured(
          node,
          this.#ask(node, { kind: 'evaluate', request: forNode(request, node), certificate: encoded }),
        ),
      enough: (all) => count(all, ok) >= this.#t,
      ...(!wantsAll && { hedge: { first: this.#t, after: this.#evaluationPace.patience, good: ok } }),
      grace: wantsAll ? enrolmentGrace : grace,
      timeout,
      clock,
    });
    await this.#helpLaggards(request, evaluations, async (node) => {
      const again = await this.#ask(node, { kind: 'evaluate', request: forNode(request, node), certificate: encoded });
      evaluations.set(node, again);
    });
    this.#requireMajority(evaluations);
    return clientAnswer(evaluations, encoded);
  }

  /**
   * Whether a client asks for the same evaluations once more: those that it got were too few, or some of them wrong. A lying
   * node among those asked first would else keep it from the honest ones for ever.
   */
  #repeated(request: ClientRequest): boolean {
    const { record, generation, attempt } = request;
    const name = `${bytesToHex(record)}:${generation}:${attempt}:${bytesToHex(sha256(request.arguments))}`;
    if (this.#evaluated.has(name)) return true;
    if (this.#evaluated.size >= KEEP_EVALUATED) this.#evaluated.delete(this.#evaluated.values().next().value!);
    this.#evaluated.add(name);
    return false;
  }

  async #staging(request: ClientRequest): Promise<ClientAnswer> {
    const { certificate, answers } = await this.#certify(request, this.#options.enrolmentGrace);
    return clientAnswer(answers, certificate && encodeCertificate(certificate));
  }

  /** Operations whose proof is complete in itself: each node's receipt counts on its own. */
  async #receipts(request: ClientRequest): Promise<ClientAnswer> {
    const grace = request.operation === 'confirm' ? this.#options.grace : this.#options.enrolmentGrace;
    const ok = (answer: NodeAnswer) => answer.code === 'ok';
    const answers = await this.#submit(request, new Map(), (all) => count(all, ok) >= this.#t, grace);
    await this.#helpLaggards(request, answers, async (node, heads) => {
      answers.set(node, await this.#ask(node, { kind: 'submit', request: forNode(request, node), heads }));
    });
    this.#requireMajority(answers);
    return clientAnswer(answers, undefined);
  }

  /** A certificate over the votes that it needs, with one round of help for nodes that lag where the first votes do not suffice. */
  async #certify(
    request: ClientRequest,
    grace = 0,
  ): Promise<{ certificate: Certificate | undefined; answers: Answers }> {
    let certificate: Certificate | undefined;
    const needed = votesFor(this.#options.fleet, request.operation);
    // Each answer is looked at once, though every later one brings the question up again.
    const looked = new Map<NodeAnswer, SignedStatement | undefined>();
    const enough = (all: ReadonlyMap<number, NodeAnswer>) => {
      const statements: SignedStatement[] = [];
      for (const [node, answer] of all) {
        if (!looked.has(answer)) looked.set(answer, this.#statement(node, answer));
        const statement = looked.get(answer);
        if (statement) statements.push(statement);
      }
      certificate = assembleCertificate(needed, statements);
      return certificate !== undefined;
    };
    const answers = await this.#submit(request, new Map(), enough, grace);
    if (!certificate) {
      await this.#helpLaggards(
        request,
        answers,
        async (node, heads) => {
          answers.set(node, await this.#ask(node, { kind: 'submit', request: forNode(request, node), heads }));
        },
        needed,
      );
      enough(answers);
    }
    if (!certificate) this.#requireMajority(answers);
    return { certificate, answers };
  }

  #submit(
    request: ClientRequest,
    heads: ReadonlyMap<number, Uint8Array>,
    enough: (all: ReadonlyMap<number, NodeAnswer>) => boolean,
    grace: number,
  ): Promise<Answers> {
    const { clock, timeout } = this.#options;
    return gather({
      nodes: this.#nodes,
      ask: (node) => this.#ask(node, { kind: 'submit', request: forNode(request, node), heads: [...heads.values()] }),
      enough,
      grace,
      timeout,
      clock,
    });
  }

  /**
   * Brings nodes whose refusal others can mend up to date, then lets `again` ask them once more. Where as many as
   * are `needed` have already agreed this happens behind the client's back, so that nobody waits for a laggard.
   */
  async #helpLaggards(
    request: ClientRequest,
    answers: Answers,
    again: (node: number, heads: Uint8Array[]) => Promise<void>,
    needed = this.#t,
  ): Promise<void> {
    const lagging = [...answers].filter(([, answer]) => REPAIRABLE.has(answer.code)).map(([node]) => node);
    if (lagging.length === 0) return;
    const agreed = count(answers, (answer) => answer.code === 'ok');
    if (agreed === 0 && lagging.length === answers.size && !this.#disagree(answers)) return;
    const help = async () => {
      const heads = await this.#repair.bringUpToDate(request.record, lagging);
      await Promise.all(lagging.map((node) => again(node, heads).catch(() => {})));
    };
    if (agreed >= needed) void help().catch(() => {});
    else await help().catch(() => {});
  }

  /** Whether refusing nodes are at different places: then carrying state between them may help. */
  #disagree(answers: ReadonlyMap<number, NodeAnswer>): boolean {
    const codes = new Set([...answers.values()].map((answer) => answer.code));
    return codes.size > 1 || codes.has('behind') || this.#repair.headsDiffer([...answers.values()]);
  }

  /** The statement of an answer, if its node signed it. */
  #statement(node: number, answer: NodeAnswer): SignedStatement | undefined {
    if (!answer.statement) return undefined;
    try {
      const statement = decodeSignedStatement(answer.statement);
      this.#verifier.verify(statement);
      return statement.signer.node === node ? statement : undefined;
    } catch (error) {
      this.#options.observer.event('warn', 'statement refused', { node, reason: asHoldfastError(error).message });
      return undefined;
    }
  }

  #requireMajority(answers: Answers): void {
    const reached = count(answers, (answer) => !UNREACHED.has(answer.code));
    if (reached >= this.#t) return;
    throw new HoldfastError(
      'no_majority',
      `only ${reached} of ${this.#nodes.length} nodes could take part, ${this.#t} are needed; nothing was lost`,
    );
  }

  async #ask(...[node, request]: Parameters<NodeTransport['send']>): Promise<NodeAnswer> {
    try {
      return await this.#options.transport.send(node, request);
    } catch (error) {
      this.#options.observer.count('unreachable', String(node));
      throw error;
    }
  }
}

/** Codes of a node that took no part. */
const UNREACHED = new Set(['not_ready', 'token_failed', 'token_removed', 'unexpected', 'overloaded', 'no_majority']);

function count(answers: ReadonlyMap<number, NodeAnswer>, wanted: (answer: NodeAnswer) => boolean): number {
  let found = 0;
  for (const answer of answers.values()) if (wanted(answer)) found++;
  return found;
}

/** The generation of the takeover that the head of an answer, unverified, shows as one that may still be cancelled, if any. */
function takeoverShown({ head }: NodeAnswer): number[] {
  try {
    const body = head && decodeBody(decodeSignedStatement(head).body);
    if (body?.kind !== 'head') return [];
    const { open, highest } = body.facts;
    return open?.takeover && !open.cancelled ? [highest] : [];
  } catch {
    return [];
  }
}

/** The request with the part that is sealed to this node only. */
function forNode(request: ClientRequest, node: number): ClientRequest {
  return { ...request, sealed: request.sealed.filter((part) => part.node === node) };
}

function clientAnswer(answers: Answers, certificate: Uint8Array | undefined): ClientAnswer {
  const nodes = [...answers]
    .sort(([a], [b]) => a - b)
    // One node's made-up code must not make the whole answer unreadable to the client.
    .map(([node, { code, statement, head, sealed }]) => {
      const known = code === 'ok' || isErrorCode(code) ? code : 'unexpected';
      return { node, code: known, statement, head, sealed };
    });
  return { nodes, certificate, portable: undefined };
}
