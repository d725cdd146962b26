/** What is said first: whether recoveries work, what needs attention, and how much was done lately. */

import type { Alarm, Condition, Overview, Severity } from '../../dashboard/index.ts';
import { type Announcer, element, type IconName, icon, replace } from '../common/index.ts';
import { words } from './format.ts';
import { TEXTS } from './texts.ts';

const ICONS: Readonly<Record<Severity, IconName>> = { critical: 'failed', warning: 'warning', notice: 'stated' };
const LOOKS: Readonly<Record<Severity, string>> = { critical: 'bad', warning: 'warn', notice: 'plain' };
export const CONDITION_LOOKS: Readonly<Record<Condition, string>> = {
  ...{ serving: 'good', repairing: 'warn', failing: 'warn', stopped: 'bad', unreachable: 'bad' },
};
export const CONDITION_ICONS: Readonly<Record<Condition, IconName>> = {
  ...{ serving: 'passed', repairing: 'clock', failing: 'warning', stopped: 'none', unreachable: 'failed' },
};

/** The banner on top. */
export class QuorumPanel {
  readonly root = element('section', { class: 'card quorum', 'aria-labelledby': 'quorum' });

  update({ quorum: { nodes, needed, serving, mayFail }, nodes: views }: Overview): void {
    const { quorum } = TEXTS;
    const stopped = mayFail < 0;
    const look = stopped ? 'bad' : mayFail === 0 && nodes > 1 ? 'warn' : 'good';
    this.root.className = `card quorum quorum-${look}`;
    replace(
      this.root,
      element('div', { class: 'quorum-sign' }, icon(stopped ? 'failed' : look === 'warn' ? 'warning' : 'shield')),
      element(
        'div',
        {},
        element('h2', { id: 'quorum' }, stopped ? quorum.stopped : quorum.works),
        element('p', { class: 'lead' }, stopped ? quorum.missing(-mayFail) : quorum.mayFail(mayFail)),
        element('p', { class: 'hint' }, quorum.serving(serving, nodes, needed)),
      ),
      element(
        'ul',
        { class: 'pips', 'aria-label': TEXTS.nodes.heading },
        views.map(({ name, condition }) =>
          element(
            'li',
            { class: `pip pip-${CONDITION_LOOKS[condition]}` },
            icon(CONDITION_ICONS[condition]),
            element('span', {}, name),
            element('span', { class: 'visually-hidden' }, `: ${TEXTS.conditions[condition]}`),
          ),
        ),
      ),
    );
  }
}

export class AlarmPanel {
  readonly root: HTMLElement;
  readonly #list = element('ul', { class: 'alarms' });
  readonly #announcer: Announcer;
  #before: ReadonlyMap<string, Alarm> | undefined;

  constructor(announcer: Announcer) {
    this.#announcer = announcer;
    const heading = element('h2', { id: 'alarms' }, TEXTS.alarms.heading);
    this.root = element('section', { 'aria-labelledby': 'alarms' }, heading, this.#list);
  }

  update({ alarms }: Overview): void {
    const now = new Map(alarms.map((alarm) => [`${alarm.id} ${alarm.node} ${alarm.severity}`, alarm]));
    this.#announce(now);
    this.#before = now;
    if (alarms.length === 0) {
      replace(
        this.#list,
        element('li', { class: 'notice notice-good' }, icon('passed'), element('p', {}, TEXTS.alarms.none)),
      );
      return;
    }
    replace(this.#list, alarms.map(alarmItem));
  }

  /** What has changed since the last look; at the first, the page itself is read. */
  #announce(now: ReadonlyMap<string, Alarm>): void {
    const before = this.#before;
    if (!before) return;
    const raised = [...now].filter(([key]) => !before.has(key)).map(([, { title }]) => TEXTS.alarms.raised(title));
    const gone = [...before].filter(([key]) => !now.has(key)).map(([, { title }]) => TEXTS.alarms.gone(title));
    if (raised.length + gone.length > 0) this.#announcer.say([...raised, ...gone].join(' '));
  }
}

function alarmItem({ severity, title, text, since }: Alarm): HTMLLIElement {
  return element(
    'li',
    { class: `notice notice-${LOOKS[severity]}` },
    icon(ICONS[severity]),
    element(
      'div',
      {},
      element('h3', {}, element('span', { class: 'visually-hidden' }, `${TEXTS.severities[severity]}: `), title),
      element('p', {}, text, since === null ? undefined : ` ${TEXTS.alarms.since(words.dateTime(since))}`),
    ),
  );
}

/** Counts of the last hour. */
export class ActivityPanel {
  readonly root: HTMLElement;
  readonly #list = element('dl', { class: 'tiles' });

  constructor() {
    const heading = element('h2', { id: 'activity' }, TEXTS.lastHour.heading);
    this.root = element('section', { 'aria-labelledby': 'activity' }, heading, this.#list);
  }

  update({ lastHour }: Overview): void {
    const { attempts, confirmations, activations, destructions, anchorWrites } = TEXTS.lastHour;
    const tile = (title: string, value: number) =>
      element('div', { class: 'card tile' }, element('dt', {}, title), element('dd', {}, words.number(value)));
    replace(
      this.#list,
      tile(attempts, lastHour.attempts),
      tile(confirmations, lastHour.confirmations),
      tile(activations, lastHour.activations),
      tile(destructions, lastHour.destructions),
      tile(anchorWrites, lastHour.anchorWrites),
    );
  }
}
