/** Configuration from file and environment: what is read, and what is refused with words that help. */

import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  applyTokenEnvironment,
  type Environment,
  loadCoordinatorConfiguration,
  loadNodeConfiguration,
  NODE_SETTINGS,
  variableOf,
} from '../../src/configuration/index.ts';
import { HoldfastError } from '../../src/core/index.ts';
import { readPrivateFile } from '../../src/http/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'configuration-'));
let files = 0;
function write(content: unknown): string {
  const path = join(folder, `${++files}.json`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const node = {
  trustFile: 'trust.json',
  node: 2,
  token: { module: '/usr/lib/pkcs11.so', label: 'vault', pinFile: 'pin' },
  store: { directory: 'store' },
  tls: { authority: 'ca.pem', certificate: 'node.pem', key: 'node.key' },
  tenants: 'tenants.json',
};
const coordinator = {
  trustFile: 'trust.json',
  nodes: [{ node: 1, url: 'https://node-1.example:7443', name: 'node-1' }],
  tls: { certificate: 'public.pem', key: 'public.key' },
  nodeTls: { authority: 'ca.pem', certificate: 'c.pem', key: 'c.key' },
};
const loadNode = (content: unknown, environment: Environment = {}) =>
  loadNodeConfiguration({ file: write(content), environment });
const loadCoordinator = (content: unknown, environment: Environment = {}) =>
  loadCoordinatorConfiguration({ file: write(content), environment });

/** The refusal's words; its code must be `usage`. */
function refusal(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'usage') return error.message;
    throw error;
  }
  throw new Error('was accepted');
}

