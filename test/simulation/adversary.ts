/**
 * The malicious coordinator with malicious clients behind it. It hears every exchange with the nodes, has valid user
 * tokens of every record, keeps all that was ever signed or requested, and combines it as chance says.
 */

import type { ClientSuite, Credential } from '../../src/client/index.ts';
import { bytesToHex, equalBytes } from '../../src/core/index.ts';
import {
  ARGUMENTS,
  type Arguments,
  argumentsHash,
  assembleCertificate,
  type Body,
  blindHash,
  type ClientRequest,
  decodeBody,
  decodeCertificate,
  decodePortableRecord,
  decodeSignedStatement,
  encodeBody,
  encodeCertificate,
  encodeConfirmation,
  encodePortableRecord,
  encodeRequestContent,
  type Fleet,
  type NodeAnswer,
  type NodeRequest,
  type Operation,
  type SignedStatement,
  threshold,
  votesFor,
} from '../../src/protocol/index.ts';
import type { Oracle } from './cryptography.ts';
import type { World } from './world.ts';

export interface AdversaryEnvironment {
  readonly world: World;
  readonly fleet: Fleet;
  readonly oracle: Oracle;
  readonly suite: ClientSuite;
  readonly records: readonly Uint8Array[];
  readonly credential: (record: Uint8Array) => Credential;
  readonly send: (node: number, request: NodeRequest) => Promise<NodeAnswer>;
  /** Its own nodes, which sign whatever it likes. */
  readonly sign: ReadonlyMap<number, (body: Body) => SignedStatement>;
}

const KEPT = 400;

export class Adversary {
  readonly #env: AdversaryEnvironment;
  readonly #nodes: readonly number[];
  readonly #t: number;
  /** By the body's bytes: what was signed, by whom, in which incarnation. */
  readonly #statements = new Map<string, SignedStatement[]>();
  readonly #requests: ClientRequest[] = [];
  readonly #certificates: Uint8Array[] = [];
  readonly #portables = new Map<string, Uint8Array>();
  readonly #heads = new Map<string, Map<number, Uint8Array>>();
  readonly #messages: NodeRequest[] = [];
  /** Elements that this adversary made, for each record. */
  readonly #elements: Uint8Array[] = [];

  constructor(env: AdversaryEnvironment) {
    this.#env = env;
    this.#nodes = env.fleet.nodes.map((_, i) => i + 1);
    this.#t = threshold(env.fleet);
  }

