/** Evidence that the log names: whether it is there, and what the log says that it is. */

import { bytesToHex, type Clock, HoldfastError, sha256 } from '../../core/index.ts';
import { type Leaf, parseLeaf } from '../../trust/index.ts';
import type { LogReplay } from '../replay/index.ts';
import type { Finding } from './findings.ts';
import type { EvidenceItem, MonitorState, MonitorStore } from './store.ts';

export interface EvidenceOptions {
  readonly replay: LogReplay;
  readonly store: MonitorStore;
  readonly clock: Clock;
  /**
   * The bytes at an address. @throws HoldfastError `not_ready` where they are not served, `too_large`, `untrusted` for an
   * address that must not be fetched from.
   */
  readonly fetch: ((address: string, maximumBytes: number, signal?: AbortSignal) => Promise<Uint8Array>) | undefined;
  readonly maximumBytes: number;
  /** Milliseconds after which evidence that was right is looked at again. */
  readonly interval: number;
  /** A deeper look at bytes whose SHA-256 is right: what is wrong with them, or undefined. */
  readonly verify?: (item: EvidenceItem, bytes: Uint8Array, signal?: AbortSignal) => Promise<string | undefined>;
}

/** Fetches of one look: a log that names a million addresses costs no more. */
const MAXIMUM_FETCHES = 64;
/** Milliseconds for all fetches of one look. */
const DEADLINE = 120_000;

export async function evidenceFindings(
  options: EvidenceOptions,
  state: MonitorState,
  signal?: AbortSignal,
): Promise<{ findings: Finding[]; scanned: number }> {
  const { replay, store } = options;
  await store.addEvidence(namedSince(replay, state.scanned));
  if (options.fetch) await fetchDue(options, signal);
  const items = store.evidence();
  const findings = items.flatMap(findingOf);
  const known = new Set(items.filter(({ size }) => size !== undefined).map(({ sha256 }) => sha256));
  for (const [fleet, { proposal, accepted }] of replay.state.fleets) {
    for (const bundle of new Set([proposal, accepted])) {
      if (!bundle || known.has(bundle.manifest.evidence.sha256)) continue;
      const { serial, evidence } = bundle.manifest;
      const message = `the evidence of serial ${serial} of the fleet ${fleet} is not in the log (SHA-256 ${evidence.sha256})`;
      findings.push({ rule: 'evidence_missing', subject: `${fleet} ${evidence.sha256}`, message });
    }
  }
  return { findings, scanned: replay.size };
}

/** What the leaves from `from` on name. */
function namedSince(replay: LogReplay, from: number): EvidenceItem[] {
  const items: EvidenceItem[] = [];
  let index = from - 1;
  for (const entry of replay.mirror.entries(from)) {
    index++;
    const leaf = leafOf(entry);
    const rest = { index, checked: 0, fault: '', missing: false };
    if (leaf?.type === 'evidence') items.push({ ...leaf.evidence, ...rest });
    else if (leaf?.type === 'acceptance') items.push({ ...leaf.bundle.manifest.evidence, size: undefined, ...rest });
  }
  return items;
}

function leafOf(entry: Uint8Array): Leaf | undefined {
  try {
    return parseLeaf(entry);
  } catch {
    // A rule that it breaks is reported elsewhere.
    return undefined;
  }
}

async function fetchDue(options: EvidenceOptions, signal: AbortSignal | undefined): Promise<void> {
  const { store, clock, interval } = options;
  const now = clock.now();
  const due = store
    .evidence()
    .filter(({ checked, fault }) => checked === 0 || fault !== '' || now - checked >= interval)
    .toSorted((a, b) => a.checked - b.checked)
    .slice(0, MAXIMUM_FETCHES);
  const deadline = AbortSignal.timeout(DEADLINE);
  const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
  for (const item of due) {
    if (deadline.aborted) return;
    const { fault, missing } = await look(options, item, either);
    if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled');
    if (deadline.aborted) return;
    await store.changeEvidence({ ...item, checked: clock.now(), fault, missing });
  }
}

async function look(
  { fetch, maximumBytes, verify }: EvidenceOptions,
  item: EvidenceItem,
  signal: AbortSignal,
): Promise<{ fault: string; missing: boolean }> {
  const wrong = (fault: string) => ({ fault, missing: false });
  if (item.size !== undefined && item.size > maximumBytes) return wrong(`it has more than ${maximumBytes} bytes`);
  let bytes: Uint8Array;
  try {
    bytes = await fetch!(item.address, item.size ?? maximumBytes, signal);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { fault: error.message, missing: error.code !== 'too_large' };
  }
  if (item.size !== undefined && bytes.length !== item.size) {
    return wrong(`it has ${bytes.length} bytes, and the log says ${item.size}`);
  }
  if (bytesToHex(sha256(bytes)) !== item.sha256) return wrong('its SHA-256 is not the one in the log');
  return wrong((await verify?.(item, bytes, signal)) ?? '');
}

function findingOf({ sha256: digest, address, fault, missing, index }: EvidenceItem): Finding[] {
  if (fault === '') return [];
  const rule = missing ? 'evidence_missing' : 'evidence_wrong';
  const message = `the evidence that leaf ${index} names (${address}, SHA-256 ${digest}) ${missing ? 'cannot be fetched' : 'is wrong'}: ${fault}`;
  return [{ rule, subject: `${digest} ${address}`, message }];
}
