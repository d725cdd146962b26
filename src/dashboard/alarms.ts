/** Alarms in plain words: what is wrong now, what it means for people, and what the operator does about it. */

import type { Alarm, AlarmId, NodeView, Overview, Severity } from './overview.ts';
import { SEVERITIES } from './overview.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Milliseconds of repair after which it takes too long to be usual. */
export const LONG_REPAIR = 10 * MINUTE;
/** Milliseconds before an end at which it is said, and at which it is pressing. */
export const ENDING = 30 * DAY;
export const ENDING_SOON = 7 * DAY;
/** Milliseconds since a majority of witnesses signed: late, and too late for enrolment by the usual policy (docs/trust.md). */
export const LOG_LATE = HOUR;
export const LOG_STALE = DAY;
/** Attempts without success in an hour from which on it is said, where they are also most of all. */
export const MANY_FAILURES = 50;

/** What alarms are made of, besides what the overview shows. */
export interface AlarmFacts extends Omit<Overview, 'alarms' | 'format' | 'history'> {
  /** By node: what its counters have grown by lately. */
  readonly recent: ReadonlyMap<number, { readonly overloaded: number; readonly overrides: number }>;
}

type Draft = Omit<Alarm, 'node' | 'since'> & Partial<Pick<Alarm, 'node' | 'since'>>;

/** The most severe first; those of nodes in their order. */
export function alarmsOf(facts: AlarmFacts): Alarm[] {
  const drafts = [...quorum(facts), ...facts.nodes.flatMap((node) => ofNode(node, facts)), ...guessing(facts)];
  drafts.push(...ofLog(facts), ...expiring(facts));
  const rank = ({ severity }: Draft) => SEVERITIES.indexOf(severity);
  return drafts.map((draft) => ({ node: null, since: null, ...draft })).sort((a, b) => rank(a) - rank(b));
}

const draft = (id: AlarmId, severity: Severity, title: string, text: string): Draft => ({ id, severity, title, text });

/** `3 nodes`, `1 node`. */
const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function quorum({ quorum: { nodes, needed, serving, mayFail } }: AlarmFacts): Draft[] {
  if (mayFail < 0) {
    const text =
      `${serving} of ${counted(nodes, 'node')} serve${serving === 1 ? 's' : ''}, and ${needed} are needed. ` +
      'Nothing is counted and nothing is lost meanwhile. ' +
      `Bring ${counted(-mayFail, 'more node')} back and recoveries go on by themselves.`;
    return [draft('no_majority', 'critical', 'Recoveries have stopped', text)];
  }
  if (mayFail > 0) return [];
  if (nodes === 1) {
    const text = 'This fleet has one node. It is fit for trying things out; real fleets have three or more.';
    return [draft('no_spare', 'notice', 'If the node goes down, recoveries stop', text)];
  }
  const text = `${serving} of ${nodes} nodes serve, and all ${needed} of them are needed. Bring back those that are not well.`;
  return [draft('no_spare', 'warning', 'One more node down and recoveries stop', text)];
}

function ofNode(view: NodeView, facts: AlarmFacts): Draft[] {
  const about = (id: AlarmId, severity: Severity, title: string, text: string, since: number | null = null): Draft => ({
    ...draft(id, severity, title, text),
    node: view.node,
    since,
  });
  const { name, since, reason, condition } = view;
  const found: Draft[] = [];
  const says = reason === '' ? '' : ` It says: “${reason}”.`;
  switch (condition) {
    case 'unreachable':
      found.push(
        about(
          'node_unreachable',
          'warning',
          `${name} is down`,
          'This coordinator gets no answer from it. Look at its process, its machine and the network between them. It repairs from the others when it is back.',
          since,
        ),
      );
      break;
    case 'stopped':
      found.push(
        about(
          'node_stopped',
          'warning',
          `${name} has stopped serving`,
          `It answers, and takes no requests.${says} Its log says why; start it again once that is mended.`,
          since,
        ),
      );
      break;
    case 'failing':
      found.push(
        about(
          'node_failing',
          'warning',
          `${name} is not ready`,
          `It answers.${says} Look at its token and its log.`,
          since,
        ),
      );
      break;
    case 'repairing': {
      const long = facts.time - since >= LONG_REPAIR;
      const text = `It fetches from the others what it may have missed, and serves once that is done.${says}`;
      const title = long ? `${name} has been repairing for a long time` : `${name} is repairing`;
      found.push(about('node_repairing', long ? 'warning' : 'notice', title, text, since));
      break;
    }
    case 'serving':
      found.push(...ofServing(view, facts, about));
      break;
  }
  const recent = facts.recent.get(view.node);
  if (recent && recent.overrides > 0) {
    const text =
      'Its operator let it serve without the heads of the others. Count it as untrustworthy until the next epoch, and replace it.';
    found.push(about('node_override', 'warning', `${name} was started by override`, text));
  }
  return found;
}

type About = (id: AlarmId, severity: Severity, title: string, text: string) => Draft;

