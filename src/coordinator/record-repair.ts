/** Bringing nodes that lag behind on a record up to date with the certified state of those that are ahead. */

import { bytesToHex, type Clock, equalBytes } from '../core/index.ts';
import {
  type Body,
  decodeSignedStatement,
  type Fleet,
  type NodeAnswer,
  type PortableRecord,
  type StatementVerifier,
  threshold,
} from '../protocol/index.ts';
import { claimedAttempt, claimedGeneration, newestProven, readable } from './choose.ts';
import { gather } from './gather.ts';
import type { CoordinatorObserver, NodeTransport } from './ports.ts';

export interface RecordRepairOptions {
  readonly fleet: Fleet;
  readonly transport: NodeTransport;
  readonly verifier: StatementVerifier;
  readonly clock: Clock;
  readonly observer: CoordinatorObserver;
  readonly timeout: number;
}

export class RecordRepair {
  readonly #options: RecordRepairOptions;

  constructor(options: RecordRepairOptions) {
    this.#options = options;
  }

  /**
   * Carries every other node's certified state of a record to the lagging nodes, newest last, and answers the signed
   * heads of a majority (or of those that could be reached) for votes beyond the next number.
   */
  async bringUpToDate(record: Uint8Array, lagging: readonly number[]): Promise<Uint8Array[]> {
    const { fleet, transport, observer, clock, timeout } = this.#options;
    const nodes = fleet.nodes.map((_, i) => i + 1);
    const ask = { nodes, enough: () => false, grace: 0, timeout, clock };
    const exported = await gather({ ...ask, ask: (node) => transport.send(node, { kind: 'export', record }) });
    const ordered = oldestFirst(contentsOf(exported));
    const heads = await this.#heads(record);
    await Promise.all(
      lagging.map(async (node) => {
        for (const portable of ordered) {
          const answer = await transport.send(node, { kind: 'carry', portable, heads }).catch(() => undefined);
          if (!answer) break;
          observer.count('carried', answer.code);
        }
      }),
    );
    return this.#heads(record);
  }

  /** Signed heads of as many nodes as can be reached. */
  async #heads(record: Uint8Array): Promise<Uint8Array[]> {
    const { fleet, transport, clock, timeout } = this.#options;
    const heads = new Map<number, Uint8Array>();
    await gather({
      nodes: fleet.nodes.map((_, i) => i + 1),
      ask: async (node) => {
        const answer = await transport.send(node, { kind: 'head', record });
        const body = this.#head(answer, node);
        if (answer.head && body && equalBytes(body.record, record)) heads.set(node, answer.head);
      },
      // A head that does not verify must not stand in the place of one that does.
      enough: () => heads.size >= threshold(fleet),
      grace: Math.min(50, timeout),
      timeout,
      clock,
    });
    return [...heads.values()];
  }

  /** Whether the heads beside refusals show different facts. */
  headsDiffer(answers: readonly NodeAnswer[]): boolean {
    const places = answers.map((answer) => {
      const head = this.#head(answer);
      if (!head) return '';
      const { highest, active, tombstone } = head.facts;
      return [highest, tombstone, active?.generation, active?.attempt, active?.confirmed].join();
    });
    return new Set(places).size > 1;
  }

  /** The verified head of an answer, signed by the node that gave it where `node` says which that is. */
  #head(answer: NodeAnswer, node?: number): Body<'head'> | undefined {
    if (!answer.head) return undefined;
    try {
      const statement = decodeSignedStatement(answer.head);
      if (node !== undefined && statement.signer.node !== node) return undefined;
      return this.#options.verifier.body(statement, 'head');
    } catch {
      return undefined;
    }
  }

  /** What the nodes' exports prove of one record together: of each part the newest that verifies. */
  newest(record: Uint8Array, contents: readonly Uint8Array[]): Uint8Array | undefined {
    return newestProven(this.#options.verifier, record, contents);
  }
}

/** Every distinct export once, also of a node that exports what it must not. */
function contentsOf(answers: ReadonlyMap<number, NodeAnswer>): Uint8Array[] {
  const contents = [...answers.values()].flatMap(({ content }) => (content ? [content] : []));
  return [...new Map(contents.map((content) => [bytesToHex(content), content])).values()];
}

/**
 * By active generation, destroyed generation, confirmed attempt; what cannot be read is left out. Nothing here is
 * verified: whoever uses it does that.
 */
function oldestFirst(contents: readonly Uint8Array[]): Uint8Array[] {
  const aged = contents.flatMap((content) => {
    const portable = readable(content);
    return portable ? [{ content, age: age(portable) }] : [];
  });
  aged.sort(({ age: a }, { age: b }) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  return aged.map(({ content }) => content);
}

function age(portable: PortableRecord): [number, number, number] {
  return [
    claimedGeneration(portable.activation),
    portable.tombstone?.generation ?? 0,
    claimedAttempt(portable.confirmation),
  ];
}
