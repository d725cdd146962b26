/** Recoveries made ahead of the timed window: everything of a client's work that does not depend on an answer. */

import { createECDH } from 'node:crypto';
import { clientKeyToJwk, generateClientKey, hashUserToken } from '../../src/access/client.ts';
import { standardSuite } from '../../src/client/index.ts';
import { type Secret, toBase64Url } from '../../src/core/index.ts';
import {
  ARGUMENTS,
  argumentsHash,
  blindHash,
  encodeConfirmation,
  encodeOprfInput,
  encodeOuter,
  encodeRequestContent,
  encodeSealingInfo,
  encodeStretchSalt,
  type Fleet,
  type Operation,
  type Outer,
} from '../../src/protocol/index.ts';
import { encodePost } from './connection.ts';
import { type BenchRecord, type BenchUser, PIN, type Tenancy } from './records.ts';
import { clientSigner, newSender, type Sender, sealWith } from './seal.ts';

/** Kept of a recovery whose answer is fully checked after the window. */
export interface Sample {
  readonly input: Uint8Array;
  readonly blind: Secret;
  /** Opens what node `node` sealed to the attempt. */
  readonly openers: ReadonlyMap<number, (sealed: Uint8Array) => Promise<Uint8Array>>;
}

export interface PreparedRecovery {
  readonly record: BenchRecord;
  readonly attempt: number;
  readonly blindHash: Uint8Array;
  /** Whole requests of HTTP, to one coordinator. */
  readonly status: Buffer;
  readonly sample: Sample | undefined;
  /** @param answered nodes that have answered the status: these need no signature any more. */
  attemptRequest(answered: ReadonlySet<number>): Buffer;
  /** The confirmation of exactly this attempt, once its certificate is known. About 0.2 ms. */
  confirm(certificate: Uint8Array, answered: ReadonlySet<number>): Buffer;
}

/** What the client signs for, as in src/client/channel.ts. */
type Signs = 'request' | 'context' | 'nothing';

const GENERATION = 1;
const suite = standardSuite();

/**
 * One of a lane's records in turn, so that a record rests between two of its recoveries.
 * @param contexts whether the nodes take a signature for a whole context; those of an older build take one for each request.
 */
export async function prepareRecoveries(
  tenancy: Tenancy,
  records: readonly BenchRecord[],
  count: number,
  sampleEvery: number,
  contexts: boolean,
): Promise<PreparedRecovery[]> {
  const usable = records.filter((record) => record.usable);
  if (usable.length === 0) throw new Error('no record is left that can be used');
  const planned = new Map(usable.map((record) => [record, record.next]));
  const prepared: PreparedRecovery[] = [];
  for (let i = 0; i < count; i++) {
    const record = usable[i % usable.length]!;
    const attempt = planned.get(record)!;
    planned.set(record, attempt + 1);
    prepared.push(await prepare(tenancy, record, attempt, sampleEvery > 0 && i % sampleEvery === 0, contexts));
  }
  return prepared;
}

/** Status requests, one for each of the records, whatever is stored under their ids, signed for themselves or their context. */
export async function prepareStatuses(
  tenancy: Tenancy,
  ids: readonly Uint8Array[],
  signs: Signs = 'request',
): Promise<Buffer[]> {
  const clientKey = generateClientKey();
  const sign = clientSigner(clientKeyToJwk(clientKey));
  const url = new URL(tenancy.trust.coordinators[0]!);
  const requests: Buffer[] = [];
  for (const record of ids) {
    const user = { subject: 'nobody', record, clientKey, sign };
    const maker = new RequestMaker(tenancy.trust.fleet, url, user, await tenancy.userToken(user));
    requests.push(maker.request('status', 0, 0, ARGUMENTS.status.encode({}), maker.senders(), () => signs));
  }
  return requests;
}

async function prepare(
  tenancy: Tenancy,
  record: BenchRecord,
  attempt: number,
  sampled: boolean,
  contexts: boolean,
): Promise<PreparedRecovery> {
  const { fleet } = tenancy.trust;
  // A new device gets a new user token: the nodes verify its signature anew.
  const userToken = await tenancy.userToken(record);
  // Which of several coordinators gets it makes no difference to the request but its host.
  const maker = new RequestMaker(fleet, new URL(tenancy.trust.coordinators[0]!), record, userToken);
  const { blindedElement, blinding } = sampled ? await realBlind(fleet, record) : randomElement();
  const hash = blindHash(blindedElement);
  const senders = maker.senders();
  const first = contexts ? 'context' : 'request';
  const status = maker.request('status', 0, 0, ARGUMENTS.status.encode({}), senders, () => first);
  const signs = (answered: ReadonlySet<number>) => (node: number) =>
    contexts && answered.has(node) ? 'nothing' : 'request';
  const attemptArguments = ARGUMENTS.attempt.encode({ blindHash: hash });
  const openers = new Map<number, (sealed: Uint8Array) => Promise<Uint8Array>>();
  const bySuite = sampled
    ? await maker.requestBySuite('attempt', GENERATION, attempt, attemptArguments, blindedElement, openers)
    : undefined;
  const sealAttempt = (signed: Signs) =>
    bySuite ? [] : maker.seal('attempt', GENERATION, attempt, attemptArguments, senders, () => signed, blindedElement);
  // Both ways, each under a number of its own: which nodes answer the status is not known yet.
  const sealed = { request: sealAttempt('request'), nothing: contexts ? sealAttempt('nothing') : [] };
  const signature = suite.sign(
    record.keys.confirmKey,
    encodeConfirmation({
      fleet: fleet.fleet,
      record: record.record,
      generation: GENERATION,
      attempt,
      blindHash: hash,
    }),
  );
  return {
    record,
    attempt,
    blindHash: hash,
    status,
    sample: blinding && { ...blinding, openers },
    attemptRequest: (answered) => {
      const signed = signs(answered);
      const parts = sealed.request.map((part) => sealed[signed(part.node)].find(({ node }) => node === part.node)!);
      return bySuite ?? maker.post('attempt', GENERATION, attempt, attemptArguments, parts);
    },
    confirm: (certificate, answered) => {
      const encoded = ARGUMENTS.confirm.encode({ certificate, signature });
      return maker.request('confirm', GENERATION, attempt, encoded, senders, signs(answered));
    },
  };
}

