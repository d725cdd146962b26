/** The part of the page that audits: a button, each step as it is done, the verdict, the report. */

import {
  AUDIT_STATES,
  AUDIT_STEPS,
  AUDIT_TEXTS,
  type AuditReport,
  type AuditStep,
  type AuditStepId,
  audit,
  auditReportJson,
} from '../../audit/index.ts';
import { asHoldfastError } from '../../core/index.ts';
import { type Announcer, append, button, download, element, focusOn, icon, replace } from '../common/index.ts';
import type { AnchorChoice } from './anchor.ts';
import { facts, notice, section } from './header.ts';
import { recall, remember } from './memory.ts';
import { BrowserSource } from './source.ts';
import { TEXTS } from './texts.ts';

const { check: words } = TEXTS;

export interface CheckOptions {
  readonly site: string;
  readonly anchor: AnchorChoice;
  readonly announcer: Announcer;
  /** The button above all else, which starts the check too. */
  readonly start: HTMLButtonElement;
  /** Told of each fleet's result, and of nothing when a check begins. */
  readonly onResult: (report: AuditReport | undefined) => void;
}

export class Check {
  readonly element: HTMLElement;
  readonly #options: CheckOptions;
  readonly #result = element('div', { class: 'result', hidden: true });
  readonly #verdict = element('div', { class: 'stack', tabindex: -1 });
  readonly #steps = element('div', { class: 'stack' });
  readonly #lists = new Map<string, HTMLElement>();
  #running: AbortController | undefined;

