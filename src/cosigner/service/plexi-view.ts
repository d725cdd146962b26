/**
 * The view of Cloudflare's Plexi (repository cloudflare/plexi): each accepted bundle as an epoch of its fleet's namespace,
 * signed once. It shows signed digests; that history is append-only the log shows, with which monitors compare it.
 */

import { HoldfastError, hexToBytes, parseJson } from '../../core/index.ts';
import {
  canonicalJson,
  type NoteSigner,
  PLEXI_CIPHERSUITE,
  type PlexiStatement,
  parseVerifierKey,
  plexiMessage,
  plexiNamespace,
  plexiResponse,
  verifyPlexi,
} from '../../trust/index.ts';
import type { LogStore } from '../log/index.ts';
import { type AcceptedBundle, type Ledger, viewRow } from './ledger.ts';

export interface PlexiViewOptions {
  readonly store: LogStore;
  readonly ledger: Ledger;
  /** Ed25519. */
  readonly signer: NoteSigner;
  /** Milliseconds since 1970 from which the key was in use; what `/info` says. */
  readonly notBefore: number;
  /**
   * Leaves of the log's checkpoint that readers are shown, which a quorum of witnesses has confirmed: the view says nothing of
   * what comes after them, so that nobody who compares the two finds it ahead of the log.
   */
  readonly size: () => number;
}

const NO_DIGEST = '0'.repeat(64);
const signatureKey = (fleet: string, serial: number) => `plexi/${fleet}/${serial}`;

export class PlexiView {
  readonly #options: PlexiViewOptions;
  readonly #publicKey: Uint8Array;

  constructor(options: PlexiViewOptions) {
    this.#options = options;
    const { type, publicKey } = parseVerifierKey(options.signer.verifierKey);
    if (type !== 'ed25519') throw new HoldfastError('usage', 'the key for Plexi’s statements must be Ed25519');
    this.#publicKey = publicKey;
  }

  /**
   * Signs what was accepted in the first `size` leaves and has no statement yet. The statement's time is that of the acceptance,
   * so that the same bytes are signed where a crash came between signing and storing.
   */
  async signMissing(size: number): Promise<void> {
    const { ledger, store, signer } = this.#options;
    for (const fleet of ledger.state.fleets.keys()) {
      for (const bundle of ledger.fleet(fleet).accepted) {
        const key = signatureKey(fleet, bundle.serial);
        if (bundle.index >= size || ledger.read(key) !== undefined) continue;
        const statement = this.#statement(fleet, bundle);
        const signature = await signer.sign(plexiMessage(statement));
        if (!verifyPlexi(this.#publicKey, statement, signature)) {
          throw new HoldfastError(
            'token_failed',
            'the signature for Plexi does not verify by its key; check the token',
          );
        }
        await store.commit([viewRow(key, canonicalJson({ ...plexiResponse(statement, this.#publicKey, signature) }))]);
      }
    }
  }

  /** `/info`. */
  info() {
    const { notBefore } = this.#options;
    const key = { public_key: Buffer.from(this.#publicKey).toString('hex'), not_before: notBefore };
    return { keys: [key], logs: this.#fleets().map((fleet) => this.#namespace(fleet)) };
  }

  /** `/namespaces`. */
  namespaces() {
    return { namespaces: this.#fleets().map((fleet) => this.#info(fleet)) };
  }

  /** `/namespaces/{ns}`, or undefined. */
  namespace(namespace: string) {
    const fleet = this.#fleetOf(namespace);
    return fleet === undefined ? undefined : this.#info(fleet);
  }

  /** `/namespaces/{ns}/audits/{epoch}`, or undefined. */
  audit(namespace: string, epoch: number): unknown {
    const fleet = this.#fleetOf(namespace);
    const isShown = fleet !== undefined && this.#signed(fleet).some(({ serial }) => serial === epoch);
    const row = isShown ? this.#options.ledger.read(signatureKey(fleet, epoch)) : undefined;
    return row === undefined ? undefined : parseJson(row, 'bad_input').value;
  }

  /** `/namespaces/{ns}/last-verified-epoch`, or undefined. */
  lastVerifiedEpoch(namespace: string) {
    const fleet = this.#fleetOf(namespace);
    const bundles = fleet === undefined ? [] : this.#signed(fleet);
    const last = bundles.at(-1);
    if (last === undefined) return undefined;
    return {
      job_id: uuidOf(last.digest),
      epoch: last.serial,
      start_hash: bundles.at(-2)?.digest ?? NO_DIGEST,
      end_hash: last.digest,
      timestamp: last.time,
    };
  }

  #info(fleet: string) {
    const bundles = this.#signed(fleet);
    const [first] = bundles;
    const last = bundles.at(-1);
    const name = this.#namespace(fleet);
    const { revokedThrough = 0 } = this.#options.ledger.state.fleets.get(fleet) ?? {};
    return {
      name,
      log_directory: null,
      root: first ? `${first.serial}/${first.digest}` : null,
      ...(last && { last_verified_epoch: last.serial }),
      status: !last ? 'Initialization' : last.serial <= revokedThrough ? 'Disabled' : 'Online',
      reports_uri: `/namespaces/${name}/reports`,
      audits_uri: `/namespaces/${name}/audits`,
      signature_version: PLEXI_CIPHERSUITE,
      ciphersuite: PLEXI_CIPHERSUITE,
    };
  }

  #signed(fleet: string): AcceptedBundle[] {
    const { ledger, size } = this.#options;
    const shown = size();
    return ledger
      .fleet(fleet)
      .accepted.filter(({ serial, index }) => index < shown && ledger.read(signatureKey(fleet, serial)) !== undefined);
  }

  #fleets(): string[] {
    return [...this.#options.ledger.state.fleets.keys()].sort();
  }

  #fleetOf(namespace: string): string | undefined {
    return this.#fleets().find((fleet) => this.#namespace(fleet) === namespace);
  }

  #namespace(fleet: string): string {
    const { vault, environment } = this.#options.ledger.state.policy.policy;
    return plexiNamespace({ vault, environment, fleet });
  }

  #statement(fleet: string, { serial, digest, time }: AcceptedBundle): PlexiStatement {
    return { namespace: this.#namespace(fleet), timestamp: time, epoch: serial, digest: hexToBytes(digest) };
  }
}

/** A UUID of version 8 (RFC 9562 section 5.8) that says nothing but the digest again. */
function uuidOf(digest: string): string {
  const hex = digest.slice(0, 32).split('');
  hex[12] = '8';
  hex[16] = '89ab'[Number.parseInt(hex[16]!, 16) % 4]!;
  return hex.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
