/**
 * Somebody with a user token, a coordinator and a node who takes a record over, and would rather not wait until its owner
 * has had the time to cancel that.
 */

import { bytesToHex, equalBytes } from '../../src/core/index.ts';
import {
  type ActivationProof,
  type Arguments,
  blindHash,
  decodeCertificate,
  documentHash,
  encodeActivation,
  encodeDocument,
  encodeOwnerAction,
  encodePortableRecord,
  type Operation,
} from '../../src/protocol/index.ts';
import { type Adversary, type AdversaryEnvironment, forNode } from './adversary.ts';
import type { Checker } from './checker.ts';

export interface ThiefEnvironment extends AdversaryEnvironment {
  readonly adversary: Adversary;
  readonly checker: Checker;
  readonly record: Uint8Array;
}

export class Thief {
  readonly #env: ThiefEnvironment;
  readonly #nodes: readonly number[];

  constructor(env: ThiefEnvironment) {
    this.#env = env;
    this.#nodes = env.fleet.nodes.map((_, i) => i + 1);
  }

  /** Opens a takeover with the votes of some nodes, and tries to have it in force at once and once more after `delay` ms. */
  async takeOver(delay: number): Promise<void> {
    const { world, adversary, suite, record, checker } = this.#env;
    const { chance } = world;
    await adversary.look(record);
    const generation = adversary.place(record).highest + 1;
    const { ownerKey } = suite.deriveKeys(suite.newSeed());
    const element = adversary.newElement();
    const args = {
      blindHash: blindHash(element),
      ownerKey: ownerKey.publicKey,
      takeover: true,
      authorisation: undefined,
    };
    const left = chance.happens(0.5) ? chance.pick(this.#nodes) : 0;
    const asked = this.#nodes.filter((node) => node !== left);
    await this.#submit('open', generation, args, asked, element);
    const opened = adversary
      .certificates('open')
      .find(({ body }) => body.kind === 'open' && equalBytes(body.ownerKey, ownerKey.publicKey));
    if (!opened) return;
    checker.count('takeovers opened');
    const document = this.#document(generation, ownerKey);
    const take = async (nodes: readonly number[]) => {
      await this.#submit('stage', generation, { document, openCertificate: opened.certificate }, nodes);
      await this.#inForce(generation, opened.certificate, document, ownerKey);
    };
    await take(chance.happens(0.5) ? this.#nodes : chance.some(this.#nodes));
    if (chance.happens(0.5)) {
      // Another opening beyond it, so that those that show a takeover do not show the same one.
      const other = adversary.newElement();
      const beyond = { ...args, blindHash: blindHash(other), ownerKey: chance.bytes(32) };
      await this.#submit('open', generation + 1, beyond, [chance.pick(this.#nodes)], other);
    }
    if (chance.happens(0.3)) return;
    await world.sleep(delay + chance.between(100, 1500));
    await take(this.#nodes);
  }

  /** Tries whatever a certificate of the staging, or the opening alone, may be good for. */
  async #inForce(
    generation: number,
    openCertificate: Uint8Array,
    document: Uint8Array,
    ownerKey: { sign(message: Uint8Array): Uint8Array },
  ): Promise<void> {
    const { fleet, record, adversary, checker, send } = this.#env;
    const hash = documentHash(document);
    const action = encodeOwnerAction({ fleet: fleet.fleet, record, generation, action: 'delete' });
    const signature = ownerKey.sign(action);
    await this.#submit('delete', generation, { signature, openCertificate, stageCertificate: undefined }, this.#nodes);
    for (const { certificate: stageCertificate, body } of adversary.certificates('stage')) {
      if (body.kind !== 'stage' || !equalBytes(body.documentHash, hash)) continue;
      checker.count(`takeovers with the votes of ${decodeCertificate(stageCertificate).signatures.length}`);
      const ownerSignature = ownerKey.sign(encodeActivation(stageCertificate));
      const activation: ActivationProof = { document, openCertificate, stageCertificate, ownerSignature };
      const portable = encodePortableRecord({ record, activation, confirmation: undefined, tombstone: undefined });
      await this.#submit('activate', generation, activation, this.#nodes);
      await Promise.all(
        this.#nodes.map((node) => send(node, { kind: 'carry', portable, heads: [] }).catch(() => undefined)),
      );
      await this.#submit('delete', generation, { signature, openCertificate, stageCertificate }, this.#nodes);
    }
  }

  #document(
    generation: number,
    ownerKey: { publicKey: Uint8Array; sign(message: Uint8Array): Uint8Array },
  ): Uint8Array {
    const { world, fleet, record } = this.#env;
    const { chance } = world;
    const content = {
      fleet: fleet.fleet,
      epoch: fleet.epoch,
      record,
      generation,
      takeover: true,
      lineage: [],
      shares: this.#nodes.map((node) => ({ node, x: node, masked: chance.bytes(32) })),
      confirmKey: chance.bytes(32),
      ownerKey: ownerKey.publicKey,
      envelope: chance.bytes(40),
    };
    return encodeDocument(content, (message) => ownerKey.sign(message));
  }

  async #submit<O extends Operation>(
    operation: O,
    generation: number,
    args: Arguments<O>,
    nodes: readonly number[],
    element?: Uint8Array,
  ): Promise<void> {
    const { adversary, record, send, world } = this.#env;
    const request = await adversary.request(record, operation, generation, 0, args, element);
    const heads = adversary.headsOf(record);
    world.note(`thief: ${operation} ${generation} at ${nodes} for ${bytesToHex(record).slice(0, 4)}`);
    await Promise.all(
      nodes.map((node) =>
        send(node, { kind: 'submit', request: forNode(request, node), heads }).catch(() => undefined),
      ),
    );
  }
}
