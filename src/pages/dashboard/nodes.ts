/** Node by node: condition, queue, repair, and what its token takes. */

import { type Condition, type Latency, type NodeView, type Overview, TOKEN_OPERATIONS } from '../../dashboard/index.ts';
import { type Child, element, icon } from '../common/index.ts';
import { known, seconds, words } from './format.ts';
import { CONDITION_ICONS, CONDITION_LOOKS } from './status.ts';
import { Table } from './table.ts';
import { TEXTS } from './texts.ts';

const nothing = (): Child => [
  element('span', { 'aria-hidden': 'true' }, TEXTS.nodes.unknown),
  element('span', { class: 'visually-hidden' }, TEXTS.nodes.unknownWords),
];
const count = (value: number | null): Child => (value === null ? nothing() : known(value));

export function conditionBadge(condition: Condition): HTMLElement {
  const look = CONDITION_LOOKS[condition];
  return element(
    'span',
    { class: `badge badge-${look}` },
    icon(CONDITION_ICONS[condition]),
    TEXTS.conditions[condition],
  );
}

export class NodesPanel {
  readonly root: HTMLElement;
  readonly #table: Table;

  constructor() {
    const { nodes } = TEXTS;
    this.#table = new Table(nodes.heading, [
      { title: nodes.node },
      { title: nodes.condition },
      { title: nodes.since },
      { title: nodes.queue, number: true },
      { title: nodes.inFlight, number: true },
      { title: nodes.records, number: true },
      { title: nodes.commits, number: true },
      { title: nodes.started, number: true },
    ]);
    const heading = element('h2', { id: 'nodes' }, nodes.heading);
    this.root = element('section', { class: 'card', 'aria-labelledby': 'nodes' }, heading, this.#table.root);
  }

  update({ nodes, time }: Overview): void {
    this.#table.show(
      nodes.map((node) => [
        node.name,
        [
          conditionBadge(node.condition),
          node.reason === '' ? undefined : element('p', { class: 'hint' }, `“${node.reason}”`),
        ],
        element('time', { datetime: new Date(node.since).toISOString() }, words.ago(node.since, time)),
        count(node.queueDepth),
        count(node.inFlight),
        count(node.records),
        count(node.sequence),
        node.startedAt === null ? nothing() : words.duration(Math.max(0, time - node.startedAt)),
      ]),
    );
  }
}

export class RepairPanel {
  readonly root: HTMLElement;
  readonly #table: Table;

  constructor() {
    const { repair, nodes } = TEXTS;
    this.#table = new Table(repair.heading, [
      { title: nodes.node },
      { title: repair.incarnation },
      { title: repair.accepted },
      { title: repair.heard },
      { title: repair.needed },
      { title: repair.bars },
      { title: repair.lagging },
    ]);
    this.root = element(
      'section',
      { class: 'card', 'aria-labelledby': 'repair' },
      element('h2', { id: 'repair' }, repair.heading),
      element('p', { class: 'hint' }, repair.about),
      this.#table.root,
    );
  }

  update({ nodes }: Overview): void {
    const others = nodes.length - 1;
    this.#table.show(nodes.map((node) => [node.name, ...repairCells(node, others)]));
  }
}

function repairCells({ repair }: NodeView, others: number): readonly Child[] {
  if (!repair) return Array.from({ length: 6 }, nothing);
  const { repair: texts } = TEXTS;
  return [
    words.number(repair.incarnation),
    texts.of(repair.acceptedBy, others),
    texts.of(repair.headsKnown, others),
    words.number(repair.headsNeeded),
    repair.bars ? texts.yes : texts.no,
    repair.lagging > 0 ? texts.records(repair.lagging) : texts.keepsUp,
  ];
}

export class LatencyPanel {
  readonly root: HTMLElement;
  readonly #table: Table;

  constructor() {
    const { latency, nodes, tokenOperations } = TEXTS;
    this.#table = new Table(latency.heading, [
      { title: nodes.node },
      ...TOKEN_OPERATIONS.map((operation) => ({ title: tokenOperations[operation], number: true })),
    ]);
    this.root = element(
      'section',
      { class: 'card', 'aria-labelledby': 'latency' },
      element('h2', { id: 'latency' }, latency.heading),
      element('p', { class: 'hint' }, latency.about),
      this.#table.root,
    );
  }

  update({ nodes }: Overview): void {
    this.#table.show(
      nodes.map(({ name, latency }) => [name, ...TOKEN_OPERATIONS.map((one) => latencyCell(latency[one]))]),
    );
  }
}

function latencyCell(latency: Latency | null): Child {
  if (!latency) return nothing();
  const pair = (name: string, value: number) =>
    element('span', { class: 'pair' }, element('abbr', {}, name), ` ${seconds(value)}`);
  return [pair(TEXTS.latency.p50, latency.p50), ' ', pair(TEXTS.latency.p95, latency.p95)];
}
