/**
 * What the cosigner knows of its log: the state that decides what may come next, and where things stand. All of it follows
 * from the leaves; it is stored in the transaction that appends them, so that a start needs no replay.
 */

import { fromUtf8, HoldfastError, type JsonValue, parseJson, utf8 } from '../../core/index.ts';
import {
  canonicalJson,
  checkLog,
  digestOf,
  type Evidence,
  emptyLog,
  type Leaf,
  type LogState,
  nextRoster,
  parseLeaf,
  parseLogState,
  serialiseLogState,
  serialiseRoster,
  type TrustPolicyText,
} from '../../trust/index.ts';
import { type LogContent, type LogStore, type LogWrite, readRows } from '../log/index.ts';

export interface AcceptedBundle {
  readonly serial: number;
  /** SHA-256 of the bundle's text, in hexadecimal. */
  readonly digest: string;
  readonly kind: 'deploy' | 'retire';
  /** Of the acceptance's leaf. */
  readonly index: number;
  /** Milliseconds since 1970 at which the acceptance was stored. */
  readonly time: number;
}

export interface FleetRecord {
  /** The oldest first. */
  readonly accepted: readonly AcceptedBundle[];
  /** Digests of revocations' texts with the index of their leaves, the oldest first. */
  readonly revocations: readonly { readonly digest: string; readonly index: number }[];
}

type FileClaim = Pick<Evidence, 'sha256' | 'size'>;
type PlaceClaim = Pick<Evidence, 'sha256' | 'address'>;

const VIEW = { state: 'state', policies: 'policies', signing: 'signing' } as const;
const fleetKey = (fleet: string) => `fleet/${fleet}`;
const evidenceKey = (sha256: string) => `evidence/${sha256}`;
const sizeKey = ({ sha256, size }: FileClaim) => `evidence/${sha256}/${size}`;
const addressKey = ({ sha256, address }: PlaceClaim) => `evidence/${sha256}/at/${digestOf(address)}`;
const bundleKey = (digest: string) => `bundle/${digest}`;

export const viewRow = (key: string, value: string | undefined): LogWrite => ({
  table: 'view',
  key: utf8(key),
  value: value === undefined ? undefined : utf8(value),
});

/** Verifier keys of what signs rosters and checkpoints here. */
export interface LogKeys {
  readonly roster: string;
  readonly checkpoint: string;
}

export class Ledger implements LogContent {
  readonly #store: LogStore;
  readonly #firstPolicy: TrustPolicyText;
  readonly #keys: LogKeys;
  /** The last states that were computed or read, by size: the head's, and the one that a batch under way makes. */
  readonly #states = new Map<number, LogState>();

  /** `firstPolicy` counts until the log has a policy of its own. */
  constructor(store: LogStore, firstPolicy: TrustPolicyText, keys: LogKeys) {
    this.#store = store;
    this.#firstPolicy = firstPolicy;
    this.#keys = keys;
  }

