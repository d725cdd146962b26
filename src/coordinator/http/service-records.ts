/**
 * What the nodes sign of themselves about the bundle that the log has accepted: for the service record of the deployment's
 * evidence (docs/trust.md, section 4). Only that one bundle is asked about, and seldom, so that no stranger's questions cost
 * a token anything.
 */

import { asHoldfastError, bytesToHex, type Clock, equalBytes, HoldfastError, hexToBytes } from '../../core/index.ts';
import {
  decodeSignedServiceStatement,
  type Fleet,
  type SignatureChecks,
  type SignedServiceStatement,
  verifyServiceStatement,
} from '../../protocol/index.ts';
import type { CoordinatorObserver, NodeTransport } from '../ports.ts';

export interface ServiceRecordsOptions {
  readonly fleet: Fleet;
  readonly transport: NodeTransport;
  readonly checks: Pick<SignatureChecks, 'ecdsa'>;
  readonly clock: Clock;
  readonly observer: CoordinatorObserver;
  /** Digest of the accepted bundle's text in hexadecimal; undefined where none is known. */
  readonly bundle: () => string | undefined;
}

export interface ServiceRecords {
  /** Digest of the bundle's text, in hexadecimal. */
  readonly bundle: string;
  /** Of the nodes that answered, in order. */
  readonly statements: readonly ({ readonly node: number } & SignedServiceStatement)[];
}

/** Milliseconds for which an answer of all nodes is given again, and one that lacks some. */
const KEEP = 60_000;
const KEEP_PARTIAL = 5000;

export class ServiceRecordSource {
  readonly #options: ServiceRecordsOptions;
  #asking: { readonly bundle: string; readonly records: Promise<ServiceRecords> } | undefined;
  #kept: { readonly time: number; readonly records: ServiceRecords } | undefined;

  constructor(options: ServiceRecordsOptions) {
    this.#options = options;
  }

  /** @throws HoldfastError `not_found` where no accepted bundle is known. */
  async get(): Promise<ServiceRecords> {
    const { bundle: known, clock, fleet } = this.#options;
    const bundle = known();
    if (bundle === undefined) {
      throw new HoldfastError(
        'not_found',
        'this coordinator knows no accepted bundle that its nodes could speak about',
      );
    }
    if (this.#kept?.records.bundle === bundle) {
      const whole = this.#kept.records.statements.length === fleet.nodes.length;
      if (Math.abs(clock.now() - this.#kept.time) < (whole ? KEEP : KEEP_PARTIAL)) return this.#kept.records;
    }
    if (this.#asking?.bundle !== bundle) {
      const records = this.#ask(bundle).finally(() => {
        if (this.#asking?.records === records) this.#asking = undefined;
      });
      this.#asking = { bundle, records };
    }
    return this.#asking.records;
  }

  async #ask(bundle: string): Promise<ServiceRecords> {
    const { fleet, clock } = this.#options;
    const asked = hexToBytes(bundle);
    const answers = await Promise.all(fleet.nodes.map((_, i) => this.#statementOf(i + 1, asked)));
    const records = { bundle, statements: answers.filter((answer) => answer !== undefined) };
    this.#kept = { time: clock.now(), records };
    return records;
  }

  /** Undefined where the node does not answer, or wrongly. */
  async #statementOf(node: number, bundle: Uint8Array) {
    const { fleet, transport, checks, observer } = this.#options;
    try {
      const { code, reason, content } = await transport.send(node, { kind: 'service', bundle });
      if (code !== 'ok' || !content) throw new HoldfastError('not_ready', `it answered ${code}: ${reason}`);
      const signed = decodeSignedServiceStatement(content);
      const says = verifyServiceStatement(signed, fleet, checks);
      if (says.node === node && equalBytes(says.bundle, bundle)) return { node, ...signed };
      throw new HoldfastError('untrusted', 'it speaks of another node or bundle');
    } catch (thrown) {
      const { code, message } = asHoldfastError(thrown);
      observer.event('warn', 'no service statement', { node, code, reason: message, bundle: bytesToHex(bundle) });
      return undefined;
    }
  }
}
