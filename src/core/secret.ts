/** Secrets that redact themselves wherever something prints, serialises or inspects them. */

const REDACTED = '[redacted]';

/** Holds secret bytes. Only `reveal` gives them; `wipe` overwrites them as well as a JavaScript engine allows. */
export class Secret {
  readonly #bytes: Uint8Array;

  /** Takes ownership of `bytes`: the caller keeps no other use of them. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  reveal(): Uint8Array {
    return this.#bytes;
  }

  wipe(): void {
    this.#bytes.fill(0);
  }

  [Symbol.dispose](): void {
    this.wipe();
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return REDACTED;
  }
}
