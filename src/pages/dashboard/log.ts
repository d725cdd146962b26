/** The fleet's bundle, the log and its witnesses, and what else runs out. */

import { type BundleView, type LogView, type Overview, span } from '../../dashboard/index.ts';
import { type Child, element, replace } from '../common/index.ts';
import { words } from './format.ts';
import { Table } from './table.ts';
import { TEXTS } from './texts.ts';

const { log: texts } = TEXTS;

export class LogPanel {
  readonly root: HTMLElement;
  readonly #content = element('div', { class: 'stack' });

  constructor() {
    const heading = element('h2', { id: 'log' }, texts.heading);
    this.root = element('section', { class: 'card', 'aria-labelledby': 'log' }, heading, this.#content);
  }

  update({ log, time }: Overview): void {
    const shown: readonly Child[] = log
      ? [
          element('p', { class: 'hint' }, texts.about),
          element('dl', { class: 'facts' }, bundleFacts(log.bundle, time), checkpointFacts(log, time)),
        ]
      : [element('p', {}, texts.none)];
    replace(this.#content, shown);
  }
}

const fact = (name: string, ...value: readonly Child[]): Child => [element('dt', {}, name), element('dd', {}, value)];

function bundleFacts(bundle: BundleView | null, time: number): Child {
  if (!bundle) return fact(texts.state, badge('warn', texts.states.unknown));
  const state = bundle.revoked ? 'revoked' : bundle.kind === 'retire' ? 'retired' : 'live';
  const left = bundle.notAfter - time;
  return [
    fact(texts.serial, texts.serialOf(bundle.serial, bundle.epoch)),
    fact(texts.state, badge(state === 'live' ? 'good' : state === 'retired' ? 'warn' : 'bad', texts.states[state])),
    fact(texts.until, `${words.date(bundle.notAfter)} (${left > 0 ? texts.left(span(left)) : texts.over})`),
  ];
}

function checkpointFacts({ checkpoint, fetchedAt }: LogView, time: number): Child {
  const fetched = fact(texts.fetched, fetchedAt === null ? texts.never : words.ago(fetchedAt, time));
  if (!checkpoint) return fetched;
  const { origin, size, cosignatures, majorityAt } = checkpoint;
  return [
    fact(texts.checkpoint, origin, ' · ', texts.size(words.number(size))),
    fact(texts.signed, majorityAt === null ? texts.noWitnesses : words.ago(majorityAt, time)),
    fact(
      texts.witnesses,
      cosignatures.length === 0
        ? texts.noWitnesses
        : element(
            'ul',
            { class: 'plain' },
            cosignatures.map((one) => element('li', {}, one.name, ' · ', words.ago(one.time, time))),
          ),
    ),
    fetched,
  ];
}

const badge = (look: string, text: string): HTMLElement => element('span', { class: `badge badge-${look}` }, text);

export class ExpiryPanel {
  readonly root: HTMLElement;
  readonly #table: Table;

  constructor() {
    const { heading, what, at, left } = TEXTS.expiries;
    this.#table = new Table(heading, [{ title: what }, { title: at }, { title: left, number: true }]);
    this.root = element(
      'section',
      { class: 'card', 'aria-labelledby': 'expiries' },
      element('h2', { id: 'expiries' }, heading),
      this.#table.root,
    );
  }

  update({ expiries, time }: Overview): void {
    const rows = expiries.toSorted((a, b) => a.at - b.at);
    this.#table.show(rows.map(({ what, at }) => [what, words.date(at), at > time ? span(at - time) : texts.over]));
  }
}
