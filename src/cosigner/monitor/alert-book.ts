/** From the findings of each look to alerts that begin, go on and end, and of which the webhook hears each change. */

import { type Alert, type Finding, RULES } from './findings.ts';
import type { StoredAlert } from './store.ts';

/** Alerts that are kept; what a hostile log adds beyond is summed up in its last one. */
const MAXIMUM_ALERTS = 1000;

export interface Book {
  readonly alerts: readonly StoredAlert[];
  /** That were not there at the last look. */
  readonly raised: readonly Alert[];
  readonly resolved: readonly Alert[];
}

const idOf = ({ rule, subject }: Pick<Finding, 'rule' | 'subject'>) => `${rule}\n${subject}`;

/** The book after one look at `now` (milliseconds since 1970). What the webhook has not heard of stays until it has. */
export function nextBook(before: readonly StoredAlert[], findings: readonly Finding[], now: number): Book {
  const known = new Map(before.map((alert) => [idOf(alert), alert]));
  const found = new Map(findings.slice(0, MAXIMUM_ALERTS).map((finding) => [idOf(finding), finding]));
  const alerts: StoredAlert[] = [];
  const raised: Alert[] = [];
  const resolved: Alert[] = [];
  for (const [id, { rule, subject, message, files = [] }] of found) {
    const old = known.get(id);
    const goesOn = old !== undefined && !old.resolved;
    const alert = { rule, subject: subject.slice(0, 1000), message: message.slice(0, 2000), files };
    const stored = goesOn
      ? { ...alert, since: old.since, delivered: old.delivered, resolved: false }
      : { ...alert, since: now, delivered: false, resolved: false };
    alerts.push(stored);
    if (!goesOn) raised.push(alertOf(stored));
  }
  for (const [id, old] of known) {
    if (found.has(id)) continue;
    if (!old.resolved) resolved.push(alertOf(old));
    // One that began and ended unheard is told of once, as ended; one whose end was heard is gone.
    if (!old.resolved) alerts.push({ ...old, resolved: true, delivered: false });
    else if (!old.delivered) alerts.push(old);
  }
  return { alerts: alerts.slice(0, 2 * MAXIMUM_ALERTS), raised, resolved };
}

export function alertOf({ rule, subject, message, files, since }: StoredAlert): Alert {
  return { rule, severity: RULES[rule], subject, message, files, since };
}

/** Those that are in force. */
export function inForce(alerts: readonly StoredAlert[]): Alert[] {
  return alerts.filter(({ resolved }) => !resolved).map(alertOf);
}
