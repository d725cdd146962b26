/** A fleet over real sockets: nodes on software tokens and stores in memory, a coordinator, and a client's requests. */

import {
  createUserToken,
  generateClientKey,
  generateTenantKey,
  hashUserToken,
  signAsClient,
} from '../../src/access/index.ts';
import { startCoordinatorService } from '../../src/coordinator/http/index.ts';
import type { CoordinatorServiceOptions } from '../../src/coordinator/http/service.ts';
import { Secret, systemRandom } from '../../src/core/index.ts';
import { newRequestSender, verifyEcdsa, verifyEd25519 } from '../../src/crypto/index.ts';
import { createLogger } from '../../src/http/index.ts';
import { type RunningNode, startNodeService } from '../../src/node/http/index.ts';
import type { NodeServiceOptions } from '../../src/node/http/service.ts';
import { initialiseNode } from '../../src/node/index.ts';
import {
  ARGUMENTS,
  argumentsHash,
  blindHash,
  type ClientRequest,
  DEFAULT_POLICY,
  encodeOuter,
  encodeRequestContent,
  encodeSealingInfo,
  type Fleet,
  type Operation,
  type Outer,
} from '../../src/protocol/index.ts';
import { MemoryKeyValueStore, openDictionary, wipeStore } from '../../src/store/index.ts';
import { SoftwareToken } from '../../src/token/software.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';

/**
 * Milliseconds that no test takes. Nodes here answer or are gone: none is given up as too slow, on however busy a machine. Tests
 * in which one hangs say how long it is waited for.
 */
export const NEVER = 3_600_000;
export const FLEET = 'fleet-a';
export const ISSUER = 'https://tenant.example';
export const LOOPBACK = { host: '127.0.0.1', port: 0 };
export const CHECKS = { ecdsa: verifyEcdsa, ed25519: verifyEd25519 };
export const silent = createLogger('silent', {});
export const nodeName = (node: number) => `node-${node}`;

export interface Hardware {
  readonly token: SoftwareToken;
  readonly store: MemoryKeyValueStore;
}

export function fleetOf(tokens: readonly SoftwareToken[]): Fleet {
  const n = tokens.length;
  return {
    fleet: FLEET,
    epoch: 1,
    nodes: tokens.map(({ publicKeys }) => publicKeys),
    policy: { ...DEFAULT_POLICY, minimumShares: n >= 5 ? Math.floor(n / 2) + 2 : n },
  };
}

export interface TestNodes {
  readonly fleet: Fleet;
  readonly pki: TestFleet;
  readonly tenant: Awaited<ReturnType<typeof generateTenantKey>>;
  readonly running: RunningNode[];
  readonly tokens: readonly SoftwareToken[];
  start(node: number, changes?: Partial<NodeServiceOptions>): Promise<RunningNode>;
  coordinator(changes?: Partial<CoordinatorServiceOptions>): ReturnType<typeof startCoordinatorService>;
  close(): Promise<void>;
}

/** `n` nodes on sockets, each initialised; not yet serving unless `n` is 1. */
export async function startNodes(n: number, changes: Partial<NodeServiceOptions> = {}): Promise<TestNodes> {
  const pki = await createFleet(FLEET);
  const tenant = await generateTenantKey('ES256');
  const tokens = Array.from({ length: n }, () => new SoftwareToken());
  const stores = tokens.map(() => new MemoryKeyValueStore());
  const fleet = fleetOf(tokens);
  const dictionaries = (node: number) => {
    const store = stores[node - 1]!;
    return { open: () => openDictionary(store), wipe: () => wipeStore(store) };
  };
  const closers: (() => Promise<void>)[] = [];
  const start = async (node: number, more: Partial<NodeServiceOptions> = {}) => {
    const running = await startNodeService({
      fleet,
      node,
      token: tokens[node - 1]!,
      dictionaries: dictionaries(node),
      closeStore: () => stores[node - 1]!.close(),
      tenants: [{ issuer: ISSUER, algorithm: 'ES256', keys: [tenant.publicKey] }],
      tls: await pki.issue('node', nodeName(node)),
      listen: LOOPBACK,
      metrics: LOOPBACK,
      batchIntervalMilliseconds: 0,
      requestsPerRecord: 1000,
      maximumInFlight: 2000,
      software: { version: '1.2.3', commit: 'c0ffee', runtime: 'node 24' },
      log: silent,
      ...changes,
      ...more,
    });
    closers.push(() => running.close());
    return running;
  };
  const running: RunningNode[] = [];
  for (let node = 1; node <= n; node++) {
    const token = tokens[node - 1]!;
    await initialiseNode({ fleet, node, token, dictionaries: dictionaries(node) });
    running.push(await start(node));
  }
  return {
    fleet,
    pki,
    tenant,
    running,
    tokens,
    start,
    async coordinator(more = {}) {
      const service = await startCoordinatorService({
        fleet,
        checks: CHECKS,
        nodes: running.map(({ url }, i) => ({ node: i + 1, url, name: nodeName(i + 1) })),
        nodeTls: await pki.issue('coordinator', 'coordinator-1'),
        tls: await pki.issue('public', 'public-1'),
        listen: LOOPBACK,
        metrics: LOOPBACK,
        timeouts: { node: NEVER, grace: NEVER, enrolmentGrace: NEVER },
        maintenance: { repairing: 20, idle: 50, antiEntropy: 200, destroySpent: 200 },
        rateLimit: undefined,
        allowedOrigins: [],
        trustedProxies: [],
        maximumInFlight: 100,
        log: silent,
        ...more,
      });
      // Before the nodes.
      closers.unshift(() => service.close());
      return service;
    },
    async close() {
      for (const close of closers) await close();
    },
  };
}

