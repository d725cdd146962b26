/**
 * The log as it is seen from several places: its own server, its witnesses, mirrors. All must show one history; what a
 * witness has cosigned, the log must serve; and nothing seen once may change afterwards.
 */

import { type Clock, equalBytes, fromUtf8, HoldfastError, utf8 } from '../../core/index.ts';
import {
  type Checkpoint,
  type Cosignature,
  Frontier,
  hashEntry,
  parseNote,
  quorumTime,
  type TrustPolicyText,
  type VerifiedCheckpoint,
  verifyCheckpoint,
} from '../../trust/index.ts';
import type { LogReader, LogReplay } from '../replay/index.ts';
import type { Finding } from './findings.ts';
import { type Contradiction, type MonitorState, type MonitorStore, shortDigest } from './store.ts';

/** Another place where checkpoints of the log are served. */
export interface Vantage {
  readonly name: string;
  /** Undefined where it has none of this log. */
  readonly checkpoint: (signal?: AbortSignal) => Promise<Uint8Array | undefined>;
}

export interface ViewsOptions {
  readonly replay: LogReplay;
  readonly store: MonitorStore;
  readonly reader: Pick<LogReader, 'checkpoint' | 'leaves'>;
  readonly vantages: readonly Vantage[];
  /** Puts both notes into files. @returns their paths. */
  readonly keepFiles: (contradiction: Contradiction) => Promise<readonly string[]>;
  readonly clock: Clock;
  /** Milliseconds for which the log may lag behind what is seen elsewhere. */
  readonly withheldAfter: number;
}

export interface Seen {
  readonly findings: readonly Finding[];
  readonly served: number;
  readonly ahead: MonitorState['ahead'];
  /** Seconds since 1970 of the newest quorum of cosignatures that was seen in any place; 0 for none. */
  readonly quorum: number;
}

interface Head {
  readonly source: string;
  readonly note: string;
  readonly checkpoint: Checkpoint;
  readonly cosignatures: readonly Cosignature[];
}

/** What stands against one checkpoint: it is all right, it cannot be judged, or it contradicts what was seen. */
type Verdict =
  | { readonly kind: 'right' }
  | { readonly kind: 'unread'; readonly error: HoldfastError }
  | { readonly kind: 'contradiction'; readonly contradiction: Contradiction };

const LOG = 'the log';
/** Seconds that a witness's clock may be ahead. */
const CLOCK_TOLERANCE = 300;

export async function lookAround(options: ViewsOptions, state: MonitorState, signal?: AbortSignal): Promise<Seen> {
  const findings: Finding[] = [];
  const { reader, vantages, replay } = options;
  const policy = replay.state.policy;
  const own = await readHead(LOG, () => reader.checkpoint(signal), policy);
  /** Only trees that agree with all others count for anything. */
  const heads: Head[] = [];
  let served = state.served;
  if (own instanceof HoldfastError) findings.push(unreadable(own));
  else if (own) {
    const { finding, right } = await judge(options, own, signal);
    if (finding) findings.push(finding);
    const { size } = own.checkpoint;
    if (right && size < served) {
      const message = `the log serves ${size} leaves and has served ${served} before; ask its operator what was restored`;
      findings.push({ rule: 'went_back', subject: String(size), message });
    }
    if (right) {
      served = Math.max(served, size);
      heads.push(own);
    }
  }
  await compareEarlier(options, state, signal);
  let ahead: Head | undefined;
  for (const vantage of vantages) {
    const head = await readHead(vantage.name, () => vantage.checkpoint(signal), policy);
    if (head instanceof HoldfastError) {
      const message = `${vantage.name} cannot be read, so a split view could stay unseen: ${head.message}`;
      findings.push({ rule: 'vantage_unreachable', subject: vantage.name, message });
      continue;
    }
    if (!head) continue;
    const { finding, right } = await judge(options, head, signal);
    if (finding) findings.push(finding);
    if (right) heads.push(head);
    if (head.checkpoint.size > Math.max(served, ahead?.checkpoint.size ?? 0)) ahead = head;
  }
  const behind = lag(state, served, ahead, options.clock.now());
  if (behind && options.clock.now() - behind.since >= options.withheldAfter) {
    const message = `${behind.source} has a tree of ${behind.size} leaves, and the log still serves ${served}; leaves may be withheld`;
    findings.push({ rule: 'withheld', subject: behind.source, message });
  }
  findings.push(...(await contradictionFindings(options)));
  return { findings, served, ahead: behind, quorum: quorumOf(policy, heads, options.clock.now()) };
}

/**
 * Reads what the log shows now, for who compares it with something that was read later. What is amiss with it the next look says.
 * @returns the size of the tree that it shows; 0 where nothing can be read, or that is not right.
 */
export async function catchUp(options: ViewsOptions, signal?: AbortSignal): Promise<number> {
  const { reader, replay } = options;
  const head = await readHead(LOG, () => reader.checkpoint(signal), replay.state.policy);
  if (!head || head instanceof HoldfastError) return 0;
  return (await judge(options, head, signal)).right ? head.checkpoint.size : 0;
}

