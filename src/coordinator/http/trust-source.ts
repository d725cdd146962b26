/**
 * The newest trust set that the cosigner or a mirror shows of this fleet, for clients that reach only coordinators
 * (docs/trust.md, section 5). Its shape is checked, so that no other fleet's and no rubbish is handed on. The coordinator
 * believes nothing in it: clients verify it, and the coordinator itself goes by its own trust file.
 */

import { Agent, request } from 'undici';
import { asHoldfastError, type Clock, HoldfastError, systemClock } from '../../core/index.ts';
import type { Logger } from '../../http/index.ts';
import { MAXIMUM_TRUST_SET, parseBundle, parseNote, parseTrustSet } from '../../trust/index.ts';

export interface TrustSourceSettings {
  /** Origins of the cosigner and of mirrors, the preferred one first. */
  readonly urls: readonly string[];
  /** PEM of the authority of their HTTPS; undefined for the platform's own. */
  readonly authorityPem: string | undefined;
  /** Milliseconds between two looks. */
  readonly interval: number;
}

export interface KnownTrustSet {
  /** Serial of the bundle in it, as it says itself. */
  readonly serial: number;
  /** SHA-256 of the bundle's text, in hexadecimal. */
  readonly digest: string;
  readonly set: Uint8Array;
  /** Milliseconds since 1970. */
  readonly fetchedAt: number;
}

/** Milliseconds for one source to answer. */
const TIMEOUT = 10_000;

export class TrustSource {
  readonly #fleet: string;
  readonly #settings: TrustSourceSettings;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #agent: Agent;
  #known: KnownTrustSet | undefined;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(fleet: string, settings: TrustSourceSettings, log: Logger, clock: Clock = systemClock) {
    this.#fleet = fleet;
    this.#settings = settings;
    this.#log = log;
    this.#clock = clock;
    const { authorityPem } = settings;
    this.#agent = new Agent({
      maxResponseSize: MAXIMUM_TRUST_SET,
      headersTimeout: TIMEOUT,
      bodyTimeout: TIMEOUT,
      connect: { timeout: 3000, ...(authorityPem !== undefined && { ca: authorityPem }) },
    });
  }

  /** Undefined before a source has shown one. */
  get known(): KnownTrustSet | undefined {
    return this.#known;
  }

  /** Looks now and from then on. */
  start(): void {
    if (this.#closed || this.#running !== undefined) return;
    this.#running = this.look().then(() => {
      this.#running = undefined;
      if (!this.#closed) this.#timer = setTimeout(() => this.start(), this.#settings.interval);
    });
  }

  /** Asks the sources in turn until one shows a set of this fleet. Without one, what is known stays. */
  async look(): Promise<void> {
    for (const url of this.#settings.urls) {
      try {
        const known = await this.#ask(url);
        if (known.serial !== this.#known?.serial) {
          this.#log.info({ event: 'trust set', fleet: this.#fleet, serial: known.serial, url });
        }
        this.#known = known;
        return;
      } catch (thrown) {
        if (this.#closed) return;
        const { code, message } = asHoldfastError(thrown);
        this.#log.warn({ event: 'no trust set', url, code, reason: message });
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#agent.destroy();
    await this.#running;
  }

  async #ask(url: string): Promise<KnownTrustSet> {
    const { statusCode, body } = await request(`${url}/trust/${this.#fleet}`, {
      dispatcher: this.#agent,
      // Bounds the whole exchange: a source could send a byte now and then for ever.
      signal: AbortSignal.timeout(TIMEOUT),
    });
    const set = Uint8Array.from(await body.bytes());
    if (statusCode !== 200) throw new HoldfastError('trust_unavailable', `it answered ${statusCode}`);
    const { manifest, digest } = parseBundle(parseNote(parseTrustSet(set).bundle).text);
    if (manifest.fleet === this.#fleet) return { serial: manifest.serial, digest, set, fetchedAt: this.#clock.now() };
    throw new HoldfastError('wrong_environment', 'the trust set is of another fleet');
  }
}
