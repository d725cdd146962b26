/** Tables that can be moved sideways on narrow screens, also by keyboard. */

import { type Child, element, replace } from '../common/index.ts';
import { TEXTS } from './texts.ts';

export interface Column {
  readonly title: string;
  /** Numbers stand right. */
  readonly number?: boolean;
}

export class Table {
  readonly root: HTMLElement;
  readonly #body = element('tbody');
  readonly #columns: readonly Column[];

  /** @param caption what it is a table of, for those who hear it; shown only where nothing above it says so. */
  constructor(caption: string, columns: readonly Column[]) {
    this.#columns = columns;
    const head = columns.map(({ title, number }) =>
      element('th', { scope: 'col', class: number ? 'number' : undefined }, title),
    );
    this.root = element(
      'div',
      { class: 'scroll', role: 'region', 'aria-label': TEXTS.table(caption), tabindex: 0 },
      element(
        'table',
        {},
        element('caption', { class: 'visually-hidden' }, caption),
        element('thead', {}, element('tr', {}, head)),
        this.#body,
      ),
    );
  }

  /** The first cell of each row is its heading. */
  show(rows: readonly (readonly Child[])[]): void {
    replace(
      this.#body,
      rows.map((cells) =>
        element(
          'tr',
          {},
          cells.map((cell, i) =>
            i === 0
              ? element('th', { scope: 'row' }, cell)
              : element('td', { class: this.#columns[i]?.number ? 'number' : undefined }, cell),
          ),
        ),
      ),
    );
  }
}
