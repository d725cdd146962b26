/** A whole fleet in one process: the real node, coordinator and client logic, software tokens, stores in memory. */

import { generateClientKey } from '../../src/access/client.ts';
import {
  createUserToken,
  generateTenantKey,
  recordId,
  SCOPE_SETS,
  type TenantConfiguration,
} from '../../src/access/index.ts';
import { type Credential, VaultClient } from '../../src/client/index.ts';
import {
  Coordinator,
  type CoordinatorOptions,
  Maintenance,
  silentCoordinatorObserver,
} from '../../src/coordinator/index.ts';
import { type Clock, codec, HoldfastError, systemClock, systemRandom } from '../../src/core/index.ts';
import { verifyEcdsa, verifyEd25519 } from '../../src/crypto/index.ts';
import { createClientAuthentication } from '../../src/node/authentication.ts';
import {
  initialiseNode,
  openVaultNode,
  type RepairOverride,
  type RequestSealing,
  silentObserver,
  type VaultNode,
} from '../../src/node/index.ts';
import { createRequestSealing } from '../../src/node/sealing.ts';
import {
  type ClientAnswer,
  type ClientRequest,
  DEFAULT_POLICY,
  decodeNodeAnswer,
  decodeNodeRequest,
  encodeNodeAnswer,
  encodeNodeRequest,
  type Fleet,
  type NodeAnswer,
  type NodeRequest,
  type Policy,
  successorOf,
} from '../../src/protocol/index.ts';
import { MemoryKeyValueStore, openDictionary, wipeStore } from '../../src/store/index.ts';
import { SoftwareToken } from '../../src/token/index.ts';

export const TEST_POLICY: Omit<Policy, 'minimumShares'> = {
  ...DEFAULT_POLICY,
  waits: [0],
  destroyAfter: 0,
  keyStretching: { memoryKiB: 8, passes: 1, parallelism: 1 },
};

export interface Member {
  readonly token: SoftwareToken;
  store: MemoryKeyValueStore;
  node: VaultNode | undefined;
}

export interface Successor {
  readonly fleet: Fleet;
  readonly tokens: ReadonlyMap<number, SoftwareToken>;
}

const checks = { ecdsa: verifyEcdsa, ed25519: verifyEd25519 };

/**
 * Milliseconds that no test takes. Nodes here answer or fail: none is given up as too slow, on however busy a machine. Tests in
 * which one hangs say how long it is waited for, or that it must not be.
 */
export const NEVER = 3_600_000;

/** Sleeping takes no time, and nothing else does: how long a client tries again does not depend on the machine. */
export function hasty(): Clock {
  let now = Date.now();
  return {
    now: () => now,
    sleep: async (milliseconds, signal) => {
      signal?.throwIfAborted();
      now += milliseconds;
    },
  };
}

/** Milliseconds for which a client with a clock of its own tries again. */
const PATIENCE = 1000;

type Patience = Partial<Pick<CoordinatorOptions, 'clock' | 'timeout' | 'grace' | 'hedge'>>;

export class InProcessFleet {
  fleet: Fleet;
  readonly members: Member[];
  coordinator!: Coordinator;
  maintenance!: Maintenance;
  readonly #tenants: TenantConfiguration[];
  readonly #tenantKey: Awaited<ReturnType<typeof generateTenantKey>>;
  /** Looks at, changes or drops (undefined) what a node answers. */
  tamper: (
    node: number,
    request: NodeRequest,
    answer: NodeAnswer,
  ) => NodeAnswer | undefined | Promise<NodeAnswer | undefined> = (_n, _r, answer) => answer;

  /** Stands between client and coordinator: looks at, changes, drops or replaces what goes through. */
  intercept: (request: ClientRequest, next: () => Promise<ClientAnswer>) => Promise<ClientAnswer> = (_, next) => next();

