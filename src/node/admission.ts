/** Who may ask what: the checks every node makes of a client's request before it looks at any state (section 6). */

import { asHoldfastError, bytesToHex, type Clock, equalBytes, HoldfastError, sha256 } from '../core/index.ts';
import {
  type AnswerContent,
  argumentsHash,
  type ClientRequest,
  decodeRequestContent,
  encodeAnswerContent,
  encodeOuter,
  type Fleet,
  type Operation,
  type Outer,
  RATE_WINDOW,
  type RequestContent,
} from '../protocol/index.ts';
import type { ClientAuthentication, RequestSealing } from './ports.ts';

/** A request that this node has opened and whose sender it has authenticated. */
export interface AdmittedRequest {
  readonly outer: Outer;
  readonly content: RequestContent;
  seal(answer: Partial<AnswerContent>): Uint8Array;
  /** Its last step was answered: should it come again, it is opened again. What is kept longer, the collector copies about. */
  forget(): void;
}

export interface AdmissionOptions {
  readonly fleet: Fleet;
  readonly node: number;
  readonly sealing: RequestSealing;
  readonly authentication: ClientAuthentication;
  readonly clock: Clock;
  /** Requests of one record, by whoever is entitled to it, that are taken in `RATE_WINDOW`; opening costs a token operation. */
  readonly requestsPerRecord: number;
}

/** How long an opened request is kept for its second step, in ms, and how many at most. */
const KEEP_MILLISECONDS = 30_000;
const KEEP_REQUESTS = 8192;
/** Operations of two steps. What is kept of the others would only be copied about by the collector. */
const EVALUATED: ReadonlySet<Operation> = new Set(['open', 'attempt']);

/** Requests of one record that were taken since a time in ms, by their names. */
interface Rate {
  readonly taken: Set<string>;
  readonly since: number;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #kept = new Map<string, { readonly request: AdmittedRequest; readonly until: number }>();
  readonly #rates = new Map<string, Rate>();

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * The opened request. The second step of an operation finds what the first one opened.
   *
   * Counted against the record's limit are only requests that its user's token allows, each once: a record's id is no
   * secret, and neither whoever knows one nor whoever saw a request of its owner's must be able to have the owner turned
   * away. What is new and over the limit costs no token operation.
   * @throws HoldfastError `malformed`, `rate_limited` or `forbidden`; whoever is not entitled learns nothing more.
   */
  async admit(request: ClientRequest): Promise<AdmittedRequest> {
    const { fleet, node, sealing, authentication, clock } = this.#options;
    if (request.fleet !== fleet.fleet || request.epoch !== fleet.epoch) {
      throw new HoldfastError('malformed', 'the request is for another fleet or epoch');
    }
    const sealed = request.sealed.find((part) => part.node === node);
    if (!sealed) throw new HoldfastError('malformed', 'the request has no part for this node');
    const outer: Outer = {
      fleet: request.fleet,
      epoch: request.epoch,
      node,
      operation: request.operation,
      record: request.record,
      generation: request.generation,
      attempt: request.attempt,
      argumentsHash: argumentsHash(request.arguments),
    };
    // The name covers the outer fields: what was admitted for one operation is not found for another.
    const name = bytesToHex(sha256(encodeOuter(outer), sealed.enc, sealed.ciphertext));
    const known = this.#kept.get(name);
    if (known && known.until > clock.now()) return known.request;
    const record = bytesToHex(request.record);
    const counted = this.#rates.get(record);
    // What was counted is taken again for nothing: its second step may come, or come again, when the limit is reached.
    if (!counted?.taken.has(name)) this.#requireRoom(counted);
    const opened = await sealing.open(outer, sealed.enc, sealed.ciphertext);
    const content = decodeRequestContent(opened.plaintext);
    const seal = (answer: Partial<AnswerContent>) =>
      opened.sealAnswer(
        encodeAnswerContent({ code: 'ok', reason: '', until: 0, evaluatedElement: undefined, ...answer }),
      );
    try {
      await authentication.check(outer, content, opened.context);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'forbidden') throw error;
      throw new RefusedRequest(error, seal({ code: 'forbidden', reason: String(error.details.reason ?? '') }));
    }
    this.#take(name, this.#rate(record), seal);
    const admitted = { outer, content, seal, forget: () => void this.#kept.delete(name) };
    if (EVALUATED.has(request.operation)) this.#keep(name, admitted);
    return admitted;
  }

  #keep(name: string, request: AdmittedRequest): void {
    const now = this.#options.clock.now();
    for (const [oldest, { until }] of this.#kept) {
      if (until > now) break;
      this.#kept.delete(oldest);
    }
    if (this.#kept.size >= KEEP_REQUESTS) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(name, { request, until: now + KEEP_MILLISECONDS });
  }

  /** Counts a request, once: who repeats what its sender sent, as a coordinator can, uses nothing up. */
  #take(name: string, rate: Rate, seal: AdmittedRequest['seal']): void {
    if (rate.taken.has(name)) return;
    try {
      // Others may have been opened meanwhile.
      this.#requireRoom(rate);
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      throw new RefusedRequest(error, seal({ code: error.code, until: Number(error.details.until) }));
    }
    rate.taken.add(name);
  }

  /** What was counted of this record in the window that runs, or in a new one. */
  #rate(record: string): Rate {
    const known = this.#rates.get(record);
    if (known && this.#runs(known)) return known;
    this.#rates.delete(record);
    if (this.#rates.size >= KEEP_REQUESTS) this.#rates.delete(this.#rates.keys().next().value!);
    const rate = { taken: new Set<string>(), since: this.#options.clock.now() };
    this.#rates.set(record, rate);
    return rate;
  }

  #runs({ since }: Rate): boolean {
    // A clock that stepped back must not make a window longer.
    return Math.abs(this.#options.clock.now() - since) < RATE_WINDOW;
  }

  #requireRoom(rate: Rate | undefined): void {
    if (!rate || rate.taken.size < this.#options.requestsPerRecord || !this.#runs(rate)) return;
    throw new HoldfastError('rate_limited', 'too many requests for this record', {
      details: { until: rate.since + RATE_WINDOW },
    });
  }
}

/** A refusal whose reason is sealed to the client, so that its owner learns it and nobody else. */
export class RefusedRequest extends HoldfastError {
  readonly sealed: Uint8Array;

  constructor(error: HoldfastError, sealed: Uint8Array) {
    super(error.code, error.message, { cause: error, details: error.details });
    this.sealed = sealed;
  }
}

/**
 * Runs what follows the admission of a request, so that whatever it throws is sealed to the client too: a client
 * believes no refusal that a coordinator could have made up.
 */
export async function refusalsSealed<T>(admitted: AdmittedRequest, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    // What nobody foresaw may say more than a client should read.
    const reason = error.code === 'unexpected' ? '' : error.message.slice(0, 160);
    throw new RefusedRequest(
      error,
      admitted.seal({ code: error.code, reason, until: Number(error.details.until ?? 0) }),
    );
  }
}

/** Whether the sealed blinded element is the one that the public arguments name. */
export function namesElement(hash: Uint8Array, named: Uint8Array): void {
  if (!equalBytes(hash, named)) {
    throw new HoldfastError('malformed', 'the blinded element is not the one that the arguments name');
  }
}