  constructor(options: CheckOptions) {
    this.#options = options;
    append(this.#result, [this.#verdict, this.#steps]);
    this.element = section(
      'check',
      words.heading,
      element('p', { class: 'hint' }, words.lead),
      options.anchor.element,
      this.#result,
    );
    options.start.addEventListener('click', () => void this.run());
  }

  /** Runs the audit once; while one runs, nothing. */
  async run(): Promise<void> {
    if (this.#running) return;
    const running = new AbortController();
    this.#running = running;
    const { start, onResult, anchor } = this.#options;
    start.setAttribute('aria-disabled', 'true');
    try {
      if (!(await anchor.ready())) return;
      onResult(undefined);
      this.#lists.clear();
      this.#steps.replaceChildren();
      this.#result.hidden = false;
      this.element.scrollIntoView({ block: 'start' });
      await this.#audit(running);
    } catch (thrown) {
      this.#showEnd(asHoldfastError(thrown).code === 'cancelled' ? words.stopped : words.crashed, thrown);
    } finally {
      this.#running = undefined;
      start.removeAttribute('aria-disabled');
    }
  }

  async #audit(running: AbortController): Promise<void> {
    const { site, anchor, announcer } = this.#options;
    const source = new BrowserSource();
    const seen = recall(site);
    const given = anchor.anchor;
    const progress = new Progress(() => running.abort());
    replace(this.#verdict, progress.element);
    focusOn(this.#verdict);
    const began = performance.now();
    let row: HTMLElement | undefined;
    const steps = audit({
      ...{ source, site, now: Date.now(), signal: running.signal, anchor: given, seen: seen?.seen },
      onBegin: (id, fleet) => {
        progress.step(id);
        row = workingRow(id);
        this.#listOf(fleet).append(row);
      },
    });
    for (;;) {
      const { done, value } = await steps.next();
      if (done) {
        const milliseconds = performance.now() - began;
        performance.measure('audit', { start: began, end: began + milliseconds });
        remember(site, value);
        this.#showVerdict(value, { milliseconds, source, own: given !== undefined, remembered: seen?.at });
        return;
      }
      row?.replaceWith(stepRow(value));
      if (value.state === 'failed') announcer.say(words.stepFailed(AUDIT_TEXTS[value.id].title));
    }
  }

  /** The list of a fleet's steps, or of those on the site, which is made when its first step begins. */
  #listOf(fleet: string | undefined): HTMLElement {
    const key = fleet ?? '';
    const known = this.#lists.get(key);
    if (known) return known;
    const list = element('ol', { class: 'steps' });
    const title = fleet === undefined ? words.site : words.fleet(fleet);
    this.#options.announcer.say(words.began(title));
    const id = `steps-${this.#lists.size}`;
    this.#steps.append(
      element('div', { class: 'card', role: 'group', 'aria-labelledby': id }, element('h3', { id }, title), list),
    );
    this.#lists.set(key, list);
    return list;
  }

  #showVerdict(
    report: AuditReport,
    how: { milliseconds: number; source: BrowserSource; own: boolean; remembered: number | undefined },
  ): void {
    const of = (state: AuditStep['state']) => report.steps.filter((step) => step.state === state).length;
    const failures = of('failed');
    const title = report.passed ? words.passed : words.failed(failures);
    const { requests, bytes } = how.source;
    const cost = words.cost(words.seconds(how.milliseconds), requests, Math.ceil(bytes / 1024));
    const remembered =
      how.remembered === undefined ? words.first : words.remembered(TEXTS.words.dateTime(how.remembered));
    replace(
      this.#verdict,
      notice(
        report.passed ? 'good' : 'bad',
        element('h3', { class: 'verdict-title' }, title),
        element(
          'p',
          {},
          report.passed ? words.passedMore : isUnanswered(report) ? words.unansweredMore : words.failedMore,
        ),
        element('p', {}, `${words.summary(of('passed'), of('stated'), of('not_checked'))}. ${cost}`),
        element('p', {}, how.own && `${words.ownAnchor} `, remembered),
        failures > 0 && [element('h4', {}, words.failedSteps), failureLinks(report)],
      ),
      // What a site says of whom to believe is its own word, however well all else fits.
      !how.own && notice('warn', element('p', {}, words.siteAnchor)),
      element(
        'div',
        { class: 'buttons' },
        button([icon('download'), words.download], () => {
          const name = `audit-${new Date(report.at).toISOString().slice(0, 19).replaceAll(':', '')}.json`;
          download(name, auditReportJson(report), 'application/json');
        }),
        button(words.again, () => void this.run()),
      ),
      element('p', { class: 'hint' }, TEXTS.hero.warning),
    );
    this.#options.onResult(report);
    this.#options.announcer.say(`${title}. ${words.summary(of('passed'), of('stated'), of('not_checked'))}.`);
    focusOn(this.#verdict);
  }

  #showEnd(message: string, thrown: unknown): void {
    const { code, message: reason } = asHoldfastError(thrown);
    replace(
      this.#verdict,
      notice('warn', element('p', {}, message), code !== 'cancelled' && element('p', {}, `${code}: ${reason}`)),
      element(
        'div',
        { class: 'buttons' },
        button(words.again, () => void this.run()),
      ),
    );
    for (const row of this.#steps.querySelectorAll('.step-working')) row.remove();
    this.#options.announcer.say(message);
    focusOn(this.#verdict);
  }
}

/** Whether nothing is known to be wrong, but that answers did not come. */
const isUnanswered = ({ steps }: AuditReport): boolean =>
  steps.every(({ state, code }) => state !== 'failed' || code === 'not_ready');

/** How far the audit is, and the way to stop it. */
class Progress {
  readonly element: HTMLElement;
  readonly #text = element('p', { id: 'progress-text' });
  #done = 0;

  constructor(stop: () => void) {
    this.element = element(
      'div',
      { class: 'progress' },
      element('span', { class: 'spinner', 'aria-hidden': true }),
      this.#text,
      button(words.stop, stop),
    );
  }

  step(id: AuditStepId): void {
    this.#done++;
    this.#text.textContent = words.running(this.#done, AUDIT_TEXTS[id].title);
  }
}

/** Ways to the steps that failed, which may be far down. */
function failureLinks({ steps }: AuditReport): HTMLElement {
  const failed = steps.filter(({ state }) => state === 'failed');
  return element(
    'ul',
    {},
    failed.map((step) => {
      const where = step.fleet === undefined ? '' : ` (${words.fleet(step.fleet)})`;
      return element('li', {}, element('a', { href: `#${rowId(step)}` }, headingOf(step.id), where));
    }),
  );
}

const rowId = ({ id, fleet }: Pick<AuditStep, 'id' | 'fleet'>) => `step-${id}${fleet === undefined ? '' : `-${fleet}`}`;

const LOOKS = {
  passed: ['badge badge-good', 'passed'],
  stated: ['badge', 'stated'],
  not_checked: ['badge badge-warn', 'none'],
  failed: ['badge badge-bad', 'failed'],
} as const;

const headingOf = (id: AuditStepId) => `${AUDIT_STEPS.indexOf(id) + 1}. ${AUDIT_TEXTS[id].title}`;

function workingRow(id: AuditStepId): HTMLElement {
  return element(
    'li',
    { class: 'step step-working' },
    element('span', { class: 'step-sign' }, element('span', { class: 'spinner', 'aria-hidden': true })),
    element('div', { class: 'step-body' }, element('h4', {}, headingOf(id)), element('p', {}, words.working)),
  );
}

function stepRow(step: AuditStep): HTMLElement {
  const { id, state, code, message, facts: found } = step;
  const text = AUDIT_TEXTS[id];
  const [looks, sign] = LOOKS[state];
  const failed = state === 'failed';
  const rows = Object.entries(found).map(([name, value]) => [name, factText(value)] as const);
  return element(
    'li',
    { class: `step step-${state}`, id: rowId(step), 'data-step': id, 'data-state': state, 'data-code': code },
    element('span', { class: 'step-sign' }, icon(sign)),
    element(
      'div',
      { class: 'step-body' },
      element(
        'div',
        { class: 'step-head' },
        element('h4', {}, headingOf(id)),
        element('span', { class: looks }, AUDIT_STATES[state]),
      ),
      element('p', {}, message),
      failed && notice('bad', element('p', {}, element('strong', {}, words.failure), ': ', text.failure)),
      element(
        'details',
        {},
        element('summary', {}, words.more, element('span', { class: 'visually-hidden' }, `: ${text.title}`)),
        facts([
          [words.checked, text.checked],
          [words.proves, text.proves],
          [words.provesNot, text.provesNot],
          ...(failed ? [] : [[words.failure, text.failure] as const]),
          ...(code === undefined ? [] : [[words.code, element('code', {}, code)] as const]),
        ]),
        rows.length > 0 && [element('h5', {}, words.facts), facts(rows)],
      ),
    ),
  );
}

type FactValue = AuditStep['facts'][string];

function factText(value: FactValue): HTMLElement {
  if (typeof value !== 'object' || value === null) return element('span', { class: 'fact' }, String(value));
  return element(
    'ul',
    { class: 'plain fact' },
    value.map((one) => element('li', {}, one)),
  );
}