  private constructor(fleet: Fleet, members: Member[], tenantKey: Awaited<ReturnType<typeof generateTenantKey>>) {
    this.fleet = fleet;
    this.members = members;
    this.#tenantKey = tenantKey;
    this.#tenants = [
      {
        issuer: 'https://tenant.example',
        algorithm: 'ES256',
        keys: [tenantKey.publicKey],
        recordIdKey: new Uint8Array(32).fill(9),
      },
    ] as unknown as TenantConfiguration[];
    this.#coordinate();
  }

  /** Records that one answer of a node lists at most, from its next start on. */
  crowdedBucket: number | undefined;
  /** Records of one bucket beside which a node opens no new one, from its next start on. */
  fullBucket: number | undefined;
  /** Requests of one record that a node takes in ten seconds, from its next start on. */
  requestsPerRecord = 10_000;
  /** Nodes, from their next start on, that know requests of version 1 only, as those of before do. */
  readonly before = new Set<number>();
  /** The nodes' clock, each from its next start on. */
  nodeClock: Clock = systemClock;

  #changes: Patience = {};

  /** Makes coordinator and maintenance anew, and from here on with these options. */
  coordinate(changes: Patience): void {
    this.#changes = changes;
    this.#coordinate();
  }

  #coordinate(): void {
    const options: CoordinatorOptions = {
      fleet: this.fleet,
      checks,
      clock: systemClock,
      observer: silentCoordinatorObserver,
      timeout: NEVER,
      grace: NEVER,
      enrolmentGrace: NEVER,
      transport: { send: (node, request) => this.send(node, request) },
      ...this.#changes,
    };
    this.coordinator = new Coordinator(options);
    // Its rounds end a repair here, and not the time that they take.
    this.maintenance = new Maintenance({ ...options, clock: { ...options.clock, now: () => 0 } });
  }

  static async create(n: number, policy: Partial<Policy> = {}, name = 'test'): Promise<InProcessFleet> {
    const tokens = Array.from({ length: n }, () => new SoftwareToken());
    const fleet: Fleet = {
      fleet: name,
      epoch: 1,
      nodes: tokens.map((token) => token.publicKeys),
      policy: { ...TEST_POLICY, minimumShares: n, ...policy },
    };
    const members = tokens.map((token): Member => ({ token, store: new MemoryKeyValueStore(), node: undefined }));
    const whole = new InProcessFleet(fleet, members, await generateTenantKey('ES256'));
    for (const [i, { token, store }] of members.entries()) {
      await initialiseNode({ fleet, node: i + 1, token, dictionaries: dictionaries(store) });
    }
    for (let node = 1; node <= n; node++) await whole.start(node);
    await whole.settle();
    return whole;
  }

  async start(node: number, repairOverride?: RepairOverride): Promise<void> {
    const member = this.members[node - 1]!;
    const { token } = member;
    member.store = member.store.reopen();
    member.node = await openVaultNode({
      fleet: this.fleet,
      node,
      token,
      dictionaries: dictionaries(member.store),
      sealing: this.before.has(node) ? sealingOfBefore(token) : createRequestSealing(token, systemRandom),
      authentication: createClientAuthentication({
        fleet: this.fleet.fleet,
        tenants: this.#tenants,
        clock: this.nodeClock,
      }),
      checks,
      clock: this.nodeClock,
      random: systemRandom,
      observer: silentObserver,
      batchInterval: 0,
      ...(this.crowdedBucket !== undefined && { crowdedBucket: this.crowdedBucket }),
      ...(this.fullBucket !== undefined && { fullBucket: this.fullBucket }),
      requestsPerRecord: this.requestsPerRecord,
      repairOverride,
      onFatal: () => {
        member.node = undefined;
      },
    });
    await member.node.start();
  }

  /** The fleet in which these nodes have new tokens; nothing has happened yet. */
  successor(...replaced: readonly number[]): Successor {
    const tokens = new Map(replaced.map((node) => [node, new SoftwareToken()]));
    const keys = new Map([...tokens].map(([node, { publicKeys }]) => [node, publicKeys]));
    return { fleet: successorOf(this.fleet, keys), tokens };
  }

  /** These nodes leave for it, and end. */
  async leave({ fleet }: Successor, ...nodes: readonly number[]): Promise<void> {
    for (const node of nodes) {
      await this.members[node - 1]!.node!.leave(fleet);
      this.kill(node);
    }
  }

  /** From here on everything that is made or started is of this fleet. Replaced nodes are initialised, none is started. */
  async adopt({ fleet, tokens }: Successor): Promise<void> {
    this.fleet = fleet;
    this.#coordinate();
    for (const [node, token] of tokens) {
      const store = new MemoryKeyValueStore();
      this.members[node - 1] = { token, store, node: undefined };
      await initialiseNode({ fleet, node, token, dictionaries: dictionaries(store) });
    }
  }

  /** Leave, adopt, start and join, all at once. */
  async replace(...replaced: readonly number[]): Promise<void> {
    const next = this.successor(...replaced);
    const nodes = this.members.map((_, i) => i + 1);
    await this.leave(next, ...nodes.filter((node) => !replaced.includes(node)));
    await this.adopt(next);
    for (const node of nodes) await this.start(node);
    await this.settle();
  }

  phases(): (string | undefined)[] {
    return this.members.map(({ node }) => node?.phase);
  }

  kill(node: number): void {
    this.members[node - 1]!.node = undefined;
  }

  /** Lets the coordinators' repair traffic run until every running node serves, or nothing more helps. */
  async settle(): Promise<void> {
    for (let round = 0; round < 5; round++) {
      await this.maintenance.repairAll(await this.maintenance.infos());
      if (this.members.every(({ node }) => !node || node.phase === 'serving')) return;
    }
  }

  async send(node: number, request: NodeRequest): Promise<NodeAnswer> {
    const running = this.members[node - 1]!.node;
    if (!running) throw new HoldfastError('no_majority', 'unreachable');
    const decoded = decodeNodeRequest(encodeNodeRequest(request));
    const answer = decodeNodeAnswer(encodeNodeAnswer(await running.handle(decoded)));
    const tampered = await this.tamper(node, request, answer);
    if (!tampered) throw new HoldfastError('no_majority', 'dropped');
    return tampered;
  }

  record(subject: string): Uint8Array {
    const issuer = 'https://tenant.example';
    return recordId(this.#tenants[0]!.recordIdKey!, { fleet: this.fleet.fleet, issuer, subject });
  }

  /** What the tenant gives user `subject` on a new device. */
  async credential(
    subject: string,
    operations?: readonly string[],
  ): Promise<Credential & { readonly record: Uint8Array; readonly clientKey: ReturnType<typeof generateClientKey> }> {
    const clientKey = generateClientKey();
    const record = this.record(subject);
    const userToken = await createUserToken({
      tenantKey: this.#tenantKey.privateKey,
      issuer: 'https://tenant.example',
      subject,
      fleet: this.fleet.fleet,
      scope: operations ?? [...SCOPE_SETS.enrol, 'delete', 'cancel'],
      clientKey: clientKey.publicKey,
      record,
      issuedAt: Date.now(),
    } as Parameters<typeof createUserToken>[0]);
    return { userToken, clientKey, record };
  }

  /** A client of user `subject`, as on a new device. By the system's clock it never gives up: see `hasty`. */
  async client(
    subject: string,
    options: { patience?: number; operations?: readonly string[]; clock?: Clock } = {},
  ): Promise<VaultClient> {
    const { record, ...credential } = await this.credential(subject, options.operations);
    return new VaultClient({
      fleet: this.fleet,
      record,
      transport: { send: (request) => this.intercept(request, () => this.coordinator.handle(request)) },
      ...(options.clock && { clock: options.clock }),
      credential: async () => credential,
      patience: options.patience ?? (options.clock ? PATIENCE : NEVER),
    });
  }
}

/** What a node of before makes of newer requests, once it has opened them: it can read nothing of them, and answers so. */
function sealingOfBefore(token: SoftwareToken): RequestSealing {
  const sealing = createRequestSealing(token, systemRandom);
  return {
    async open(outer, enc, ciphertext) {
      const opened = await sealing.open(outer, enc, ciphertext);
      if (codec.labelOf(opened.plaintext) === 'holdfast/request-content/v1') return opened;
      throw new HoldfastError('malformed', 'message is not a holdfast/request-content/v1');
    },
  };
}

function dictionaries(store: MemoryKeyValueStore) {
  return { open: () => openDictionary(store), wipe: () => wipeStore(store) };
}
