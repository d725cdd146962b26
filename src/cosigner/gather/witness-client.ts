/** One witness as the log sees it: `add-checkpoint`, with every answer that C2SP tlog-witness gives it. */

import { asHoldfastError, bytesToHex, HoldfastError, sha256, utf8 } from '../../core/index.ts';
import {
  type Checkpoint,
  type NoteSignature,
  type PolicyWitness,
  parseCheckpoint,
  parseDecimal,
  parseNote,
  parseSignatureLines,
  type SignedNote,
  serialiseNote,
  toBase64,
  verifySignature,
} from '../../trust/index.ts';

interface Limits {
  readonly maximumBytes: number;
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

/** What sends a request. Rejects where there is no whole answer within the limits; follows no redirect. */
export interface WitnessTransport {
  get(url: URL, limits: Limits): Promise<Answer>;
  post(url: URL, body: Uint8Array, headers: Readonly<Record<string, string>>, limits: Limits): Promise<Answer>;
}

/** A cosignature that verifies. */
export interface Cosigned {
  readonly line: NoteSignature;
  /** Since 1970, by the witness's clock. */
  readonly seconds: number;
}

export interface WitnessClientOptions {
  readonly witness: PolicyWitness & { readonly url: string };
  readonly transport: WitnessTransport;
  /** Milliseconds for one request. */
  readonly timeout: number;
  readonly proveConsistency: (older: number, newer: number) => Promise<readonly Uint8Array[]>;
}

/** A response of a few lines. */
const MAXIMUM_ANSWER = 16_384;

export class WitnessClient {
  readonly #options: WitnessClientOptions;
  /** Size of the checkpoint that it cosigned last, as far as is known. */
  #size = 0;

  constructor(options: WitnessClientOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.witness.name;
  }

  /**
   * A fresh cosignature on a checkpoint that the log has signed.
   * @throws HoldfastError `rolled_back` where the witness has cosigned a larger checkpoint of this log, `split_view` where
   * it says that the trees differ, else `not_ready` (worth another try) or `untrusted` (a person has to look).
   */
  async cosign(note: SignedNote, signal?: AbortSignal): Promise<Cosigned> {
    const checkpoint = parseCheckpoint(note.text);
    let answer = await this.#add(note, checkpoint, signal);
    if (answer.status === 409) {
      this.#size = this.#sizeIn(answer.body, checkpoint);
      answer = await this.#add(note, checkpoint, signal);
    }
    if (answer.status !== 200) throw this.#refusal(answer.status, checkpoint);
    const cosigned = this.#cosignatureIn(answer.body, note.text);
    this.#size = checkpoint.size;
    return cosigned;
  }

  /** The checkpoint of this log that the witness cosigned last, as it shows it; nothing of it has been verified. */
  async newestCheckpoint(origin: string, signal?: AbortSignal): Promise<SignedNote> {
    const { transport, timeout, witness } = this.#options;
    const path = `${bytesToHex(sha256(utf8(origin)))}/checkpoint`;
    const limits = { maximumBytes: MAXIMUM_ANSWER, timeout, signal };
    const { status, body } = await transport.get(new URL(`${witness.url.replace(/\/$/, '')}/${path}`), limits);
    if (status !== 200) throw this.#error('not_ready', `shows no checkpoint of this log (status ${status})`);
    return parseNote(body, { maximumBytes: MAXIMUM_ANSWER });
  }

  async #add(note: SignedNote, checkpoint: Checkpoint, signal: AbortSignal | undefined) {
    const { transport, timeout, witness, proveConsistency } = this.#options;
    const older = Math.min(this.#size, checkpoint.size);
    const proof = await proveConsistency(older, checkpoint.size);
    const lines = [`old ${older}`, ...proof.map(toBase64), ''];
    const body = utf8(`${lines.join('\n')}\n${serialiseNote(note)}`);
    const url = new URL(`${witness.url.replace(/\/$/, '')}/add-checkpoint`);
    const headers = { 'content-type': 'text/plain; charset=utf-8' };
    return transport.post(url, body, headers, { maximumBytes: MAXIMUM_ANSWER, timeout, signal });
  }

  /** The size that a 409 tells. */
  #sizeIn(body: Uint8Array, { size }: Checkpoint): number {
    const text = textOf(body);
    let told: number;
    try {
      if (!text.endsWith('\n')) throw new HoldfastError('malformed', 'no newline');
      told = parseDecimal(text.slice(0, -1));
    } catch (cause) {
      throw this.#error('untrusted', 'answered 409 without a size', cause);
    }
    if (told > size) {
      throw this.#error(
        'rolled_back',
        `has cosigned ${told} leaves of this log, which has ${size}: the store is older than what was published`,
      );
    }
    return told;
  }

  #refusal(status: number, { size }: Checkpoint): HoldfastError {
    switch (status) {
      case 422:
        return this.#error('split_view', `says that the checkpoint of ${size} leaves is not consistent with its own`);
      case 404:
        return this.#error('untrusted', 'does not know this log; ask its operator to add the log’s key');
      case 403:
        return this.#error('untrusted', 'does not take this log’s signature; compare the log’s key with its operator');
      case 409:
        return this.#error('not_ready', 'cosigned another checkpoint meanwhile');
      default:
        return this.#error('not_ready', `answered with status ${status}`);
    }
  }

  /** Lines of other keys are passed over, as the specification wants. */
  #cosignatureIn(body: Uint8Array, text: string): Cosigned {
    const { key } = this.#options.witness;
    let lines: NoteSignature[];
    try {
      lines = parseSignatureLines(textOf(body));
    } catch (cause) {
      throw this.#error('untrusted', 'answered with something that is no signature', cause);
    }
    const own = lines.filter(({ name, id }) => name === key.name && id === key.id);
    const line = own[0];
    if (!line || own.length > 1) throw this.#error('untrusted', 'answered without exactly one signature of its key');
    const seconds = verifySignature(key, text, line.signature)?.seconds;
    if (typeof seconds !== 'number') throw this.#error('untrusted', 'answered with a signature that does not verify');
    return { line, seconds };
  }

  #error(code: 'rolled_back' | 'split_view' | 'not_ready' | 'untrusted', what: string, cause?: unknown): HoldfastError {
    return new HoldfastError(code, `the witness ${this.name} ${what}`, {
      ...(cause !== undefined && { cause: asHoldfastError(cause) }),
      details: { witness: this.name },
    });
  }
}

/** Any bytes as text: what is no UTF-8 then fails to parse. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}
