/**
 * A malicious node: it has its own keys and a working node behind it, and does as chance says: stays silent, signs
 * anything, evaluates without a certificate or wrongly, and lies in heads and while others repair.
 */

import { bytesToHex, sha256 } from '../../src/core/index.ts';
import {
  ARGUMENTS,
  type Body,
  batchToSign,
  CONTENT,
  decodeBody,
  decodeFacts,
  decodeNodeAnswer,
  decodeNodeRequest,
  decodeSignedStatement,
  encodeBody,
  encodeFacts,
  encodeNodeAnswer,
  encodeSignedStatement,
  type Fleet,
  merkleTree,
  type NodeAnswer,
  type NodeRequest,
  nodeAnswerWith,
  type RecordFacts,
  type SignedStatement,
  statementHash,
} from '../../src/protocol/index.ts';
import type { TokenState } from './token.ts';
import type { World } from './world.ts';

export class EvilNode {
  readonly #world: World;
  /** The one that its working node is in. */
  fleet: Fleet;
  readonly #node: number;
  readonly #token: TokenState;
  /** The highest incarnation of each node that it has seen: enough to keep its fences plausible. */
  readonly #seen: number[];
  #incarnation = 1;
  /** How often it lies rather than passing on what its working node says. */
  malice: number;

  constructor(world: World, fleet: Fleet, node: number, token: TokenState) {
    this.#world = world;
    this.fleet = fleet;
    this.#node = node;
    this.#token = token;
    this.#seen = fleet.nodes.map(() => 0);
    this.malice = world.chance.pick([0.1, 0.4, 0.9]);
  }

  /** A statement that verifies, whatever it says. */
  readonly sign = (body: Body): SignedStatement => {
    const encoded = encodeBody(body);
    const { chance } = this.#world;
    const signer = {
      node: this.#node,
      incarnation: chance.happens(0.9) ? this.#incarnation : this.#incarnation + chance.between(1, 3),
      sequence: chance.between(1, 1000),
      time: this.#world.now,
      fences: this.#seen.map((seen) => (chance.happens(0.9) ? seen : Math.max(0, seen - chance.between(0, 2)))),
    };
    const { root, paths } = merkleTree([statementHash(encoded, signer)]);
    const signature = this.#token.sign(batchToSign({ fleet: body.fleet, epoch: body.epoch }, this.#node, root));
    return { body: encoded, signer, batch: { index: 0, size: 1, path: paths[0]!, signature } };
  };

  /** Answers, given what the working node behind it answered; undefined for silence. */
  answer(encodedRequest: Uint8Array, encodedAnswer: Uint8Array): Uint8Array | undefined {
    const { chance } = this.#world;
    const request = decodeNodeRequest(encodedRequest);
    const honest = decodeNodeAnswer(encodedAnswer);
    if (honest.statement) this.#incarnation = decodeSignedStatement(honest.statement).signer.incarnation;
    if (!chance.happens(this.malice)) return encodedAnswer;
    if (chance.happens(0.15)) return undefined;
    const lie = this.#lie(request, honest);
    return lie ? encodeNodeAnswer(lie) : encodedAnswer;
  }

