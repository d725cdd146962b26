/** One look of the monitor: at the log from all sides, at its leaves, its evidence, its witnesses, one's own journal. */

import { bytesToHex, type Clock, systemClock } from '../../core/index.ts';
import { type Book, inForce, nextBook } from './alert-book.ts';
import { type EvidenceOptions, evidenceFindings } from './evidence.ts';
import type { Alert, Finding } from './findings.ts';
import { type JournalSource, journalFindings } from './journal.ts';
import { breachFindings, proposalFindings } from './leaves.ts';
import { type PlexiSource, plexiFindings } from './plexi.ts';
import type { MonitorState } from './store.ts';
import { catchUp, lookAround, type ViewsOptions } from './views.ts';

export interface LookOptions extends Omit<ViewsOptions, 'clock'> {
  readonly clock?: Clock;
  readonly evidence: Pick<EvidenceOptions, 'fetch' | 'maximumBytes' | 'interval' | 'verify'>;
  /** Milliseconds. */
  readonly unacceptedAfter: number;
  /** Of one's own token; undefined: none is compared. */
  readonly journal?: JournalSource | undefined;
  /** The Plexi view; undefined: none is compared. */
  readonly plexi?: PlexiSource | undefined;
}

export interface Looked {
  /** All that are in force, warnings included. */
  readonly alerts: readonly Alert[];
  readonly raised: readonly Alert[];
  readonly resolved: readonly Alert[];
  readonly origin: string;
  /** Leaves that were read and replayed. */
  readonly size: number;
  /** Hex SHA-256. */
  readonly root: string;
  /** Milliseconds since 1970 of the newest quorum of cosignatures seen; undefined for none. */
  readonly quorum: number | undefined;
}

/**
 * Looks once and keeps durably what was seen.
 * @throws HoldfastError `store_refused`, `usage` where a proof cannot be written, `cancelled`.
 */
export async function look(options: LookOptions, signal?: AbortSignal): Promise<Looked> {
  const { replay, store, clock = systemClock, unacceptedAfter, withheldAfter } = options;
  const before = store.state();
  const views = await lookAround({ ...options, clock }, before, signal);
  const quorum = Math.max(before.quorum, views.quorum);
  const breaches = await breachFindings(replay, async (index, reason) => {
    const second = store.headFrom(index + 1) ?? '';
    const time = clock.now();
    return second === ''
      ? []
      : options.keepFiles({ kind: 'rules', source: 'the log', reason, first: '', second, time });
  });
  const proposals = proposalFindings(replay, before.proposals, clock.now(), unacceptedAfter);
  const evidence = await evidenceFindings({ ...options.evidence, replay, store, clock }, before, signal);
  const journal = await journalFindings(options.journal, replay, clock.now() - withheldAfter);
  const log = { replay, served: views.served, catchUp: () => catchUp({ ...options, clock }, signal) };
  const plexi = await plexiFindings(options.plexi, log, signal);
  const findings = [
    ...views.findings,
    ...floorFindings(options),
    ...breaches,
    ...proposals.findings,
    ...evidence.findings,
    ...quorumFindings(options, quorum, clock.now()),
    ...journal,
    ...plexi,
  ];
  const book: Book = nextBook(before.alerts, findings, clock.now());
  const state: MonitorState = {
    origin: before.origin,
    served: views.served,
    ahead: views.ahead,
    quorum,
    proposals: proposals.proposals,
    scanned: evidence.scanned,
    alerts: book.alerts,
  };
  await store.save(state);
  const { size, root } = replay.mirror.head;
  return {
    alerts: inForce(book.alerts),
    raised: book.raised,
    resolved: book.resolved,
    origin: replay.origin,
    size,
    root: bytesToHex(root),
    quorum: quorum === 0 ? undefined : quorum * 1000,
  };
}

/** Clients begin their history where the policy says: so must the log. */
function floorFindings({ replay }: LookOptions): Finding[] {
  const { floor } = replay.state.policy.policy;
  if (floor.size > replay.size || bytesToHex(replay.mirror.root(floor.size)) === floor.root) return [];
  const message = `the first ${floor.size} leaves are not those that the trust policy ships`;
  return [{ rule: 'rewritten', subject: 'floor', message }];
}

function quorumFindings({ replay }: LookOptions, quorum: number, now: number): Finding[] {
  const { tlog, policy } = replay.state.policy;
  if (tlog.rule === null) return [];
  const age = Math.floor(now / 1000) - quorum;
  if (quorum > 0 && age <= policy.maxAge) return [];
  const message =
    quorum === 0
      ? 'no quorum of witnesses has cosigned the log'
      : `the newest quorum of witnesses is ${Math.floor(age / 3600)} h old; clients accept ${Math.floor(policy.maxAge / 3600)} h`;
  return [{ rule: 'stale_quorum', subject: 'quorum', message }];
}
