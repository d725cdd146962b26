/** Bringing nodes that lag behind on a record up to date with the certified state of those that are ahead. */

import { bytesToHex, type Clock } from '../core/index.ts';
import {
  type Body,
  decodeBody,
  decodeCertificate,
  decodePortableRecord,
  decodeSignedStatement,
  type Fleet,
  type NodeAnswer,
  type PortableRecord,
  type StatementVerifier,
  threshold,
} from '../protocol/index.ts';
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
    const contents = [...exported.values()].filter((answer) => answer.content).map((answer) => answer.content!);
    const distinct = new Map(contents.map((content) => [bytesToHex(content), content]));
    const ordered = oldestFirst([...distinct.values()]);
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
    const answers = await gather({
      nodes: fleet.nodes.map((_, i) => i + 1),
      ask: (node) => transport.send(node, { kind: 'head', record }),
      enough: (all) => all.size >= threshold(fleet),
      grace: Math.min(50, timeout),
      timeout,
      clock,
    });
    return [...answers.values()].filter((answer) => answer.head && this.#head(answer)).map((answer) => answer.head!);
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

  #head(answer: NodeAnswer): Body<'head'> | undefined {
    if (!answer.head) return undefined;
    try {
      return this.#options.verifier.body(decodeSignedStatement(answer.head), 'head');
    } catch {
      return undefined;
    }
  }

  /** The newest of several exports of one record, for a client: it verifies what it gets. */
  newest(contents: readonly Uint8Array[]): Uint8Array | undefined {
    return oldestFirst(contents).at(-1);
  }
}

/**
 * By active generation, destroyed generation, confirmed attempt; what cannot be read is left out. Nothing here is
 * verified: whoever uses it does that.
 */
function oldestFirst(contents: readonly Uint8Array[]): Uint8Array[] {
  const aged = contents.flatMap((content) => {
    try {
      return [{ content, age: age(decodePortableRecord(content)) }];
    } catch {
      return [];
    }
  });
  aged.sort(({ age: a }, { age: b }) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  return aged.map(({ content }) => content);
}

function age(portable: PortableRecord): [number, number, number] {
  return [
    certified(portable.activation?.stageCertificate)?.generation ?? 0,
    portable.tombstone?.generation ?? 0,
    certified(portable.confirmation?.certificate)?.attempt ?? 0,
  ];
}

function certified(certificate: Uint8Array | undefined): { generation: number; attempt: number } | undefined {
  if (!certificate) return undefined;
  const body = decodeBody(decodeCertificate(certificate).body);
  if (body.kind === 'stage') return { generation: body.generation, attempt: 0 };
  return body.kind === 'attempt' ? body : undefined;
}
