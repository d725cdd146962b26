/** A token's keys and anchors as they outlive processes, and a process's way to them, in virtual time. */

import { concatBytes } from '../../src/core/bytes.ts';
import { asHoldfastError, HoldfastError, sha256 } from '../../src/core/index.ts';
import type { Token, TokenPublicKeys } from '../../src/token/port.ts';
import { type Oracle, publicPoint, signWith } from './cryptography.ts';
import type { Chance } from './random.ts';

export interface TokenKeys {
  readonly identity: Uint8Array;
  readonly session: Uint8Array;
  readonly oprf: Uint8Array;
  readonly anchor: Uint8Array;
}

/** What a token holds. Its image is what a snapshot of the machine takes along. */
export class TokenState {
  readonly keys: TokenKeys;
  readonly publicKeys: TokenPublicKeys;
  /** The two anchor objects, and which is written next. */
  anchors: { values: readonly (Uint8Array | undefined)[]; next: number } = { values: [undefined, undefined], next: 0 };

  constructor(chance: Chance) {
    const key = () => chance.bytes(32);
    this.keys = { identity: key(), session: key(), oprf: key(), anchor: key() };
    const { identity, session, oprf } = this.keys;
    this.publicKeys = { identity: publicPoint(identity), session: publicPoint(session), oprf: publicPoint(oprf) };
  }

  sign(message: Uint8Array): Uint8Array {
    return signWith(this.keys.identity, message);
  }

  /** Into the older object; a torn write leaves it the one to be written next. */
  write(value: Uint8Array, torn = false): void {
    const { values, next } = this.anchors;
    this.anchors = { values: values.map((old, i) => (i === next ? value : old)), next: torn ? next : 1 - next };
  }
}

/** Where a process may die, and where time passes. */
export type Step = 'store' | 'stored' | 'anchor' | 'anchored' | 'sign' | 'signed' | 'evaluate' | 'answer';

export interface TokenProcess {
  /** Lets time pass at a step; never returns where the process dies there. */
  step(name: Step): Promise<void>;
  /** Whether this write fails, and whether it took place nevertheless. */
  anchorFault(): 'none' | 'lost' | 'unclear' | 'torn';
  /** The anchor objects changed. */
  onAnchor(): void;
  onEvaluate(tweakInput: Uint8Array, element: Uint8Array): void;
}

export function simulatedToken(state: TokenState, process: TokenProcess, oracle: Oracle, resistant: boolean): Token {
  const mac = (message: Uint8Array) => sha256(concatBytes(state.keys.anchor, message));
  return {
    description: { module: '', label: '', manufacturer: '', model: '', serial: '', firmware: '' },
    publicKeys: state.publicKeys,
    keysCreatedAt: undefined,
    rollbackResistant: resistant,
    async sign(message) {
      await process.step('sign');
      const signature = state.sign(message);
      await process.step('signed');
      return signature;
    },
    async deriveSession() {
      throw new HoldfastError('token_failed', 'the simulation seals without the token');
    },
    async evaluate(tweakInput, element) {
      process.onEvaluate(tweakInput, element);
      await process.step('evaluate');
      return oracle.evaluate(state.keys.oprf, tweakInput, element);
    },
    anchorMac: async (message) => mac(message),
    readAnchors: async () => state.anchors.values.filter((value) => value !== undefined),
    async writeAnchor(value) {
      await process.step('anchor');
      const fault = process.anchorFault();
      if (fault === 'torn') state.write(value.subarray(0, 40), true);
      else if (fault !== 'lost') state.write(value);
      process.onAnchor();
      if (fault !== 'none') throw new HoldfastError('token_failed', 'the write’s result is unclear');
      await process.step('anchored');
    },
    async anchorThenSign(value, message) {
      await this.writeAnchor(value);
      return this.sign(message).catch(asHoldfastError);
    },
    usage: () => [],
    async close() {},
  };
}
