/** What is plotted, over the time range that was chosen. */

import {
  CLIENT_OPERATIONS,
  type HistoryView,
  type Overview,
  RANGE_NAMES,
  RANGES,
  type Range,
  TOKEN_OPERATIONS,
} from '../../dashboard/index.ts';
import { element } from '../common/index.ts';
import { bytes, words } from './format.ts';
import { type Line, Plot } from './plot.ts';
import { TEXTS } from './texts.ts';
import { Timeline } from './timeline.ts';

type Values = readonly (number | null)[];

export class HistoryPanel {
  readonly root: HTMLElement;
  readonly #about = element('p', { class: 'hint' });
  readonly #timeline = new Timeline();
  readonly #attempts = plot('attempts');
  readonly #records = plot('records');
  readonly #anchors = plot('anchors');
  readonly #queue = plot('queue');
  readonly #token: Plot;
  readonly #answers = plot('answers');
  readonly #answerTime: Plot;
  readonly #tokenOperation: HTMLSelectElement;
  readonly #clientOperation: HTMLSelectElement;
  readonly #onRange: () => void;
  #range: Range = '15m';
  #view: HistoryView | undefined;
  #overview: Overview | undefined;

  /** @param onRange called when somebody has chosen another time range. */
  constructor(onRange: () => void) {
    this.#onRange = onRange;
    const again = () => this.#draw();
    const token = chooser('token-operation', TOKEN_OPERATIONS, TEXTS.tokenOperations, again);
    const client = chooser('client-operation', CLIENT_OPERATIONS, TEXTS.clientOperations, again);
    this.#tokenOperation = token.select;
    this.#clientOperation = client.select;
    this.#token = plot('token', token.root);
    this.#answerTime = plot('answerTime', client.root);
    this.root = element(
      'section',
      { 'aria-labelledby': 'history' },
      element('div', { class: 'bar' }, element('h2', { id: 'history' }, TEXTS.history.heading), this.#rangeChoice()),
      this.#about,
      element(
        'div',
        { class: 'plots' },
        this.#timeline.root,
        this.#plots.map(({ root }) => root),
      ),
    );
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const one of this.#plots) one.repaint();
    });
  }

  get range(): Range {
    return this.#range;
  }

  /** Milliseconds between two looks: as often as a step ends, within reason. */
  get pace(): number {
    return Math.min(60_000, Math.max(RANGES[this.#range].step, 5000));
  }

  show(view: HistoryView, overview: Overview): void {
    this.#view = view;
    this.#overview = overview;
    this.#about.textContent = TEXTS.history.about(words.duration(view.step), bytes(overview.history.bytes));
    this.#draw();
  }

  get #plots(): readonly Plot[] {
    return [
      ...[this.#attempts, this.#records, this.#token, this.#anchors],
      ...[this.#queue, this.#answers, this.#answerTime],
    ];
  }

  #rangeChoice(): HTMLElement {
    const choices = RANGE_NAMES.map((range) => {
      const id = `range-${range}`;
      const input = element('input', {
        type: 'radio',
        name: 'range',
        id,
        value: range,
        checked: range === this.#range,
      });
      input.addEventListener('change', () => {
        this.#range = range;
        this.#onRange();
      });
      return [input, element('label', { for: id }, TEXTS.history.ranges[range])];
    });
    const legend = element('legend', { class: 'visually-hidden' }, TEXTS.history.range);
    return element('fieldset', { class: 'choice' }, legend, choices);
  }

  #draw(): void {
    const [view, overview] = [this.#view, this.#overview];
    if (!view || !overview) return;
    const { start, step, coordinator } = view;
    const names = overview.nodes.map(({ name }) => name);
    const at = { start, step };
    this.#timeline.show(view, names);
    const most = (name: string, words: string, colour: number): Line => ({
      name: words,
      values: greatest(view, name),
      colour,
    });
    this.#attempts.show({
      ...at,
      unit: 'count',
      lines: [most('attempts', TEXTS.lines.attempts, 1), most('confirmations', TEXTS.lines.confirmations, 2)],
    });
    this.#records.show({
      ...at,
      unit: 'count',
      lines: [most('activations', TEXTS.lines.activations, 1), most('destructions', TEXTS.lines.destructions, 3)],
    });
    this.#anchors.show({ ...at, unit: 'count', lines: eachNode(view, names, 'anchorWrites') });
    this.#queue.show({ ...at, unit: 'number', lines: eachNode(view, names, 'queueDepth') });
    const operation = this.#tokenOperation.value;
    this.#token.show({
      ...at,
      unit: 'seconds',
      lines: [
        ...eachNode(view, names, `${operation}.p95`),
        ...eachNode(view, names, `${operation}.p50`).map((line) => ({
          ...line,
          name: `${line.name} ${TEXTS.lines.p50}`,
          dashed: true,
          unlisted: true,
        })),
      ],
    });
    const own = (name: string, words: string, colour: number, dashed = false): Line => {
      return { name: words, values: coordinator[name] ?? [], colour, dashed };
    };
    this.#answers.show({
      ...at,
      unit: 'count',
      lines: [own('answered', TEXTS.lines.answered, 2), own('refused', TEXTS.lines.refused, 3)],
    });
    const asked = this.#clientOperation.value;
    this.#answerTime.show({
      ...at,
      unit: 'seconds',
      lines: [own(`${asked}.p95`, TEXTS.lines.p95, 1), own(`${asked}.p50`, TEXTS.lines.p50, 1, true)],
    });
  }
}

function plot(name: Exclude<keyof typeof TEXTS.plots, 'conditions'>, ...controls: readonly HTMLElement[]): Plot {
  const { title, about } = TEXTS.plots[name];
  return new Plot(title, about, ...controls);
}

const eachNode = ({ nodes }: HistoryView, names: readonly string[], series: string): Line[] =>
  nodes.map(({ node, series: lines }) => ({
    name: names[node - 1] ?? String(node),
    values: lines[series] ?? [],
    colour: node,
  }));

/** Nodes count the same events, each for itself: in each step, the one that counted most. */
function greatest({ nodes, points }: HistoryView, name: string): Values {
  return Array.from({ length: points }, (_, i) => {
    const seen = nodes.flatMap(({ series }) => series[name]?.[i] ?? []);
    return seen.length === 0 ? null : Math.max(...seen);
  });
}

function chooser<N extends string>(
  id: string,
  names: readonly N[],
  titles: Readonly<Record<N, string>>,
  onChange: () => void,
): { readonly root: HTMLElement; readonly select: HTMLSelectElement } {
  const select = element(
    'select',
    { id },
    names.map((name) => element('option', { value: name }, titles[name])),
  );
  select.addEventListener('change', onChange);
  const root = element(
    'div',
    { class: 'field inline' },
    element('label', { for: id }, TEXTS.history.operation),
    select,
  );
  return { root, select };
}