describe('a node’s configuration', () => {
  it('has defaults, and paths relative to its file', () => {
    expect(loadNode(node)).toEqual({
      trustFile: join(folder, 'trust.json'),
      node: 2,
      token: {
        module: '/usr/lib/pkcs11.so',
        slot: undefined,
        label: 'vault',
        serial: undefined,
        pin: { file: join(folder, 'pin') },
        workers: 1,
        rollbackResistant: false,
        moduleParameters: undefined,
        timeoutMilliseconds: 10_000,
        softhsmConfiguration: undefined,
        syncFolder: undefined,
      },
      store: { directory: join(folder, 'store') },
      listen: { host: '0.0.0.0', port: 7443 },
      metrics: { host: '127.0.0.1', port: 9464 },
      tls: { authority: join(folder, 'ca.pem'), certificate: join(folder, 'node.pem'), key: join(folder, 'node.key') },
      tenants: join(folder, 'tenants.json'),
      batchIntervalMilliseconds: 8,
      repairOverride: undefined,
      requestsPerRecord: 60,
      maximumInFlight: 2000,
      logLevel: 'info',
    });
  });

  it('is overridden by the environment', () => {
    const loaded = loadNode(node, {
      HOLDFAST_NODE_LISTEN_PORT: '0',
      HOLDFAST_NODE_TOKEN_ROLLBACK_RESISTANT: 'true',
      HOLDFAST_NODE_STORE_DIRECTORY: '/srv/vault',
      HOLDFAST_NODE_BATCH_INTERVAL_MILLISECONDS: '5',
      OTHER: 'x',
    });
    expect(loaded.listen.port).toBe(0);
    expect(loaded.token.rollbackResistant).toBe(true);
    expect(loaded.store.directory).toBe('/srv/vault');
    expect(loaded.batchIntervalMilliseconds).toBe(5);
  });

  it('can come from the environment alone', () => {
    const environment = Object.fromEntries(
      NODE_SETTINGS.filter(({ required }) => required).map(({ path }) => [
        variableOf('HOLDFAST_NODE', path),
        path === 'node' ? '1' : '/x',
      ]),
    );
    const loaded = loadNodeConfiguration({
      environment: {
        ...environment,
        HOLDFAST_NODE_TOKEN_SLOT: '3',
        HOLDFAST_NODE_TOKEN_PIN_ENVIRONMENT: 'HOLDFAST_NODE_PIN',
        HOLDFAST_NODE_PIN: '1',
      },
    });
    expect(loaded.token).toMatchObject({ slot: 3, pin: { variable: 'HOLDFAST_NODE_PIN' } });
  });

  it('can not be changed afterwards, at any depth', () => {
    const loaded = loadNode(node) as unknown as Record<string, object>;
    expect(Object.isFrozen(loaded)).toBe(true);
    for (const part of Object.values(loaded)) expect(Object.isFrozen(part)).toBe(true);
  });

  it('tells SoftHSM where its own configuration is, and leaves the variable alone where it says nothing', () => {
    const environment: Record<string, string | undefined> = { SOFTHSM2_CONF: '/before' };
    applyTokenEnvironment(loadNode(node), environment);
    expect(environment.SOFTHSM2_CONF).toBe('/before');
    applyTokenEnvironment(loadNode(node, { HOLDFAST_NODE_TOKEN_SOFTHSM_CONFIGURATION: '/conf' }), environment);
    expect(environment.SOFTHSM2_CONF).toBe('/conf');
  });

  it.each<[string, unknown, Environment, string]>([
    ['an unknown member', { ...node, lissten: {} }, {}, 'lissten'],
    ['an unknown member of a group', { ...node, listen: { prot: 1 } }, {}, 'prot'],
    ['an unknown variable', node, { HOLDFAST_NODE_LISTEN_PROT: '1' }, 'HOLDFAST_NODE_LISTEN_PROT'],
    ['a missing setting', { ...node, tenants: undefined }, {}, 'HOLDFAST_NODE_TENANTS'],
    ['no token named', { ...node, token: { module: '/m' } }, {}, 'token.label'],
    ['two sources of the PIN', node, { HOLDFAST_NODE_TOKEN_PIN_CREDENTIAL: 'pin' }, 'only one of token.pinFile'],
    ['a port out of range', { ...node, listen: { port: 65_536 } }, {}, 'listen.port must be'],
    ['a port in text', { ...node, listen: { port: '1' } }, {}, 'listen.port must be'],
    ['a variable that is no number', node, { HOLDFAST_NODE_LISTEN_PORT: '1e3' }, 'HOLDFAST_NODE_LISTEN_PORT must be'],
    ['a flag in other words', node, { HOLDFAST_NODE_TOKEN_ROLLBACK_RESISTANT: 'yes' }, 'must be true or false'],
    ['an unknown level', { ...node, logLevel: 'loud' }, {}, 'logLevel must be one of'],
    ['a member twice', JSON.stringify(node).replace('{', '{"node":1,'), {}, 'node'],
    ['no JSON', 'trustFile: x', {}, 'not JSON'],
    ['a list', '[]', {}, 'must be an object'],
  ])('with %s is refused', (_, content, environment, words) => {
    expect(refusal(() => loadNode(content, environment))).toContain(words);
  });

  it('that can not be read is refused', () => {
    expect(refusal(() => loadNodeConfiguration({ file: join(folder, 'none.json') }))).toContain('none.json');
  });
});

describe('a coordinator’s source of trust sets', () => {
  it('is none by default, and has its interval where it is named', () => {
    expect(loadCoordinator(coordinator).trustSource).toBeUndefined();
    const urls = ['https://cosigner.example', 'http://127.0.0.1:8080'];
    expect(loadCoordinator({ ...coordinator, trustSource: { urls } }).trustSource).toEqual({
      urls,
      authority: undefined,
      interval: 60_000,
    });
  });

  it.each(['http://cosigner.example', 'https://cosigner.example/', 'https://a:b@cosigner.example', 'cosigner'])(
    'must be an origin: %s',
    (url) => {
      const refused = refusal(() => loadCoordinator({ ...coordinator, trustSource: { urls: [url] } }));
      expect(refused).toMatch(/trustSource.urls/);
    },
  );
});