/** A person's device: its key, its tokens, its sealed requests. */
export class TestClient {
  readonly key = generateClientKey();
  readonly record = systemRandom(32);
  readonly #nodes: Pick<TestNodes, 'fleet' | 'tenant'>;

  constructor(nodes: Pick<TestNodes, 'fleet' | 'tenant'>) {
    this.#nodes = nodes;
  }

  userToken(changes: { issuedAt?: number; scope?: Operation[] } = {}): Promise<string> {
    return createUserToken({
      tenantKey: this.#nodes.tenant.privateKey,
      issuer: ISSUER,
      subject: 'user-1',
      fleet: FLEET,
      scope: changes.scope ?? ['enrol', 'delete'],
      clientKey: this.key.publicKey,
      record: this.record,
      issuedAt: changes.issuedAt ?? Date.now(),
    });
  }

  /** One operation sealed to every node, and what opens each node's answer. */
  async request(
    operation: Operation,
    parts: {
      generation?: number;
      attempt?: number;
      arguments: Uint8Array;
      blindedElement?: Uint8Array;
      userToken?: string;
      /** Signs for other outer fields than it sends. */
      signOther?: boolean;
    },
  ) {
    const { fleet } = this.#nodes;
    const { generation = 0, attempt = 0 } = parts;
    const userToken = parts.userToken ?? (await this.userToken());
    const sealed: ClientRequest['sealed'] = [];
    const open = new Map<number, (answer: Uint8Array) => Promise<Uint8Array>>();
    for (const [i, keys] of fleet.nodes.entries()) {
      const outer: Outer = {
        fleet: fleet.fleet,
        epoch: fleet.epoch,
        node: i + 1,
        operation,
        record: this.record,
        generation,
        attempt,
        argumentsHash: argumentsHash(parts.arguments),
      };
      const aad = encodeOuter(outer);
      const signed = parts.signOther ? encodeOuter({ ...outer, attempt: attempt + 1 }) : aad;
      const sender = await newRequestSender({
        publicKey: keys.session,
        info: encodeSealingInfo({ fleet: fleet.fleet, epoch: fleet.epoch, node: i + 1 }),
      });
      const content = encodeRequestContent({
        version: 1,
        userToken,
        clientSignature: signAsClient(this.key, signed, hashUserToken(userToken)),
        blindedElement: parts.blindedElement,
      });
      const part = await sender.seal(aad, content);
      sealed.push({ node: i + 1, enc: part.enc, ciphertext: part.ciphertext });
      open.set(i + 1, (answer) => part.openAnswer(aad, answer));
    }
    const request: ClientRequest = {
      fleet: fleet.fleet,
      epoch: fleet.epoch,
      operation,
      record: this.record,
      generation,
      attempt,
      arguments: parts.arguments,
      sealed,
    };
    return { request, open };
  }

  openRequest(blindedElement: Uint8Array, ownerKey: Uint8Array) {
    const args = ARGUMENTS.open.encode({
      blindHash: blindHash(blindedElement),
      ownerKey,
      takeover: false,
      authorisation: undefined,
    });
    return this.request('open', { generation: 1, arguments: args, blindedElement });
  }

  statusRequest() {
    return this.request('status', { arguments: ARGUMENTS.status.encode({}) });
  }
}

export const secret = (bytes: Uint8Array) => new Secret(bytes);

/** Polls `condition` until it holds; the test's own timeout is the bound. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}
