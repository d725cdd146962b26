/** A client in front of an honest log, and what an attacker may change about it. */

import { HoldfastError } from '../../../src/core/index.ts';
import {
  type DeployManifest,
  type LiveManifest,
  noteLeaf,
  type SignedPolicy,
  serialiseBundle,
  type TrustReader,
  type TrustRequest,
  type TrustState,
  type TrustStateStore,
  verifyTrustSet,
} from '../../../src/trust/index.ts';
import { digestOfManifest, signPolicy, TestLog, trustPolicy } from '../fixture.ts';
import { DAY, deployment, NOW } from '../manifests.ts';

export const FIRST = deployment();

/** The bundle after `before`, both of the same fleet; `proposed` is the last proposal if that is another one. */
export const following = (before: LiveManifest, changes: Partial<DeployManifest> = {}): DeployManifest =>
  deployment({
    fleet: before.fleet,
    epoch: before.epoch,
    nodes: before.nodes,
    ...(before.earlier && { earlier: before.earlier }),
    serial: before.serial + 1,
    previous: digestOfManifest(before),
    accepted: digestOfManifest(before),
    ...changes,
  });

export const SECOND = following(FIRST, { coordinators: ['https://c.vault.example'] });

/** Serves what a client fetches from `log`, and the bundles with these manifests. */
export function readerOf(log: TestLog, ...manifests: readonly LiveManifest[]): TrustReader {
  const texts = new Map(manifests.map((manifest) => [digestOfManifest(manifest), serialiseBundle(manifest)]));
  return {
    consistencyProof: (older, newer) => log.consistency(older, newer),
    async bundleText(digest) {
      const text = texts.get(digest);
      if (text === undefined) throw new HoldfastError('not_found', `there is no bundle ${digest}`);
      return text;
    },
  };
}

export interface Scene {
  readonly policy: SignedPolicy;
  /** Its policy, then the fleet `first` with serial 1. */
  readonly log: TestLog;
  /** A request that is in order, for enrolling at first use. */
  readonly request: TrustRequest;
  /** Of a client that has trusted serial 1. */
  readonly state: TrustState;
}

export async function scene(policy?: SignedPolicy): Promise<Scene> {
  const signed = policy ?? (await signPolicy(trustPolicy()));
  const log = new TestLog(signed);
  await log.append(noteLeaf('policy', signed.note));
  await log.accept(FIRST);
  const request: TrustRequest = {
    policy: signed,
    set: await log.trustSet(),
    configuration: { vault: 'family', environment: 'production', fleet: 'first' },
    operation: 'enrol',
    state: undefined,
    clock: NOW,
    builtAt: NOW - 30 * DAY,
    reader: readerOf(log, FIRST, SECOND),
  };
  return { policy: signed, log, request, state: (await verifyTrustSet(request)).nextState };
}

/** The code that a request is refused with, or `trusted`. */
export async function verdict(request: TrustRequest): Promise<string> {
  try {
    await verifyTrustSet(request);
    return 'trusted';
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
}

export class MemoryStateStore implements TrustStateStore {
  stored: Uint8Array | undefined;
  /** Called before each swap, for tests of races. */
  beforeSwap: (() => void) | undefined;

  async load() {
    return this.stored;
  }

  async compareAndSwap(previous: Uint8Array | undefined, next: Uint8Array) {
    this.beforeSwap?.();
    if (previous?.join() !== this.stored?.join()) return false;
    this.stored = next;
    return true;
  }
}