  #lie(request: NodeRequest, honest: NodeAnswer): NodeAnswer | undefined {
    const { chance } = this.#world;
    const { fleet, epoch } = this.fleet;
    if (chance.happens(0.1)) {
      return nodeAnswerWith({
        code: chance.pick(['conflict', 'not_ready', 'spent', 'destroyed', 'wrong_pin', 'nonsense']),
      });
    }
    switch (request.kind) {
      case 'submit':
        return this.#vote(request) ?? this.#lieInContent(request, this.#lieInHead(honest) ?? honest);
      case 'evaluate':
        return honest.sealed ? { ...honest, sealed: chance.bytes(60) } : undefined;
      case 'head':
        return this.#lieInHead(honest);
      case 'export':
        return nodeAnswerWith({ content: chance.happens(0.5) ? chance.bytes(40) : new Uint8Array(0) });
      case 'sync': {
        const rejoin = decodeSignedStatement(request.rejoin);
        this.#seen[rejoin.signer.node - 1] = Math.max(this.#seen[rejoin.signer.node - 1]!, rejoin.signer.incarnation);
        if (!honest.statement || request.prefix.length !== 2 || !honest.content) return undefined;
        const { payload, ...rest } = CONTENT.sync.decode(honest.content);
        const { facts } = CONTENT.factsBucket.decode(payload);
        const lies = facts.map((one) => {
          const { record, facts: told } = decodeFacts(one);
          return encodeFacts({ record, facts: this.#wrongFacts(told) });
        });
        const content = CONTENT.sync.encode({ ...rest, payload: CONTENT.factsBucket.encode({ facts: lies }) });
        const statement = this.sign({
          kind: 'sync',
          fleet,
          epoch,
          rejoin: statementHash(rejoin.body, rejoin.signer),
          prefix: request.prefix,
          contentHash: sha256(content),
          accepted: true,
        });
        return nodeAnswerWith({ statement: encodeSignedStatement(statement), content });
      }
      default:
        return undefined;
    }
  }

  /** Signs what was asked for, whatever it signed before. */
  #vote(request: NodeRequest<'submit'>): NodeAnswer | undefined {
    const { operation, record, generation, attempt } = request.request;
    const place = { fleet: this.fleet.fleet, epoch: this.fleet.epoch, record, generation };
    const signed = (body: Body) => nodeAnswerWith({ statement: encodeSignedStatement(this.sign(body)) });
    switch (operation) {
      case 'open': {
        const { blindHash, ownerKey, takeover } = ARGUMENTS.open.decode(request.request.arguments);
        return signed({ kind: 'open', ...place, blindHash, ownerKey, takeover });
      }
      case 'confirm':
        return signed({ kind: 'confirmed', ...place, attempt });
      case 'delete':
        return signed({ kind: 'destroyed', ...place });
      default:
        return undefined;
    }
  }

  /** The record beside a status is nonsense, or missing. */
  #lieInContent(request: NodeRequest<'submit'>, answer: NodeAnswer): NodeAnswer {
    const { chance } = this.#world;
    if (request.request.operation !== 'status' || chance.happens(0.5)) return answer;
    return { ...answer, content: chance.happens(0.5) ? chance.bytes(50) : undefined };
  }

  #lieInHead(honest: NodeAnswer): NodeAnswer | undefined {
    if (!honest.head) return undefined;
    const body = decodeBody(decodeSignedStatement(honest.head).body);
    if (body.kind !== 'head') return undefined;
    const head = encodeSignedStatement(this.sign({ ...body, facts: this.#wrongFacts(body.facts) }));
    return { ...honest, head };
  }

  #wrongFacts(facts: RecordFacts): RecordFacts {
    const { chance } = this.#world;
    const { active } = facts;
    switch (chance.between(0, 7)) {
      case 0:
        return { ...facts, open: undefined, stage: undefined };
      case 1:
        return { ...facts, stage: chance.bytes(32) };
      case 2:
        return { ...facts, active: active && { ...active, vote: undefined } };
      case 3:
        return { ...facts, active: active && { ...active, vote: chance.bytes(32) } };
      case 4:
        return { ...facts, active: active && { ...active, attempt: Math.max(active.confirmed, active.attempt - 1) } };
      case 5:
        return { ...facts, active: active && { ...active, attempt: active.attempt + chance.pick([1, 3, 1_000_000]) } };
      case 6:
        return { ...facts, highest: facts.highest + chance.pick([1, 5, 1_000_000]) };
      default:
        return { ...facts, tombstone: facts.tombstone + chance.between(1, 5) };
    }
  }
}

/** A short name of a record, for notes. */
export const short = (record: Uint8Array): string => bytesToHex(record).slice(0, 4);