describe('a coordinator’s configuration', () => {
  it('has the defaults of the documents', () => {
    expect(loadCoordinator(coordinator)).toMatchObject({
      nodes: coordinator.nodes,
      listen: { host: '0.0.0.0', port: 8443 },
      tls: { certificate: join(folder, 'public.pem') },
      maintenance: { repairing: 200, idle: 1000, antiEntropy: 5000, destroySpent: 2000 },
      rateLimit: { requests: 120, windowMilliseconds: 60_000 },
      allowedOrigins: [],
    });
  });

  it('takes lists and nodes from variables', () => {
    const loaded = loadCoordinator(coordinator, {
      HOLDFAST_COORDINATOR_ALLOWED_ORIGINS: 'https://a.example, https://b.example:8443',
      HOLDFAST_COORDINATOR_NODES: '[{"node":3,"url":"https://127.0.0.1:1","name":"n"}]',
      HOLDFAST_COORDINATOR_RATE_LIMIT_REQUESTS: '0',
    });
    expect(loaded.allowedOrigins).toEqual(['https://a.example', 'https://b.example:8443']);
    expect(loaded.nodes).toEqual([{ node: 3, url: 'https://127.0.0.1:1', name: 'n' }]);
    expect(loaded.rateLimit).toBeUndefined();
  });

  it('serves plain HTTP on loopback only', () => {
    const { tls: _, ...rest } = coordinator;
    expect(loadCoordinator({ ...rest, listen: { host: '127.0.0.1', plainHttp: true } }).tls).toBeUndefined();
    expect(refusal(() => loadCoordinator({ ...rest, listen: { plainHttp: true } }))).toContain('loopback');
    expect(refusal(() => loadCoordinator(rest))).toContain('tls.certificate');
  });

  const one = coordinator.nodes[0]!;
  it.each<[string, object, string]>([
    ['a node twice', { nodes: [one, one] }, 'twice'],
    ['a node without TLS', { nodes: [{ ...one, url: 'http://node-1.example' }] }, 'https://'],
    ['a path in an address', { nodes: [{ ...one, url: 'https://node-1.example/x' }] }, 'nodes[0].url'],
    ['no nodes', { nodes: [] }, 'nodes must have'],
    ['an origin with a path', { allowedOrigins: ['https://a.example/'] }, 'allowedOrigins'],
    ['a timeout of nothing', { timeouts: { node: 0 } }, 'timeouts.node'],
  ])('with %s is refused', (_, change, words) => {
    expect(refusal(() => loadCoordinator({ ...coordinator, ...change }))).toContain(words);
  });
});

describe('the operator’s dashboard', () => {
  const load = (dashboard: object) => loadCoordinator({ ...coordinator, dashboard });

  it('is off unless it has a credential', () => {
    expect(loadCoordinator(coordinator).dashboard).toBeUndefined();
    expect(load({ port: 1 }).dashboard).toBeUndefined();
    expect(load({ credentialFile: 'secret' }).dashboard).toEqual({
      listen: { host: '127.0.0.1', port: 9470 },
      tls: undefined,
      credentialFile: join(folder, 'secret'),
      interval: 5000,
      page: undefined,
    });
  });

  it('serves plain HTTP on loopback only', () => {
    expect(refusal(() => load({ credentialFile: 'secret', host: '0.0.0.0' }))).toContain('dashboard.certificate');
    const tls = { certificate: 'd.pem', key: 'd.key' };
    expect(load({ credentialFile: 'secret', host: '0.0.0.0', ...tls }).dashboard?.tls).toEqual({
      certificate: join(folder, 'd.pem'),
      key: join(folder, 'd.key'),
    });
  });

  it('has certificate and key, or neither, and no certificate without a credential', () => {
    expect(refusal(() => load({ credentialFile: 'secret', certificate: 'd.pem' }))).toContain('dashboard.key');
    expect(refusal(() => load({ certificate: 'd.pem', key: 'd.key' }))).toContain('dashboard.credentialFile');
  });
});

describe('a private file', () => {
  const made = (content: string, mode: number) => {
    const path = write(content);
    chmodSync(path, mode);
    return path;
  };

  it('is read without its line break', async () => {
    for (const [content, read] of [
      ['a b', 'a b'],
      ['a\n', 'a'],
      ['a\r\n', 'a'],
      ['a\n\n', 'a\n'],
    ] as const) {
      expect(await readPrivateFile('the thing', made(content, 0o600))).toBe(read);
    }
    expect(await readPrivateFile('the thing', made('a', 0o440))).toBe('a');
  });

  it.each([0o644, 0o606, 0o620, 0o602])('is refused with mode %o', async (mode) => {
    await expect(readPrivateFile('the thing', made('a', mode))).rejects.toMatchObject({ code: 'usage' });
  });

  it('is refused where it is a folder, missing or long', async () => {
    for (const path of [folder, join(folder, 'none'), made('a'.repeat(5000), 0o600)]) {
      await expect(readPrivateFile('the thing', path)).rejects.toMatchObject({ code: 'usage' });
    }
  });
});
