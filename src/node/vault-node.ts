/**
 * The vault node: takes each request of a coordinator through admission, the record state machine, the group commit and,
 * where a certificate allows it, the token's evaluation. Nothing here is specific to a transport, store or token.
 */

import { asHoldfastError, equalBytes, HoldfastError } from '../core/index.ts';
import {
  type Body,
  blindHash,
  type ClientRequest,
  CONTENT,
  type Context,
  checkSuccessor,
  decodePortableRecord,
  decodeSignedStatement,
  emptyRecord,
  encodePortableRecord,
  encodeSignedStatement,
  encodeTweakInput,
  type Fleet,
  type Head,
  headBody,
  latestTime,
  leaveEpoch,
  type NodeAnswer,
  type NodeRequest,
  nodeAnswerWith,
  portable,
  type RecordState,
  requireShare,
  type Signer,
  StatementVerifier,
  type Transitions,
  threshold,
  transitions,
} from '../protocol/index.ts';
import { Admission, type AdmittedRequest, RefusedRequest, refusalsSealed } from './admission.ts';
import { Committer } from './committer.ts';
import { PeerState } from './peer-state.ts';
import { PeerSync } from './peer-sync.ts';
import { Repair } from './repair.ts';
import { transitionFor } from './requested-transition.ts';
import { SpentRecords } from './spent-records.ts';
import type { VaultNodeOptions } from './vault-options.ts';

/**
 * Records in one of the 65,536 buckets (1.5 MB of entries) beyond which none that is new there is opened; chosen at random,
 * record ids reach it with a billion of them.
 */
const FULL_BUCKET = 16_384;

export type Phase = 'repairing' | 'serving' | 'stopped';

export class VaultNode {
  readonly #options: VaultNodeOptions;
  readonly #verifier: StatementVerifier;
  readonly #transitions: Transitions;
  readonly #committer: Committer;
  readonly #admission: Admission;
  readonly #spent: SpentRecords;
  readonly #peers: PeerSync;
  #repair: Repair;
  #phase: Phase = 'repairing';
  #repairing: Promise<void> | undefined;
  /** The newest incarnation of its own that this node was shown. */
  #repairAbove = 0;
  #repairWork: Promise<void> = Promise.resolve();