  hear(node: number, request: NodeRequest, answer: NodeAnswer): void {
    if (request.kind === 'evaluate') keep(this.#certificates, request.certificate);
    if (request.kind === 'sync' || request.kind === 'repair' || request.kind === 'spend') keep(this.#messages, request);
    if (answer.statement) this.#learn(answer.statement);
    if (answer.head) {
      const { body } = decodeSignedStatement(answer.head);
      const head = decodeBody(body);
      if (head.kind === 'head') {
        const name = bytesToHex(head.record);
        const heads = this.#heads.get(name) ?? new Map<number, Uint8Array>();
        if (!heads.has(node) || this.#env.world.chance.happens(0.8)) heads.set(node, answer.head);
        this.#heads.set(name, heads);
      }
    }
    if (
      answer.content &&
      (request.kind === 'export' || (request.kind === 'submit' && request.request.operation === 'status'))
    ) {
      this.#portables.set(bytesToHex(answer.content), answer.content);
    }
  }

  /** A client's whole request: with the parts of all nodes. */
  hearRequest(request: ClientRequest): void {
    keep(this.#requests, request);
  }

  #learn(encoded: Uint8Array): void {
    const statement = decodeSignedStatement(encoded);
    const name = bytesToHex(statement.body);
    const known = this.#statements.get(name) ?? [];
    known.push(statement);
    this.#statements.set(name, known);
  }

  /** One act of malice. */
  async act(): Promise<void> {
    const { chance } = this.#env.world;
    const acts = [
      () => this.attempt(),
      () => this.attempt(),
      () => this.evaluateAll(),
      () => this.evaluateAll(),
      () => this.#replay(),
      () => this.#carry(),
      () => this.#resurrect(),
      () => this.#confirmBadly(),
      () => this.#misdirect(),
      () => this.#open(),
      () => this.#spend(),
      () => this.#look(),
    ];
    await chance.pick(acts)();
  }

  async #tell(node: number, request: NodeRequest): Promise<NodeAnswer | undefined> {
    return this.#env.send(node, request).catch(() => undefined);
  }

  async #tellAll(nodes: readonly number[], request: (node: number) => NodeRequest): Promise<void> {
    await Promise.all(nodes.map((node) => this.#tell(node, request(node))));
  }

  /** The newest heads that it knows of a record. */
  headsOf(record: Uint8Array): Uint8Array[] {
    return [...(this.#heads.get(bytesToHex(record))?.values() ?? [])];
  }

  /** Asks every node where a record stands. */
  async look(record: Uint8Array): Promise<void> {
    await this.#tellAll(this.#nodes, () => ({ kind: 'head', record }));
  }

  async #look(): Promise<void> {
    const { chance } = this.#env.world;
    const record = chance.pick(this.#env.records);
    await this.#tellAll(chance.some(this.#nodes), () => ({ kind: chance.pick(['head', 'export'] as const), record }));
  }

  /** The highest place that the latest heads show, and one node's own. */
  place(record: Uint8Array): { generation: number; highest: number; attempts: number[] } {
    let generation = 0;
    let highest = 0;
    const attempts: number[] = [];
    for (const encoded of this.#heads.get(bytesToHex(record))?.values() ?? []) {
      const head = decodeBody(decodeSignedStatement(encoded).body);
      if (head.kind !== 'head') continue;
      highest = Math.max(highest, head.facts.highest);
      const { active } = head.facts;
      if (!active) continue;
      generation = Math.max(generation, active.generation);
      attempts.push(active.attempt);
    }
    return { generation, highest, attempts };
  }

  /** Asks some nodes for a number, for a fresh element or one that took votes before. */
  async attempt(): Promise<void> {
    const { chance } = this.#env.world;
    const record = chance.pick(this.#env.records);
    const { generation, attempts } = this.place(record);
    if (generation === 0) return this.#look();
    const near = attempts.length > 0 ? chance.pick(attempts) : 0;
    const number = chance.happens(0.85) ? near + 1 : chance.between(1, near + this.#env.fleet.policy.limit);
    const element = this.#elements.length > 0 && chance.happens(0.4) ? chance.pick(this.#elements) : this.newElement();
    await this.vote(
      record,
      chance.happens(0.9) ? generation : chance.between(1, generation),
      number,
      element,
      chance.some(this.#nodes),
    );
  }

  newElement(): Uint8Array {
    const element = this.#env.oracle.strayElement();
    keep(this.#elements, element);
    return element;
  }

  async vote(record: Uint8Array, generation: number, attempt: number, element: Uint8Array, nodes: readonly number[]) {
    const request = await this.request(
      record,
      'attempt',
      generation,
      attempt,
      { blindHash: blindHash(element) },
      element,
    );
    const heads = this.#env.world.chance.happens(0.5) ? [...(this.#heads.get(bytesToHex(record))?.values() ?? [])] : [];
    await this.#tellAll(nodes, (node) => ({ kind: 'submit', request: forNode(request, node), heads }));
    return request;
  }

  async request<O extends Operation>(
    record: Uint8Array,
    operation: O,
    generation: number,
    attempt: number,
    args: Arguments<O>,
    element?: Uint8Array,
  ): Promise<ClientRequest> {
    const { fleet, suite } = this.#env;
    const encoded = (ARGUMENTS[operation] as { encode(value: unknown): Uint8Array }).encode(args);
    const credential = this.#env.credential(record);
    const places = { fleet: fleet.fleet, epoch: fleet.epoch, record, operation, generation, attempt };
    const sealed = await Promise.all(
      fleet.nodes.map(async (keys, i) => {
        const outer = { ...places, node: i + 1, argumentsHash: argumentsHash(encoded) };
        const content = encodeRequestContent({
          version: 1,
          userToken: credential.userToken,
          clientSignature: suite.signRequest(credential, outer),
          blindedElement: element,
        });
        const sealer = await suite.newSealer(keys.session, outer);
        const { enc, ciphertext } = await sealer.seal(outer, content);
        return { node: i + 1, enc, ciphertext };
      }),
    );
    const request: ClientRequest = { ...places, arguments: encoded, sealed };
    this.hearRequest(request);
    return request;
  }

  /** Every certificate that all statements ever signed could make: with fences, and, in vain, without. */
  certificates(
    kind: 'attempt' | 'open' | 'stage' | 'spent',
  ): { certificate: Uint8Array; body: ReturnType<typeof decodeBody> }[] {
    const found: { certificate: Uint8Array; body: ReturnType<typeof decodeBody> }[] = [];
    const { chance } = this.#env.world;
    for (const statements of this.#statements.values()) {
      const body = decodeBody(statements[0]!.body);
      if (body.kind !== kind) continue;
      for (const sign of this.#env.sign.values()) statements.push(sign(body));
      const proper = assembleCertificate(votesFor(this.#env.fleet, kind), chance.shuffled(statements));
      if (proper) {
        found.push({ certificate: encodeCertificate(proper), body });
        continue;
      }
      const byNode = new Map(chance.shuffled(statements).map((statement) => [statement.signer.node, statement]));
      const signatures = [...byNode.values()].map(({ signer, batch }) => ({ signer, batch })).slice(0, this.#t);
      if (signatures.length >= (chance.happens(0.9) ? this.#t : 1)) {
        found.push({ certificate: encodeCertificate({ body: statements[0]!.body, signatures }), body });
      }
    }
    return found;
  }

  /** Has every element evaluated for which there is a certificate, or a few for which there is none. */
  async evaluateAll(all = false, at: readonly number[] = this.#nodes): Promise<void> {
    const { chance } = this.#env.world;
    const chosen = [...this.certificates('attempt'), ...this.certificates('open')];
    for (const { certificate, body } of all ? chosen : chance.shuffled(chosen).slice(0, 4)) {
      if (body.kind !== 'attempt' && body.kind !== 'open') continue;
      const attempt = body.kind === 'attempt' ? body.attempt : 0;
      const request = this.#requests.findLast(
        (one) =>
          one.operation === body.kind &&
          one.generation === body.generation &&
          one.attempt === attempt &&
          equalBytes(one.record, body.record) &&
          equalBytes(ARGUMENTS[body.kind].decode(one.arguments).blindHash, body.blindHash),
      );
      if (!request) continue;
      const nodes = all ? at : chance.some(this.#nodes);
      await this.#tellAll(nodes, (node) => ({ kind: 'evaluate', request: forNode(request, node), certificate }));
    }
    if (all || this.#certificates.length === 0 || chance.happens(0.7)) return;
    const requests = this.#requests.filter(({ operation }) => operation === 'attempt' || operation === 'open');
    if (requests.length === 0) return;
    const request = chance.pick(requests);
    const certificate = chance.pick(this.#certificates);
    await this.#tellAll(this.#nodes, (node) => ({ kind: 'evaluate', request: forNode(request, node), certificate }));
  }

  async #replay(): Promise<void> {
    const { chance } = this.#env.world;
    if (this.#requests.length === 0) return;
    const request = chance.pick(this.#requests);
    const heads = [...(this.#heads.get(bytesToHex(request.record))?.values() ?? [])];
    await this.#tellAll(chance.some(this.#nodes), (node) => ({
      kind: 'submit',
      request: forNode(request, node),
      heads,
    }));
  }

  async #carry(): Promise<void> {
    const { chance } = this.#env.world;
    const known = [...this.#portables.values()];
    if (known.length === 0) return this.#look();
    let portable = chance.pick(known);
    if (chance.happens(0.2)) {
      const [a, b] = [decodePortableRecord(portable), decodePortableRecord(chance.pick(known))];
      portable = encodePortableRecord({ ...a, confirmation: b.confirmation, tombstone: b.tombstone });
    }
    const heads = [...(this.#heads.get(bytesToHex(decodePortableRecord(portable).record))?.values() ?? [])];
    await this.#tellAll(chance.some(this.#nodes), () => ({ kind: 'carry', portable, heads }));
  }

  /** Brings an old generation back and guesses there. */
  async #resurrect(): Promise<void> {
    const { chance } = this.#env.world;
    const activations = [...this.#portables.values()].filter((one) => decodePortableRecord(one).activation);
    if (activations.length === 0) return;
    const portable = chance.pick(activations);
    const { record, activation } = decodePortableRecord(portable);
    const body = decodeBody(decodeCertificate(activation!.stageCertificate).body);
    if (body.kind !== 'stage') return;
    await this.#tellAll(this.#nodes, () => ({ kind: 'carry', portable, heads: [] }));
    const element = this.newElement();
    await this.vote(record, body.generation, chance.between(1, this.#env.fleet.policy.limit), element, this.#nodes);
    await this.evaluateAll();
  }

  /** Confirms with what does not belong together: an honest proof for another number, or a certificate of another. */
  async #confirmBadly(): Promise<void> {
    const { chance } = this.#env.world;
    const proofs = this.#requests.filter(({ operation }) => operation === 'confirm');
    if (proofs.length === 0 || this.#certificates.length === 0) return;
    const proof = chance.pick(proofs);
    const { signature, certificate } = ARGUMENTS.confirm.decode(proof.arguments);
    const args = {
      signature,
      certificate: chance.happens(0.5) ? chance.pick(this.#certificates) : certificate,
    };
    const number = chance.happens(0.5) ? proof.attempt : chance.between(1, proof.attempt + 3);
    const request = await this.request(proof.record, 'confirm', proof.generation, number, args);
    await this.#tellAll(chance.some(this.#nodes), (node) => ({
      kind: 'submit',
      request: forNode(request, node),
      heads: [],
    }));
  }

  /** Somebody who knows the PIN confirms a number that was never counted, to have a full budget for later. */
  async confirmUncounted(
    record: Uint8Array,
    key: { sign(message: Uint8Array): Uint8Array },
    fleet: Fleet,
  ): Promise<void> {
    const { chance } = this.#env.world;
    const { generation, attempts } = this.place(record);
    const forms = this.certificates('attempt').filter(
      ({ body }) => body.kind === 'attempt' && equalBytes(body.record, record),
    );
    if (generation === 0 || forms.length === 0) return;
    const { certificate } = chance.pick(forms);
    const template = decodeCertificate(certificate);
    const body = decodeBody(template.body);
    if (body.kind !== 'attempt') return;
    const attempt = Math.max(0, ...attempts) + chance.between(1, 2);
    const forged = { ...body, attempt };
    const signature = key.sign(
      encodeConfirmation({ fleet: fleet.fleet, record, generation, attempt, blindHash: body.blindHash }),
    );
    const args = { signature, certificate: encodeCertificate({ ...template, body: encodeBody(forged) }) };
    const request = await this.request(record, 'confirm', generation, attempt, args);
    await this.#tellAll(this.#nodes, (node) => ({ kind: 'submit', request: forNode(request, node), heads: [] }));
  }

  async #misdirect(): Promise<void> {
    if (this.#messages.length === 0) return;
    const { chance } = this.#env.world;
    await this.#tell(chance.pick(this.#nodes), chance.pick(this.#messages));
  }

  async #open(): Promise<void> {
    const { chance } = this.#env.world;
    const record = chance.pick(this.#env.records);
    const { highest } = this.place(record);
    const opens = this.#requests.filter((one) => one.operation === 'open' && equalBytes(one.record, record));
    const stolen = opens.length > 0 ? ARGUMENTS.open.decode(chance.pick(opens).arguments) : undefined;
    const element = this.newElement();
    const args = {
      blindHash: blindHash(element),
      ownerKey: stolen && chance.happens(0.5) ? stolen.ownerKey : chance.bytes(32),
      takeover: chance.happens(0.3),
      authorisation: chance.happens(0.5) ? stolen?.authorisation : undefined,
    };
    const generation = chance.happens(0.8) ? highest + 1 : chance.between(1, highest + 1);
    const request = await this.request(record, 'open', generation, 0, args, element);
    await this.#tellAll(chance.some(this.#nodes), (node) => ({
      kind: 'submit',
      request: forNode(request, node),
      heads: [],
    }));
  }

  async #spend(): Promise<void> {
    const { chance } = this.#env.world;
    const record = chance.pick(this.#env.records);
    await this.#tellAll(this.#nodes, () => ({ kind: 'head', record }));
    const { generation, attempts } = this.place(record);
    if (generation === 0) return;
    const heads = [...(this.#heads.get(bytesToHex(record))?.values() ?? [])];
    const attempt = attempts.sort((a, b) => b - a)[chance.between(0, Math.min(this.#t, attempts.length) - 1)] ?? 0;
    const confirmed = chance.between(0, Math.max(0, attempt - this.#env.fleet.policy.limit));
    await this.#tellAll(this.#nodes, () => ({ kind: 'spend', record, generation, attempt, confirmed, heads }));
  }
}

/** The oldest go first, but some of them stay for ever. */
function keep<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > KEPT) list.splice(KEPT / 4, 1);
}

export function forNode(request: ClientRequest, node: number): ClientRequest {
  return { ...request, sealed: request.sealed.filter((part) => part.node === node) };
}