  /** As of the head. @throws HoldfastError `bad_input` where the stored state is damaged: see `rebuild`. */
  get state(): LogState {
    const size = readRows(this.#store).head()?.size ?? 0;
    return this.#stateAt(size);
  }

  fleet(fleet: string): FleetRecord {
    const row = this.read(fleetKey(fleet));
    return row === undefined ? { accepted: [], revocations: [] } : readFleet(parseJson(row, 'bad_input'));
  }

  /** Leaves of signed trust policies, the oldest first. */
  get policies(): readonly number[] {
    const row = this.read(VIEW.policies);
    if (row === undefined) return [];
    return parseJson(row, 'bad_input')
      .array(0, 100_000)
      .map((index) => index.integer(0));
  }

  /** The index of the first leaf of evidence with this SHA-256. */
  evidence(sha256: string): number | undefined {
    const row = this.read(evidenceKey(sha256));
    return row === undefined ? undefined : Number(row);
  }

  /** Whether a leaf names a file with this SHA-256 and size, or at this address, whatever other leaves say of it. */
  hasEvidence(claim: FileClaim | PlaceClaim): boolean {
    if (this.read('size' in claim ? sizeKey(claim) : addressKey(claim)) !== undefined) return true;
    // Leaves from before there were such rows.
    const index = this.evidence(claim.sha256);
    const entry = index === undefined ? undefined : readRows(this.#store).entry(index);
    const leaf = entry && parseLeaf(entry);
    if (leaf?.type !== 'evidence') return false;
    return 'size' in claim ? leaf.evidence.size === claim.size : leaf.evidence.address === claim.address;
  }

  /** The index of the leaf that accepted the bundle with this digest. */
  bundle(digest: string): number | undefined {
    const row = this.read(bundleKey(digest));
    return row === undefined ? undefined : Number(row);
  }

  /** The text of the bundle that is being signed, from before the signature is made until its leaf is in the log. */
  get signing(): string | undefined {
    return this.read(VIEW.signing);
  }

  /** `more` is stored with it. */
  async beginSigning(text: string, ...more: readonly LogWrite[]): Promise<void> {
    await this.#store.commit([viewRow(VIEW.signing, text), ...more]);
  }

  read(key: string): string | undefined {
    const row = this.#store.get('view', utf8(key));
    return row && fromUtf8(row);
  }

  nextRoster(_previous: string | undefined, leaves: readonly Uint8Array[], first: number): string {
    const { state, misconduct } = checkLog(this.#stateAt(first), leaves);
    const [wrong] = misconduct;
    // Whatever came this far was checked before; a log that breaks its own rules must not be signed.
    if (wrong) throw new HoldfastError('unexpected', `leaf ${wrong.index} breaks the log’s rules: ${wrong.sentence}`);
    this.#requireKeys(state);
    return serialiseRoster(nextRoster(state));
  }

  views(leaves: readonly Uint8Array[], first: number, time: number): readonly LogWrite[] {
    const { state, misconduct } = checkLog(this.#stateAt(first), leaves);
    if (misconduct[0]) throw new HoldfastError('roster_wrong', `the batch breaks a rule: ${misconduct[0].sentence}`);
    this.#remember(first + leaves.length, state);
    const writes = [viewRow(VIEW.state, serialiseLogState(state))];
    const fleets = new Map<string, FleetRecord>();
    const policies: number[] = [];
    const named = new Set<string>();
    leaves.forEach((entry, i) => {
      const leaf = parseLeaf(entry);
      const index = first + i;
      if (leaf.type === 'evidence') {
        const { evidence } = leaf;
        const first = evidenceKey(evidence.sha256);
        // Somebody else's later leaf on the same file must not stand in the way of the first one.
        if (this.read(first) === undefined && !named.has(first)) writes.push(viewRow(first, String(index)));
        named.add(first);
        writes.push(viewRow(sizeKey(evidence), String(index)), viewRow(addressKey(evidence), String(index)));
      }
      if (leaf.type === 'policy') policies.push(index);
      if (leaf.type === 'acceptance') writes.push(viewRow(bundleKey(leaf.bundle.digest), String(index)));
      if (leaf.type === 'proposal') writes.push(viewRow(VIEW.signing, undefined));
      if (leaf.type === 'acceptance' || leaf.type === 'revocation') {
        const { fleet } = leaf.bundle.manifest;
        fleets.set(fleet, recorded(fleets.get(fleet) ?? this.fleet(fleet), leaf, index, time));
      }
    });
    for (const [fleet, record] of fleets) writes.push(viewRow(fleetKey(fleet), fleetText(record)));
    if (policies.length > 0) writes.push(viewRow(VIEW.policies, canonicalJson([...this.policies, ...policies])));
    return writes;
  }

  /** A batch whose roster or checkpoint nobody would believe is not begun: once stored, it must be finished. */
  #requireKeys({ policy: { policy, tlog } }: LogState): void {
    if (policy.roster.text !== this.#keys.roster) {
      throw new HoldfastError(
        'not_ready',
        'the roster key here is not the trust policy’s; start the cosigner with the key of the policy that is to count',
      );
    }
    if (tlog.logs[0]?.key.text !== this.#keys.checkpoint) {
      throw new HoldfastError(
        'not_ready',
        'the checkpoint key here is not the log’s in the trust policy; another log key needs a log with a new origin',
      );
    }
  }

  #stateAt(size: number): LogState {
    const known = this.#states.get(size);
    if (known) return known;
    const row = this.read(VIEW.state);
    const state = row === undefined ? emptyLog(this.#firstPolicy) : parseLogState(row);
    if (state.size !== size) {
      throw new HoldfastError(
        'store_refused',
        `the stored state is of ${state.size} leaves, not of ${size}; see docs/cosigner.md before restoring anything`,
      );
    }
    this.#remember(size, state);
    return state;
  }

  #remember(size: number, state: LogState): void {
    this.#states.set(size, state);
    for (const old of [...this.#states.keys()].slice(0, -2)) this.#states.delete(old);
  }
}

function recorded(
  before: FleetRecord,
  leaf: Extract<Leaf, { type: 'acceptance' | 'revocation' }>,
  index: number,
  time: number,
): FleetRecord {
  if (leaf.type === 'revocation') {
    const revocations = [...before.revocations, { digest: digestOf(leaf.note.text), index }];
    return { ...before, revocations };
  }
  const { digest, manifest } = leaf.bundle;
  const { serial, kind } = manifest;
  return { ...before, accepted: [...before.accepted, { serial, digest, kind, index, time }] };
}

function fleetText({ accepted, revocations }: FleetRecord): string {
  return canonicalJson({
    accepted: accepted.map((bundle) => ({ ...bundle })),
    revocations: revocations.map((revocation) => ({ ...revocation })),
  });
}

function readFleet(json: JsonValue): FleetRecord {
  const file = json.object(['accepted', 'revocations']);
  return {
    accepted: file
      .required('accepted')
      .array(0, 100_000)
      .map((value) => {
        const item = value.object(['serial', 'digest', 'kind', 'index', 'time']);
        return {
          serial: item.required('serial').integer(1),
          digest: item.required('digest').text(64),
          kind: item.required('kind').word(['deploy', 'retire']),
          index: item.required('index').integer(0),
          time: item.required('time').integer(0),
        };
      }),
    revocations: file
      .required('revocations')
      .array(0, 100_000)
      .map((value) => {
        const item = value.object(['digest', 'index']);
        return { digest: item.required('digest').text(64), index: item.required('index').integer(0) };
      }),
  };
}