  constructor(options: VaultNodeOptions) {
    this.#options = options;
    this.#verifier = new StatementVerifier(options.fleet, options.checks);
    this.#transitions = options.transitions ?? transitions;
    this.#committer = new Committer({
      ...options,
      sequenceFloor: options.anchorSequence,
      onSigned: (node, root, signature) => this.#verifier.trustOwn(node, root, signature),
      onRecord: (state) => this.#spent.note(state),
      onFatal: (error) => {
        this.#phase = 'stopped';
        options.onFatal(error);
      },
    });
    this.#admission = new Admission(options);
    this.#repair = this.#newRepair(options.headsNeeded, options.intact);
    this.#spent = new SpentRecords(options, this.#committer);
    this.#peers = new PeerSync(options, this.#verifier, this.#committer);
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Requests waiting for a batch. */
  get queueDepth(): number {
    return this.#committer.depth;
  }

  /** Takes a new incarnation and begins to repair; serves at once where no heads are needed. */
  async start(): Promise<void> {
    this.#repairing = this.#repair.begin().finally(() => {
      this.#repairing = undefined;
    });
    await this.#repairing;
    await this.#finishRepair();
  }

  /** Refuses new work and waits for the batch in flight. */
  async stop(): Promise<void> {
    this.#phase = 'stopped';
    await this.#committer.drain();
  }

  /**
   * Leaves the epoch for `next`, durably and for ever: from here on this node signs, evaluates and answers nothing in this
   * epoch. To be opened again with `next`, with which it says so. Only a node that serves knows that it has forgotten
   * nothing, so only such a one can be one of the `t` from which the next epoch begins.
   * @throws HoldfastError `not_ready` where it does not serve, `bad_input` where `next` may not follow, `conflict` where it
   *   has left for another one.
   */
  async leave(next: Fleet): Promise<void> {
    const { fleet, dictionary, observer } = this.#options;
    checkSuccessor(fleet, next);
    this.#requireServing();
    this.#phase = 'stopped';
    // What was decided so far becomes part of what it leaves with.
    await this.#committer.quiet();
    const root = dictionary.syncRoot();
    await this.#committer.updateNode((state) => leaveEpoch(state, next, root));
    await this.#committer.drain();
    observer.event('warn', 'left the epoch', { epoch: fleet.epoch, next: next.epoch });
  }

  #requireServing(): void {
    if (this.#phase !== 'serving') throw new HoldfastError('not_ready', `the node is ${this.#phase}`);
  }

  /** Answers one request. Never rejects: failures are answers with their code. */
  async handle(request: NodeRequest): Promise<NodeAnswer> {
    try {
      return await this.#dispatch(request);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.code === 'unexpected') {
        this.#options.observer.event('error', 'request failed', { kind: request.kind, reason: error.message });
      }
      this.#options.observer.count('refusals', error.code);
      return nodeAnswerWith({
        code: error.code,
        reason: error.message.slice(0, 160),
        until: Number(error.details.until ?? 0),
        sealed: error instanceof RefusedRequest ? error.sealed : undefined,
      });
    }
  }

  async #dispatch(request: NodeRequest): Promise<NodeAnswer> {
    if (this.#phase === 'stopped' && request.kind !== 'info') {
      throw new HoldfastError('not_ready', 'the node is stopping');
    }
    switch (request.kind) {
      case 'info':
        return this.#info();
      case 'repair':
        return this.#takeRepair(request.answers);
      case 'sync':
        return this.#peers.answer(request);
      case 'compare':
        return nodeAnswerWith({ content: this.#peers.digests(request.prefix) });
      case 'export':
        return nodeAnswerWith({ content: encodePortableRecord(portable(this.#known(request.record))) });
      default:
        break;
    }
    this.#requireServing();
    switch (request.kind) {
      case 'submit':
        return this.#submit(request.request, request.heads);
      case 'evaluate':
        return this.#evaluate(request.request, request.certificate);
      case 'carry':
        return this.#carry(request.portable, request.heads);
      case 'head':
        return nodeAnswerWith({ head: await this.#signHead(request.record) });
      case 'due':
        return nodeAnswerWith({ content: this.#spent.due(request.maximum) });
      case 'spend':
        return this.#spend(request);
      case 'service':
        return nodeAnswerWith({ content: await this.#options.service?.about(request.bundle, this.#committer.node()) });
    }
  }

  // --- a client's operation -------------------------------------------------------------------------------------------

  async #submit(request: ClientRequest, heads: readonly Uint8Array[]): Promise<NodeAnswer> {
    const admitted = await this.#admitted(request);
    return refusalsSealed(admitted, () => this.#submitted(request, admitted, heads));
  }

  /** A node that began to repair while it opened the request must not vote on it. */
  async #admitted(request: ClientRequest): Promise<AdmittedRequest> {
    const admitted = await this.#admission.admit(request);
    this.#requireServing();
    return admitted;
  }

  async #submitted(
    request: ClientRequest,
    admitted: AdmittedRequest,
    heads: readonly Uint8Array[],
  ): Promise<NodeAnswer> {
    if (request.operation === 'status') {
      // Also where there is nothing: a coordinator's word that nothing is enrolled would be worth nothing.
      const state = () => this.#committer.durableRecord(request.record) ?? emptyRecord(request.record);
      const { fleet, clock } = this.#options;
      const head = await this.#committer.sign(() => headBody(fleet, state(), clock.now()));
      return nodeAnswerWith({ head: encodeSignedStatement(head), content: encodePortableRecord(portable(state())) });
    }
    if (request.operation === 'open') this.#requireRoom(request.record);
    const decide = transitionFor(request, admitted, {
      transitions: this.#transitions,
      context: () => this.#context(),
      heads: this.#heads(heads),
      certified: (certificate, kind) => this.#certified(certificate, kind),
    });
    return this.#answerDecision(await this.#committer.update(request.record, decide), admitted);
  }

  /** Whoever chooses record ids could else crowd one bucket until each change there took seconds. */
  #requireRoom(record: Uint8Array): void {
    const { dictionary, fullBucket = FULL_BUCKET } = this.#options;
    if (this.#committer.record(record) || dictionary.crowd(record) < fullBucket) return;
    throw new HoldfastError('overloaded', 'too many records have ids whose hashes begin like this one’s');
  }

  #answerDecision(
    { decision, statement }: Awaited<ReturnType<Committer['update']>>,
    admitted?: AdmittedRequest,
  ): NodeAnswer {
    const { observer } = this.#options;
    const signed = statement && encodeSignedStatement(statement);
    const { refusal, body } = decision;
    if (refusal) {
      observer.count('refusals', refusal.code);
      const until = Number(refusal.details.until ?? 0);
      const { code, message: reason } = refusal;
      return nodeAnswerWith({ code, reason, until, head: signed, sealed: admitted?.seal({ code, reason, until }) });
    }
    if (body?.kind === 'attempt') observer.count('attempts');
    if (body?.kind === 'confirmed') observer.count('confirmations');
    if (body?.kind === 'active') observer.count('activations');
    if (body?.kind === 'destroyed') observer.count('destructions');
    return nodeAnswerWith({ statement: signed });
  }

  /** Nothing is evaluated without a certificate for exactly this blinded element, and what it teaches is durable first. */
  async #evaluate(request: ClientRequest, encoded: Uint8Array): Promise<NodeAnswer> {
    const admitted = await this.#admitted(request);
    return refusalsSealed(admitted, () => this.#evaluated(request, admitted, encoded));
  }

  async #evaluated(request: ClientRequest, admitted: AdmittedRequest, encoded: Uint8Array): Promise<NodeAnswer> {
    const element = admitted.content.blindedElement;
    if (!element) throw new HoldfastError('malformed', 'the request has no blinded element');
    const kind = request.operation;
    if (kind !== 'open' && kind !== 'attempt') throw new HoldfastError('malformed', 'this operation evaluates nothing');
    const certified = this.#certified(encoded, kind);
    const { body } = certified;
    const same =
      equalBytes(body.record, request.record) &&
      body.generation === request.generation &&
      equalBytes(body.blindHash, blindHash(element)) &&
      (body.kind === 'open' || body.attempt === request.attempt);
    if (!same) throw new HoldfastError('untrusted', 'the certificate is for another request');
    const update = await this.#committer.update(request.record, (state) =>
      this.#transitions.decideEvaluation(this.#context(), state, certified),
    );
    if (update.decision.refusal) return this.#answerDecision(update, admitted);
    this.#requireServing();
    // A confirmation or deletion that came while the batch was written ends this: looked at again in the very turn in which
    // the evaluation begins. (The simulation found an evaluation that a deletion had overtaken.)
    const newest = this.#committer.record(request.record) ?? emptyRecord(request.record);
    const decision = this.#transitions.decideEvaluation(this.#context(), newest, certified);
    if (decision.refusal) return this.#answerDecision({ decision, statement: undefined }, admitted);
    if (kind === 'attempt') requireShare(this.#options.fleet, this.#options.node, newest);
    const { fleet, record, generation } = body;
    const evaluatedElement = await this.#options.token.evaluate(
      encodeTweakInput({ fleet, record, generation }),
      element,
    );
    // What ended this attempt while the token was busy keeps its answer back.
    const since = this.#committer.record(request.record) ?? newest;
    const { refusal } = this.#transitions.decideEvaluation(this.#context(), since, certified);
    if (refusal) return this.#answerDecision({ decision: { state: since, refusal }, statement: undefined }, admitted);
    this.#options.observer.count('evaluations');
    admitted.forget();
    return nodeAnswerWith({ sealed: admitted.seal({ evaluatedElement }) });
  }

  // --- repair traffic between nodes -----------------------------------------------------------------------------------

  async #carry(encoded: Uint8Array, heads: readonly Uint8Array[]): Promise<NodeAnswer> {
    const carried = decodePortableRecord(encoded);
    const verified = this.#heads(heads);
    const { statement } = await this.#committer.update(carried.record, (before) => {
      const state = this.#transitions.mergeCertified(this.#context(), before, carried, verified);
      return { state, body: headBody(this.#options.fleet, state, this.#options.clock.now()) };
    });
    return nodeAnswerWith({ head: statement && encodeSignedStatement(statement) });
  }

  async #spend(request: NodeRequest<'spend'>): Promise<NodeAnswer> {
    const heads = this.#heads(request.heads);
    const update = await this.#committer.update(request.record, (state) =>
      this.#transitions.decideSpent(this.#context(), state, request, heads),
    );
    return this.#answerDecision(update);
  }

  /** Answers to a repair are taken one after the other: what one of them changes, the next must see. */
  #takeRepair(answers: NodeRequest<'repair'>['answers']): Promise<NodeAnswer> {
    const work = this.#repairWork.then(() => this.#repairStep(answers));
    this.#repairWork = work.then(
      () => undefined,
      () => undefined,
    );
    return work;
  }

  async #repairStep(answers: NodeRequest<'repair'>['answers']): Promise<NodeAnswer> {
    for (const { peer, answer } of answers) {
      try {
        const mustExceed = await this.#repair.answer(peer, answer);
        if (mustExceed === undefined) continue;
        await this.#repairAgain(mustExceed);
        break;
      } catch (thrown) {
        const { code, message } = asHoldfastError(thrown);
        this.#options.observer.event('warn', 'repair answer refused', { peer, code, reason: message });
      }
    }
    await this.#repair.settle().catch((thrown: unknown) => {
      this.#options.observer.event('error', 'repair not settled', { reason: asHoldfastError(thrown).message });
    });
    if (this.#phase === 'repairing' && !this.#repair.begun && !this.#repairing) await this.#beginRepair();
    await this.#finishRepair();
    return nodeAnswerWith({ content: CONTENT.queries.encode({ phase: this.#phase, queries: this.#repair.queries() }) });
  }

  async #finishRepair(): Promise<void> {
    const repair = this.#repair;
    if (this.#phase !== 'repairing' || !repair.begun || !repair.done) return;
    // An operator's override lets the node serve, but does not make it know what it may have forgotten.
    const heard = repair.headsNeeded > 0;
    await this.#committer.updateNode((state) => {
      const sound = state.sound || heard;
      return sound === state.sound && state.joined ? state : { ...state, sound, joined: true };
    });
    if (this.#phase !== 'repairing' || this.#repair !== repair || !repair.begun || !repair.done) return;
    this.#phase = 'serving';
    this.#options.observer.count('repairs');
    const { incarnation } = this.#committer.node();
    this.#options.observer.event('info', 'serving', { incarnation, heads: this.#repair.headsKnown });
  }

  /** A statement of this node's own proves that it has forgotten something, even where it serves. */
  async #repairAgain(mustExceed: number): Promise<void> {
    this.#phase = 'repairing';
    this.#repair = this.#newRepair(threshold(this.#options.fleet), false);
    this.#repairAbove = Math.max(this.#repairAbove, mustExceed);
    await this.#repairing;
    await this.#beginRepair();
  }

  #newRepair(needed: number, intact: boolean): Repair {
    const { fleet, node, dictionary, random, leave, observer } = this.#options;
    const taking = new PeerState({
      committer: this.#committer,
      transitions: this.#transitions,
      observer,
      context: () => this.#context(),
    });
    return new Repair(
      {
        fleet,
        node,
        dictionary,
        random,
        intact,
        leave: leave ?? new Uint8Array(0),
        verifier: this.#verifier,
        committer: this.#committer,
        merge: (record, carried, facts) => taking.merge(record, carried, facts),
        adopt: (record, peers, unheard, joining) => taking.adopt(record, peers, unheard, joining),
      },
      needed,
    );
  }

  // --- what everything above uses -------------------------------------------------------------------------------------

  #context(): Context {
    return { fleet: this.#options.fleet, verifier: this.#verifier, now: this.#options.clock.now() };
  }

  #certified<K extends 'open' | 'attempt'>(encoded: Uint8Array, kind: K): { body: Body<K>; latest: number } {
    const { signers, body } = this.#verifier.encodedCertificate(encoded, kind);
    for (const signer of signers) this.#notice(signer);
    return { body, latest: latestTime(signers) };
  }

  #heads(encoded: readonly Uint8Array[]): Head[] {
    return encoded.map((bytes) => {
      const statement = decodeSignedStatement(bytes);
      const body = this.#verifier.body(statement, 'head');
      this.#notice(statement.signer);
      return { signer: statement.signer, body };
    });
  }

  /** A statement of this node's own that is newer than its memory: it was rolled back or cloned, and repairs. */
  #notice(signer: Signer): void {
    const { node, dictionary, observer } = this.#options;
    const { incarnation } = this.#committer.node();
    if (signer.node !== node) {
      // Beside that peer's statements none of this node's would count for anything, until it has begun above that fence.
      if ((signer.fences[node - 1] ?? 0) > incarnation) this.#repair.hearAgain(signer.node);
      return;
    }
    const newer =
      signer.incarnation > incarnation ||
      (signer.incarnation === incarnation && signer.sequence > dictionary.head.sequence);
    if (!newer) return;
    observer.event('error', 'own newer statement seen', { incarnation: signer.incarnation, sequence: signer.sequence });
    void this.#repairAgain(signer.incarnation);
    throw new HoldfastError('not_ready', 'the node saw a newer statement of its own and repairs');
  }

  /** Where this fails (a full disk), the next look at the repair begins it again: a node never waits for nothing. */
  #beginRepair(): Promise<void> {
    this.#repairing ??= this.#repair
      .begin(this.#repairAbove)
      .catch((thrown: unknown) => {
        this.#options.observer.event('error', 'repair could not begin', { reason: asHoldfastError(thrown).message });
      })
      .finally(() => {
        this.#repairing = undefined;
      });
    return this.#repairing;
  }

  #known(record: Uint8Array): RecordState {
    const state = this.#committer.record(record);
    if (!state) throw new HoldfastError('not_found', 'this node knows no such record');
    return state;
  }

  async #signHead(record: Uint8Array): Promise<Uint8Array> {
    const { fleet, clock } = this.#options;
    this.#known(record);
    const statement = await this.#committer.sign(() => {
      const state = this.#committer.durableRecord(record);
      if (!state) throw new HoldfastError('not_found', 'this node knows no such record');
      return headBody(fleet, state, clock.now());
    });
    return encodeSignedStatement(statement);
  }

  async #info(): Promise<NodeAnswer> {
    const { dictionary, node } = this.#options;
    const { incarnation, fences } = this.#committer.node();
    return nodeAnswerWith({
      content: CONTENT.info.encode({
        node,
        phase: this.#phase,
        incarnation,
        sequence: dictionary.head.sequence,
        records: dictionary.size,
        syncRoot: dictionary.syncRoot(),
        fences,
        headsKnown: this.#repair.headsKnown,
        headsNeeded: this.#repair.headsNeeded,
        reason: this.#phase === 'repairing' ? this.#repair.waitingFor : '',
      }),
    });
  }
}