interface Blinding {
  readonly blindedElement: Uint8Array;
  readonly blinding: { readonly input: Uint8Array; readonly blind: Secret } | undefined;
}

/** A random point looks to everybody as a blinded element does. */
function randomElement(): Blinding {
  const ephemeral = createECDH('prime256v1');
  ephemeral.generateKeys();
  return { blindedElement: new Uint8Array(ephemeral.getPublicKey(null, 'compressed')), blinding: undefined };
}

async function realBlind(fleet: Fleet, { record }: BenchRecord): Promise<Blinding> {
  const salt = encodeStretchSalt(fleet.fleet, record);
  const stretched = await suite.stretch(new TextEncoder().encode(PIN), salt, fleet.policy.keyStretching);
  const input = encodeOprfInput({ fleet: fleet.fleet, record, stretched });
  const { blind, blindedElement } = suite.blind(input);
  return { blindedElement, blinding: { input, blind } };
}

interface SealedPart {
  readonly node: number;
  readonly enc: string;
  readonly ciphertext: string;
}

/** Requests of one user in one recovery, as the SDK's session makes them. */
class RequestMaker {
  readonly #fleet: Fleet;
  readonly #record: BenchUser;
  readonly #userToken: string;
  readonly #tokenHash: Uint8Array;
  readonly #coordinator: URL;

  constructor(fleet: Fleet, coordinator: URL, record: BenchUser, userToken: string) {
    this.#fleet = fleet;
    this.#coordinator = coordinator;
    this.#record = record;
    this.#userToken = userToken;
    this.#tokenHash = hashUserToken(userToken);
  }

  senders(): Sender[] {
    const { fleet, epoch, nodes } = this.#fleet;
    return nodes.map(({ session }, i) => newSender(session, encodeSealingInfo({ fleet, epoch, node: i + 1 })));
  }

  request(...request: Parameters<RequestMaker['seal']>): Buffer {
    const [operation, generation, attempt, encoded] = request;
    return this.post(operation, generation, attempt, encoded, this.seal(...request));
  }

  seal(
    operation: Operation,
    generation: number,
    attempt: number,
    encoded: Uint8Array,
    senders: readonly Sender[],
    signs: (node: number) => Signs,
    blindedElement?: Uint8Array,
  ): SealedPart[] {
    return senders.map((sender, i) => {
      const outer = this.#outer(operation, generation, attempt, encoded, i + 1);
      const content = this.#content(outer, blindedElement, signs(i + 1), sender.enc);
      const ciphertext = sealWith(sender, encodeOuter(outer), content);
      return { node: i + 1, enc: toBase64Url(sender.enc), ciphertext: toBase64Url(ciphertext) };
    });
  }

  /** By the SDK's own sealing, which can open the answers. */
  async requestBySuite(
    operation: Operation,
    generation: number,
    attempt: number,
    encoded: Uint8Array,
    blindedElement: Uint8Array,
    openers: Map<number, (sealed: Uint8Array) => Promise<Uint8Array>>,
  ): Promise<Buffer> {
    const sealed = await Promise.all(
      this.#fleet.nodes.map(async ({ session }, i) => {
        const outer = this.#outer(operation, generation, attempt, encoded, i + 1);
        const sealer = await suite.newSealer(session, outer);
        const { enc, ciphertext, openAnswer } = await sealer.seal(
          outer,
          this.#content(outer, blindedElement, 'request'),
        );
        openers.set(i + 1, openAnswer);
        return { node: i + 1, enc: toBase64Url(enc), ciphertext: toBase64Url(ciphertext) };
      }),
    );
    return this.post(operation, generation, attempt, encoded, sealed);
  }

  #outer(operation: Operation, generation: number, attempt: number, encoded: Uint8Array, node: number): Outer {
    const { fleet, epoch } = this.#fleet;
    const { record } = this.#record;
    return { fleet, epoch, node, operation, record, generation, attempt, argumentsHash: argumentsHash(encoded) };
  }

  #content(outer: Outer, blindedElement: Uint8Array | undefined, signs: Signs, enc?: Uint8Array): Uint8Array {
    const common = { userToken: this.#userToken, blindedElement };
    const sign = (context?: Uint8Array) => this.#record.sign(encodeOuter(outer), this.#tokenHash, context);
    if (signs === 'request') return encodeRequestContent({ version: 1, clientSignature: sign(), ...common });
    const clientSignature = signs === 'context' ? sign(enc) : undefined;
    return encodeRequestContent({ version: 2, clientSignature, ...common });
  }

  post(
    operation: Operation,
    generation: number,
    attempt: number,
    encoded: Uint8Array,
    sealed: readonly SealedPart[],
  ): Buffer {
    const { fleet, epoch } = this.#fleet;
    const record = toBase64Url(this.#record.record);
    const body = { fleet, epoch, record, generation, attempt, arguments: toBase64Url(encoded), sealed };
    return encodePost(this.#coordinator, `/v1/${operation}`, JSON.stringify(body));
  }
}
