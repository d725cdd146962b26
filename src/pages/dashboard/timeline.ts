/** The condition of each node over time, as a strip of coloured parts for each; with words, patterns and a table besides. */

import { CONDITIONS, type Condition, type HistoryView } from '../../dashboard/index.ts';
import { element, replace } from '../common/index.ts';
import { stepTime, words } from './format.ts';
import { conditionBadge } from './nodes.ts';
import { CONDITION_LOOKS } from './status.ts';
import { Table } from './table.ts';
import { TEXTS } from './texts.ts';

const SVG = 'http://www.w3.org/2000/svg';

interface Part {
  /** Undefined: nobody looked. */
  readonly condition: Condition | undefined;
  /** The first and the one after the last of its steps. */
  readonly from: number;
  readonly to: number;
}

export class Timeline {
  readonly root: HTMLElement;
  readonly #rows = element('div', { class: 'strips' });
  readonly #details: HTMLDetailsElement;
  readonly #table: Table;
  #shown: readonly string[][] = [];

  constructor() {
    const { title, about } = TEXTS.plots.conditions;
    this.#table = new Table(title, [
      { title: TEXTS.nodes.node },
      { title: TEXTS.nodes.condition },
      { title: TEXTS.history.time },
    ]);
    this.#details = element('details', {}, element('summary', {}, TEXTS.history.table), this.#table.root);
    this.#details.addEventListener('toggle', () => this.#tabulate());
    this.root = element(
      'figure',
      { class: 'card plot wide' },
      element('figcaption', {}, element('h3', {}, title), element('p', { class: 'hint' }, about)),
      element(
        'ul',
        { class: 'legend', 'aria-hidden': 'true' },
        CONDITIONS.toReversed().map((condition) => element('li', {}, conditionBadge(condition))),
      ),
      this.#rows,
      this.#details,
    );
  }

  /** @param names of the nodes, in their order. */
  show({ nodes, start, step, points }: HistoryView, names: readonly string[]): void {
    const all = nodes.map(({ node, series }) => ({
      name: names[node - 1] ?? String(node),
      parts: partsOf(series.condition ?? []),
    }));
    replace(
      this.#rows,
      all.map(({ name, parts }) =>
        element('div', { class: 'strip' }, element('span', { class: 'strip-name' }, name), strip(name, parts, points)),
      ),
      element(
        'div',
        { class: 'strip strip-axis', 'aria-hidden': 'true' },
        element('span', { class: 'strip-name' }),
        element('span', {}, stepTime(start, step)),
        element('span', {}, stepTime(start + points * step, step)),
      ),
    );
    this.#shown = all.flatMap(({ name, parts }) =>
      parts.toReversed().flatMap(({ condition, from, to }) => {
        const span = `${stepTime(start + from * step, step)} – ${stepTime(start + to * step, step)}`;
        return condition === undefined ? [] : [[name, TEXTS.conditions[condition], span]];
      }),
    );
    this.#tabulate();
  }

  #tabulate(): void {
    if (this.#details.open) this.#table.show(this.#shown);
  }
}

/** Steps of the same condition, one after the other, as one part. */
function partsOf(values: readonly (number | null)[]): Part[] {
  const parts: Part[] = [];
  for (const [i, value] of values.entries()) {
    const condition = value === null ? undefined : CONDITIONS[value];
    const last = parts.at(-1);
    if (last && last.condition === condition) parts[parts.length - 1] = { ...last, to: i + 1 };
    else parts.push({ condition, from: i, to: i + 1 });
  }
  return parts;
}

function strip(name: string, parts: readonly Part[], points: number): SVGSVGElement {
  const drawing = document.createElementNS(SVG, 'svg');
  const share = (wanted: Condition) =>
    parts.reduce((sum, { condition, from, to }) => sum + (condition === wanted ? to - from : 0), 0);
  const seen = parts.reduce((sum, { condition, from, to }) => sum + (condition ? to - from : 0), 0);
  const shares = CONDITIONS.toReversed().flatMap((condition) => {
    const percent = seen === 0 ? 0 : (100 * share(condition)) / seen;
    return percent === 0 ? [] : [`${TEXTS.conditions[condition]} ${words.number(Math.round(percent))} %`];
  });
  drawing.setAttribute('class', 'strip-parts');
  drawing.setAttribute('viewBox', `0 0 ${points} 10`);
  drawing.setAttribute('preserveAspectRatio', 'none');
  drawing.setAttribute('role', 'img');
  drawing.setAttribute('aria-label', `${name}: ${shares.join(', ') || TEXTS.history.noValues}`);
  for (const { condition, from, to } of parts) {
    if (condition === undefined) continue;
    const part = document.createElementNS(SVG, 'rect');
    part.setAttribute('class', `part part-${CONDITION_LOOKS[condition]}`);
    part.setAttribute('x', String(from));
    part.setAttribute('width', String(to - from));
    // Lower where it is worse, so that colour is not all that tells.
    const height = { good: 10, warn: 6, bad: 3 }[CONDITION_LOOKS[condition]] ?? 10;
    part.setAttribute('y', String(10 - height));
    part.setAttribute('height', String(height));
    drawing.append(part);
  }
  return drawing;
}