/** What a place showed when the log had not come so far: it must agree now, whatever that place shows today. */
async function compareEarlier(options: ViewsOptions, { ahead }: MonitorState, signal?: AbortSignal): Promise<void> {
  const { replay } = options;
  if (!ahead || ahead.size > replay.size) return;
  const head = await readHead(ahead.source, async () => utf8(ahead.note), replay.state.policy);
  if (head && !(head instanceof HoldfastError)) await judge(options, head, signal);
}

async function readHead(
  source: string,
  read: () => Promise<Uint8Array | undefined>,
  policy: TrustPolicyText,
): Promise<Head | HoldfastError | undefined> {
  try {
    const bytes = await read();
    if (!bytes) return undefined;
    const parsed: VerifiedCheckpoint = verifyCheckpoint(parseNote(bytes), policy.tlog);
    return { source, note: fromUtf8(bytes), checkpoint: parsed.checkpoint, cosignatures: parsed.cosignatures };
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
}

function unreadable(error: HoldfastError): Finding {
  const invalid = error.code === 'untrusted' || error.code === 'malformed';
  const rule = invalid ? 'checkpoint_invalid' : 'log_unreachable';
  const what = invalid ? 'the log serves a checkpoint that is not its own' : 'the log cannot be read';
  return { rule, subject: LOG, message: `${what}: ${error.message}` };
}

async function judge(
  options: ViewsOptions,
  head: Head,
  signal: AbortSignal | undefined,
): Promise<{ right: boolean; finding?: Finding }> {
  const verdict = await verdictOf(options, head, signal);
  if (verdict.kind === 'right') {
    await options.store.keepHead(head.checkpoint.size, head.note);
    return { right: true };
  }
  if (verdict.kind === 'contradiction') {
    await options.store.keepContradiction(verdict.contradiction);
    return { right: false };
  }
  const { error } = verdict;
  if (head.source !== LOG && error.code !== 'untrusted') return { right: false };
  const rule = error.code === 'untrusted' ? 'leaves_wrong' : 'log_unreachable';
  return { right: false, finding: { rule, subject: 'leaves', message: error.message } };
}

async function verdictOf(options: ViewsOptions, head: Head, signal: AbortSignal | undefined): Promise<Verdict> {
  const { replay, reader } = options;
  const { checkpoint } = head;
  const { size, root } = checkpoint;
  if (size <= replay.size) {
    if (equalBytes(replay.mirror.root(size), root)) return { kind: 'right' };
    return contradicted(options, head, head.source === LOG ? 'rewritten' : 'split_view');
  }
  const before = replay.size;
  try {
    await replay.advance(reader, checkpoint, signal);
    return { kind: 'right' };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    if (error.code === 'store_refused' || error.code === 'unexpected' || error.code === 'cancelled') throw error;
    if (error.code !== 'untrusted' || before === 0) return { kind: 'unread', error };
    if (!(await isWhole(options, checkpoint, signal))) return { kind: 'unread', error };
  }
  return contradicted(options, head, 'rewritten');
}

/** Whether what the log serves from its first leaf on gives a tree that it has signed: then an earlier one was changed. */
async function isWhole(
  { reader }: ViewsOptions,
  { size, root }: Checkpoint,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    const frontier = new Frontier();
    for (const leaf of await reader.leaves(0, size, signal)) frontier.append(hashEntry(leaf));
    return frontier.size === size && equalBytes(frontier.root(), root);
  } catch (error) {
    if (error instanceof HoldfastError) return false;
    throw error;
  }
}

function contradicted({ store, clock }: ViewsOptions, head: Head, kind: 'rewritten' | 'split_view'): Verdict {
  const { size } = head.checkpoint;
  const reason =
    kind === 'rewritten'
      ? `the log has signed ${size} leaves that do not agree with those it has signed before`
      : `the log has signed ${size} leaves for ${head.source} that are not those it shows here`;
  const first = store.headFrom(size) ?? '';
  return {
    kind: 'contradiction',
    contradiction: { kind, source: head.source, reason, first, second: head.note, time: clock.now() },
  };
}

/** Contradictions are proof for ever: they stay alerts until a person moves the monitor's folder away. */
async function contradictionFindings({ store, keepFiles }: ViewsOptions): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const contradiction of store.contradictions()) {
    if (contradiction.kind === 'rules') continue;
    const files = await keepFiles(contradiction);
    const message = `${contradiction.reason}; stop trusting it, and show both signed checkpoints to others`;
    const subject = shortDigest(contradiction.second);
    findings.push({ rule: contradiction.kind, subject, message, files });
  }
  return findings;
}

/** Since when something larger is seen elsewhere than the log serves. */
function lag(state: MonitorState, served: number, found: Head | undefined, now: number): MonitorState['ahead'] {
  const { ahead } = state;
  const still = ahead && ahead.size > served ? ahead : undefined;
  if (still || !found) return still;
  return { size: found.checkpoint.size, source: found.source, since: now, note: found.note };
}

/** The newest quorum on any one tree, put together from all places that showed it. */
function quorumOf({ tlog }: TrustPolicyText, heads: readonly Head[], now: number): number {
  const to = Math.floor(now / 1000) + CLOCK_TOLERANCE;
  const byTree = Map.groupBy(heads, ({ checkpoint }) => checkpoint.size);
  const times = [...byTree.values()].map((same) => {
    const cosignatures = same.flatMap((head) => head.cosignatures);
    return quorumTime(tlog, cosignatures, { to }) ?? 0;
  });
  return Math.max(0, ...times);
}