function ofServing({ name, node, repair, figuresAt, epoch }: NodeView, facts: AlarmFacts, about: About): Draft[] {
  const found: Draft[] = [];
  if (repair && repair.lagging > 0) {
    const text = `For ten minutes it has had at least ${counted(repair.lagging, 'record')} fewer than the fullest node. If that does not shrink, look at its log and at the network between the nodes.`;
    found.push(about('node_lagging', 'warning', `${name} lags behind`, text));
  }
  if (epoch !== null && epoch !== facts.epoch) {
    const text = `It is in epoch ${epoch}, and this coordinator in ${facts.epoch}. Give whichever is behind the newer trust file.`;
    found.push(about('node_other_epoch', 'warning', `${name} is in another epoch`, text));
  }
  if (figuresAt === null || facts.time - figuresAt > MINUTE) {
    const text = 'It serves, but its figures cannot be read. An older version has none to give; else look at its log.';
    found.push(about('node_without_figures', 'notice', `${name} gives no figures`, text));
  }
  const overloaded = facts.recent.get(node)?.overloaded ?? 0;
  if (overloaded > 0) {
    const text = `It has lately turned away ${counted(overloaded, 'request')}. Its token or disk is slower than what is asked of it.`;
    found.push(about('node_overloaded', 'warning', `${name} is overloaded`, text));
  }
  return found;
}

function guessing({ lastHour: { attempts, confirmations } }: AlarmFacts): Draft[] {
  const failed = attempts - confirmations;
  if (failed < MANY_FAILURES || failed * 2 < attempts) return [];
  const text = `${failed} of ${attempts} attempts of the last hour did not succeed. People mistype; this many may also be somebody who tries PINs. Each record still has no more attempts than its policy allows. Look for user tokens that were issued to the wrong people.`;
  return [draft('many_failures', 'warning', 'Many attempts fail', text)];
}

function ofLog({ log, time }: AlarmFacts): Draft[] {
  if (!log) return [];
  const { bundle, checkpoint } = log;
  if (!bundle) {
    const text =
      'Neither the cosigner nor a mirror has shown this fleet’s bundle. Clients that know the fleet go on; new ones cannot verify it.';
    return [draft('bundle_unknown', 'warning', 'The fleet’s bundle is not known', text)];
  }
  const found: Draft[] = [];
  if (bundle.revoked) {
    const text = `Serial ${bundle.serial} has been revoked: no client uses this fleet’s keys any more. Deploy a fleet with new keys.`;
    found.push(draft('bundle_revoked', 'critical', 'The fleet has been revoked', text));
  } else if (bundle.kind === 'retire') {
    const to = bundle.successor === null ? 'another fleet' : bundle.successor;
    const text = `Records move to ${to} at the next use of their PIN. Nothing new is enrolled here. Keep the fleet up until its sunset.`;
    found.push({ ...draft('bundle_retired', 'notice', 'The fleet is retired', text), since: null });
  }
  const left = bundle.notAfter - time;
  if (left < ENDING && !bundle.revoked) {
    const title = left <= 0 ? 'The fleet’s bundle has run out' : `The fleet’s bundle runs out in ${span(left)}`;
    const text =
      'At its end clients refuse the fleet. Announce a new bundle: holdfast bundle propose, or holdfast fleet announce.';
    found.push(draft('bundle_ending', left < ENDING_SOON ? 'critical' : 'warning', title, text));
  }
  const signed = checkpoint?.majorityAt ?? null;
  const age = signed === null ? Number.POSITIVE_INFINITY : time - signed;
  if (age > LOG_LATE) {
    const when = signed === null ? 'have not confirmed the log' : `last confirmed the log ${span(age)} ago`;
    const text =
      'By the usual policy clients enrol nothing new after a day of that, and refuse the fleet after 14 days; until then recoveries go on. Look at the cosigner and the witnesses.';
    found.push(draft('log_stale', age > LOG_STALE ? 'critical' : 'warning', `Witnesses ${when}`, text));
  }
  return found;
}

function expiring({ expiries, time }: AlarmFacts): Draft[] {
  return expiries.flatMap(({ what, at }) => {
    const left = at - time;
    if (left >= ENDING) return [];
    const title = left <= 0 ? `${what} has run out` : `${what} runs out in ${span(left)}`;
    const text = 'What relies on it stops working at its end. Make and install a new one.';
    return [draft('expiry', left < ENDING_SOON ? 'critical' : 'warning', title, text)];
  });
}

/** Milliseconds as people say them, in the greatest unit that has two of itself. */
export function span(milliseconds: number): string {
  const units = [
    ['day', DAY],
    ['hour', HOUR],
    ['minute', MINUTE],
  ] as const;
  for (const [noun, length] of units) {
    if (milliseconds >= 2 * length) return counted(Math.floor(milliseconds / length), noun);
  }
  return counted(Math.max(0, Math.floor(milliseconds / 1000)), 'second');
}
