/** One plot: lines on a canvas (uPlot), a legend in words, a summary for those who hear the page, and the values as a table. */

import uPlot from 'uplot';
import type { Unit } from '../../dashboard/index.ts';
import { element, replace } from '../common/index.ts';
import { axisTime, stepTime, valueText } from './format.ts';
import { Table } from './table.ts';
import { TEXTS } from './texts.ts';

export interface Line {
  readonly name: string;
  readonly values: readonly (number | null)[];
  /** 1 to 9: its colour. */
  readonly colour: number;
  readonly dashed?: boolean;
  /** Not in the legend: the line of the same colour is. */
  readonly unlisted?: boolean;
}

export interface Lines {
  /** Milliseconds since 1970 at which the first step begins, and milliseconds of a step. */
  readonly start: number;
  readonly step: number;
  readonly unit: Unit;
  readonly lines: readonly Line[];
}

const HEIGHT = 220;

export class Plot {
  readonly root: HTMLElement;
  readonly #title: string;
  readonly #canvas = element('div', { class: 'canvas', role: 'img' });
  readonly #legend = element('ul', { class: 'legend', 'aria-hidden': 'true' });
  readonly #empty = element('p', { class: 'hint empty' }, TEXTS.history.noValues);
  readonly #details: HTMLDetailsElement;
  #shown: Lines | undefined;
  #plot: uPlot | undefined;
  #drawn = '';
  #table: Table | undefined;

  /** @param controls what chooses what is plotted, if anything does. */
  constructor(title: string, about: string, ...controls: readonly HTMLElement[]) {
    this.#title = title;
    this.#details = element('details', {}, element('summary', {}, TEXTS.history.table));
    this.#details.addEventListener('toggle', () => this.#tabulate());
    this.#empty.hidden = true;
    this.root = element(
      'figure',
      { class: 'card plot' },
      element('figcaption', {}, element('h3', {}, title), element('p', { class: 'hint' }, about)),
      controls,
      this.#legend,
      this.#canvas,
      this.#empty,
      this.#details,
    );
    new ResizeObserver(() => this.#fit()).observe(this.#canvas);
  }

  show(lines: Lines): void {
    this.#shown = lines;
    this.#draw();
    this.#tabulate();
  }

  /** Anew, because the colours have changed. */
  repaint(): void {
    this.#drawn = '';
    this.#draw();
  }

  #draw(): void {
    const shown = this.#shown;
    if (!shown) return;
    const seen = shown.lines.some(({ values }) => values.some((value) => value !== null));
    this.#empty.hidden = seen;
    this.#canvas.setAttribute('aria-label', `${this.#title}. ${TEXTS.history.summary(summaryOf(shown))}`);
    const { start, step, unit, lines } = shown;
    const times = (lines[0]?.values ?? []).map((_, i) => (start + (i + 0.5) * step) / 1000);
    const data = [times, ...lines.map(({ values }) => values)] as unknown as uPlot.AlignedData;
    const kind = JSON.stringify([unit, step, lines.map(({ name, colour, dashed }) => [name, colour, dashed])]);
    if (this.#plot && this.#drawn === kind) {
      this.#plot.setData(data);
      return;
    }
    this.#plot?.destroy();
    this.#drawn = kind;
    this.#plot = new uPlot(optionsOf(shown, this.#width), data, this.#canvas);
    replace(
      this.#legend,
      lines
        .filter(({ unlisted }) => !unlisted)
        .map(({ name, colour, dashed }) =>
          element(
            'li',
            {},
            element('span', { class: `swatch swatch-${colour}${dashed ? ' swatch-dashed' : ''}` }),
            name,
          ),
        ),
    );
  }

  get #width(): number {
    return Math.max(200, this.#canvas.clientWidth);
  }

  #fit(): void {
    if (this.#plot && this.#plot.width !== this.#width) this.#plot.setSize({ width: this.#width, height: HEIGHT });
  }

  /** Only while somebody looks at it: there are many rows. */
  #tabulate(): void {
    const shown = this.#shown;
    if (!shown || !this.#details.open) return;
    const names = shown.lines.map(({ name }) => name);
    if (!this.#table || this.#table.root.dataset.names !== names.join()) {
      this.#table?.root.remove();
      const columns = names.map((title) => ({ title, number: true }));
      this.#table = new Table(this.#title, [{ title: TEXTS.history.time }, ...columns]);
      this.#table.root.dataset.names = names.join();
      this.#details.append(this.#table.root);
    }
    this.#table.show(rowsOf(shown));
  }
}

/** The newest first, without steps in which nothing was seen. */
function rowsOf({ start, step, unit, lines }: Lines): string[][] {
  const count = lines[0]?.values.length ?? 0;
  const rows: string[][] = [];
  for (let i = count - 1; i >= 0; i--) {
    const values = lines.map((line) => line.values[i] ?? null);
    if (values.every((value) => value === null)) continue;
    const cells = values.map((value) => (value === null ? TEXTS.nodes.unknown : valueText(unit, value)));
    rows.push([stepTime(start + i * step, step), ...cells]);
  }
  return rows;
}

function summaryOf({ unit, lines }: Lines): string {
  const sentences = lines.map(({ name, values }) => {
    const seen = values.filter((value) => value !== null);
    const last = seen.at(-1);
    if (last === undefined) return TEXTS.history.nothing(name);
    const [least, greatest] = [Math.min(...seen), Math.max(...seen)];
    return TEXTS.history.line(name, valueText(unit, least), valueText(unit, greatest), valueText(unit, last));
  });
  return sentences.join(' ');
}

function optionsOf({ unit, lines, step }: Lines, width: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour('--muted'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 },
    font: `12px ${colour('--sans')}`,
  };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    scales: {
      x: { time: true },
      // From zero, so that the height of a line means something; and never without height.
      y: { range: (_plot, _least, greatest) => [0, greatest > 0 ? greatest * 1.1 : 1] },
    },
    axes: [
      { ...axis, values: (_plot, splits) => splits.map((at) => axisTime(at * 1000, step)), space: 64 },
      {
        ...axis,
        size: unit === 'seconds' ? 66 : 52,
        values: (_plot, splits) => splits.map((value) => labelOf(unit, value)),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.name,
        stroke: colour(`--series-${line.colour}`),
        width: 2,
        points: { show: false },
        ...(line.dashed && { dash: [6, 4] }),
        ...pointsOf(line),
      })),
    ],
  };
}

/** A value between two that are not known is no line: it shows as a point. */
const pointsOf = ({ colour: _, values }: Line): Partial<uPlot.Series> => {
  const seen = values.filter((value) => value !== null).length;
  return seen > 0 && seen <= values.length / 3 ? { points: { show: true, size: 5 } } : {};
};

/** Whole numbers only where only such are counted. */
const labelOf = (unit: Unit, value: number): string =>
  unit !== 'seconds' && !Number.isInteger(value) ? '' : valueText(unit, value);
