/** Fleets of real nodes in one process, in a log in memory, and a client that knows a trust anchor and nothing else. */

import {
  MemoryTrustSetCache,
  MemoryTrustStore,
  type OpenTrustOptions,
  openTrust,
  type TrustedFleet,
  TrustedVault,
  type TrustedVaultOptions,
} from '../../../src/client/index.ts';
import { HoldfastError } from '../../../src/core/index.ts';
import {
  anchorOf,
  type DeployManifest,
  type LiveManifest,
  noteLeaf,
  type RetireManifest,
  type SignedPolicy,
} from '../../../src/trust/index.ts';
import { InProcessFleet, NEVER, TEST_POLICY } from '../../node/in-process.ts';
import { digestOfManifest, signPolicy, TestLog, trustPolicy } from '../../trust/fixture.ts';
import { bundleNode, DAY, deployment, NOW, retirement } from '../../trust/manifests.ts';
import { following } from '../../trust/verify/scene.ts';
import { COSIGNER_URL, LogServer, MIRROR_URL } from './log-server.ts';

/** A policy whose floors let the quick fleets of tests in. */
export function testPolicy(changes: Parameters<typeof trustPolicy>[0] = {}): Promise<SignedPolicy> {
  const policy = trustPolicy();
  const floors = { ...policy.floors, waits: [0], keyStretching: TEST_POLICY.keyStretching };
  return signPolicy({ ...policy, floors, ...changes });
}

export function manifestOf({ fleet }: InProcessFleet, changes: Partial<DeployManifest> = {}): DeployManifest {
  return deployment({
    fleet: fleet.fleet,
    policy: fleet.policy,
    nodes: fleet.nodes.map((keys, i) => ({ ...bundleNode(i + 1), keys })),
    ...changes,
  });
}

export class TrustScene {
  readonly server: LogServer;
  readonly policy: SignedPolicy;
  readonly fleets = new Map<string, InProcessFleet>();
  readonly manifests = new Map<string, LiveManifest>();
  readonly store = new MemoryTrustStore();
  readonly cache = new MemoryTrustSetCache();
  /** Milliseconds since 1970, for trust. */
  now = NOW;

  private constructor(policy: SignedPolicy) {
    this.policy = policy;
    this.server = new LogServer(new TestLog(policy));
  }

  /** A log with a live fleet `first` of three real nodes. */
  static async create(policy?: SignedPolicy, first: Partial<DeployManifest> = {}): Promise<TrustScene> {
    const scene = new TrustScene(policy ?? (await testPolicy()));
    await scene.server.log.append(noteLeaf('policy', scene.policy.note));
    await scene.deploy('first', first);
    return scene;
  }

  async deploy(name: string, changes: Partial<DeployManifest> = {}): Promise<InProcessFleet> {
    const fleet = await InProcessFleet.create(3, {}, name);
    this.fleets.set(name, fleet);
    await this.accept(manifestOf(fleet, changes));
    return fleet;
  }

  async accept(manifest: LiveManifest): Promise<void> {
    await this.server.log.accept(manifest);
    const { accepted } = this.server.log.state.fleets.get(manifest.fleet)!;
    if (accepted?.digest !== digestOfManifest(manifest)) throw new Error('the log refused this bundle');
    this.server.add(manifest);
    this.manifests.set(manifest.fleet, manifest);
  }

  async retire(name: string, changes: Partial<RetireManifest> = {}): Promise<void> {
    await this.accept(retirement(this.next(name), changes));
  }

  /** The manifest after the newest of a fleet. */
  next(name: string, changes: Partial<DeployManifest> = {}): DeployManifest {
    const before = this.manifests.get(name)!;
    const { policy, coordinators, notBefore, notAfter } = before;
    return following(before, { policy, coordinators, notBefore, notAfter, ...changes });
  }

  fleet(name: string): InProcessFleet {
    return this.fleets.get(name)!;
  }

  open(changes: Partial<OpenTrustOptions> = {}): Promise<TrustedFleet> {
    return openTrust({
      anchor: anchorOf(this.policy, [COSIGNER_URL, MIRROR_URL]),
      state: this.store,
      cache: this.cache,
      builtAt: NOW - 30 * DAY,
      connect: () => this.server.fetch,
      clock: { now: () => this.now, sleep: async () => {} },
      ...changes,
    });
  }

  /** A user's vault, as on a new device that has credentials for these fleets. */
  async vault(
    subject: string,
    changes: Partial<TrustedVaultOptions> & { readonly fleets?: readonly string[] } = {},
  ): Promise<TrustedVault> {
    const { fleets = [...this.fleets.keys()], ...options } = changes;
    const credentials = new Map(
      await Promise.all(fleets.map(async (name) => [name, await this.fleet(name).credential(subject)] as const)),
    );
    return new TrustedVault({
      trust: options.trust ?? (await this.open()),
      credential: async (fleet) => credentials.get(fleet),
      transport: ({ fleet: { fleet } }) => ({
        send: (request, signal) => {
          if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled');
          const there = this.fleet(fleet);
          return there.intercept(request, () => there.coordinator.handle(request));
        },
      }),
      patience: options.clock ? 1000 : NEVER,
      ...options,
    });
  }
}
