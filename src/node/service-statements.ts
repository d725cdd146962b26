/** What the node says of itself for the deployment's evidence, signed on its token (docs/trust.md, section 4). */

import { bytesToHex, type Clock, HoldfastError } from '../core/index.ts';
import {
  encodeServiceStatement,
  encodeSignedServiceStatement,
  type Fleet,
  type ServiceSoftware,
} from '../protocol/index.ts';
import type { Token } from '../token/port.ts';

export interface ServiceStatementsOptions {
  readonly fleet: Fleet;
  readonly node: number;
  readonly token: Pick<Token, 'sign' | 'description'>;
  readonly clock: Clock;
  readonly software: ServiceSoftware;
}

/** Milliseconds for which the same question gets the same answer, and for which other questions wait for their turn. */
const KEEP = 10_000;
/** Bundles that are remembered: a coordinator that asks about many costs the token no more. */
const MAXIMUM_KEPT = 4;

export class ServiceStatements {
  readonly #options: ServiceStatementsOptions;
  readonly #kept = new Map<string, { readonly time: number; readonly answer: Promise<Uint8Array> }>();

  constructor(options: ServiceStatementsOptions) {
    this.#options = options;
  }

  /**
   * The encoded signed statement about the bundle with this digest (32 bytes).
   * @throws HoldfastError `overloaded` where many others were asked about in the last seconds, `token_*`.
   */
  async about(bundle: Uint8Array, { incarnation }: { readonly incarnation: number }): Promise<Uint8Array> {
    const now = this.#options.clock.now();
    for (const [key, { time }] of this.#kept) if (Math.abs(now - time) >= KEEP) this.#kept.delete(key);
    const key = `${bytesToHex(bundle)} ${incarnation}`;
    const known = this.#kept.get(key);
    if (known) return known.answer;
    if (this.#kept.size >= MAXIMUM_KEPT) {
      throw new HoldfastError('overloaded', 'too many service statements were asked for; ask again in 10 seconds');
    }
    const answer = this.#sign(bundle, incarnation, now);
    this.#kept.set(key, { time: now, answer });
    // A token that failed may be asked again at once.
    answer.catch(() => this.#kept.delete(key));
    return answer;
  }

  async #sign(bundle: Uint8Array, incarnation: number, time: number): Promise<Uint8Array> {
    const { fleet, node, token, software } = this.#options;
    const { module: path, manufacturer, model, serial, firmware } = token.description;
    // Where it lies on this machine is nobody's business.
    const module = path.slice(path.lastIndexOf('/') + 1);
    const statement = encodeServiceStatement({
      ...{ fleet: fleet.fleet, epoch: fleet.epoch, node, incarnation, time, bundle },
      ...{ policy: fleet.policy, software, token: { module, manufacturer, model, serial, firmware } },
    });
    return encodeSignedServiceStatement({ statement, signature: await token.sign(statement) });
  }
}
