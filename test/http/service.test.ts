/** From configuration files to a running node on SoftHSM and a coordinator, and the client's SDK against both. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUserToken, generateClientKey, generateTenantKey } from '../../src/access/index.ts';
import { HttpTransport, VaultClient } from '../../src/client/index.ts';
import { loadCoordinatorConfiguration, loadNodeConfiguration } from '../../src/configuration/index.ts';
import { systemRandom } from '../../src/core/index.ts';
import { initialiseNode } from '../../src/node/index.ts';
import { DEFAULT_POLICY } from '../../src/protocol/index.ts';
import {
  dictionariesOf,
  openNodeStore,
  openNodeToken,
  type RunningCoordinator,
  type RunningNode,
  readNodeTrust,
  startCoordinator,
  startNode,
} from '../../src/service/index.ts';
import { createTokenKeys } from '../../src/token/index.ts';
import { serialiseTrustFile } from '../../src/trust/index.ts';
import { createFleet } from '../pki/fixtures.ts';
import { reservePorts } from '../ports.ts';
import { PIN, type SoftHsm, secret, softHsm } from '../token/fixture.ts';
import { FLEET, ISSUER, nodeName, silent, until } from './fixtures.ts';

let hsm: SoftHsm;
let nodeFile: string;
let coordinatorFile: string;
let node: RunningNode;
let coordinator: RunningCoordinator;
let client: VaultClient;
const readPin = async () => secret(PIN);

beforeAll(async () => {
  hsm = await softHsm('vault');
  const write = (name: string, content: string) => {
    writeFileSync(join(hsm.directory, name), content);
    return name;
  };
  const { publicKeys } = await createTokenKeys({
    module: hsm.module,
    label: hsm.label,
    pin: secret(PIN),
    fleet: FLEET,
    node: nodeName(1),
  });
  const pki = await createFleet(FLEET);
  const pem = async (role: 'node' | 'coordinator') => {
    const issued = await pki.issue(role, role === 'node' ? nodeName(1) : 'coordinator-1');
    return {
      authority: write('ca.pem', issued.authorityPem),
      certificate: write(`${role}.pem`, issued.certificatePem),
      key: write(`${role}.key`, issued.privateKeyPem),
    };
  };
  const keyStretching = { memoryKiB: 64, passes: 1, parallelism: 1 };
  const fleet = {
    fleet: FLEET,
    epoch: 1,
    nodes: [publicKeys],
    policy: { ...DEFAULT_POLICY, minimumShares: 1, keyStretching },
  };
  write(
    'trust.json',
    serialiseTrustFile({
      fleet,
      environment: 'test',
      expires: Math.ceil(Date.now() / 1000) * 1000 + 3_600_000,
      names: [nodeName(1)],
      coordinators: ['http://127.0.0.1:1'],
      authority: undefined,
    }),
  );
  const tenant = await generateTenantKey('ES256');
  write(
    'tenants.json',
    JSON.stringify({ tenants: [{ issuer: ISSUER, algorithm: 'ES256', keys: [tenant.publicKey] }] }),
  );
  nodeFile = join(
    hsm.directory,
    write(
      'node.json',
      JSON.stringify({
        trustFile: 'trust.json',
        node: 1,
        token: { module: hsm.module, label: hsm.label, pinFile: 'pin' },
        store: { directory: 'store' },
        // One of its own, which nobody takes while it starts again.
        listen: { host: '127.0.0.1', port: await reservePorts() },
        metrics: { port: 0 },
        tls: await pem('node'),
        tenants: 'tenants.json',
        logLevel: 'silent',
      }),
    ),
  );
  const configuration = loadNodeConfiguration({ file: nodeFile });
  const trust = await readNodeTrust(configuration);
  const token = await openNodeToken(configuration, trust, readPin);
  const store = await openNodeStore(configuration);
  await initialiseNode({ fleet: trust.fleet, node: 1, token, dictionaries: dictionariesOf(store) });
  await store.close();
  await token.close();
  node = await startNode(configuration, { readPin, log: silent });
  coordinatorFile = join(
    hsm.directory,
    write(
      'coordinator.json',
      JSON.stringify({
        trustFile: 'trust.json',
        nodes: [{ node: 1, url: node.url, name: nodeName(1) }],
        listen: { host: '127.0.0.1', port: 0, plainHttp: true },
        metrics: { port: 0 },
        nodeTls: await pem('coordinator'),
        logLevel: 'silent',
      }),
    ),
  );
  coordinator = await startCoordinator(loadCoordinatorConfiguration({ file: coordinatorFile }), { log: silent });
  const clientKey = generateClientKey();
  const record = systemRandom(32);
  client = new VaultClient({
    fleet,
    record,
    transport: new HttpTransport({ urls: [coordinator.url] }),
    credential: async () => ({
      clientKey,
      userToken: await createUserToken({
        tenantKey: tenant.privateKey,
        issuer: ISSUER,
        subject: 'user-1',
        fleet: FLEET,
        scope: ['enrol', 'delete'],
        clientKey: clientKey.publicKey,
        record,
        issuedAt: Date.now(),
      }),
    }),
  });
});

afterAll(async () => {
  await coordinator?.close();
  await node?.close();
  hsm?.remove();
});

describe('services started from their configuration', () => {
  it('enrol, refuse a wrong PIN, and recover', async () => {
    const backupKey = systemRandom(32);
    await client.enrol('4711', backupKey);
    await expect(client.recover('4712')).rejects.toMatchObject({ code: 'wrong_pin' });
    expect((await client.recover('4711')).secret.reveal()).toEqual(backupKey);
    expect((await client.status()).state).toBe('active');
  });

  it('keep what was enrolled over a restart of the node', async () => {
    const url = new URL(node.url);
    await node.close();
    const environment = { HOLDFAST_NODE_LISTEN_PORT: url.port };
    node = await startNode(loadNodeConfiguration({ file: nodeFile, environment }), { readPin, log: silent });
    await until(async () => (await fetch(`${coordinator.url}/readyz`)).ok);
    expect((await client.recover('4711')).secret.reveal().length).toBe(32);
  });

  it('leave nothing open where they can not start', async () => {
    const { port } = new URL(node.url);
    const store = join(hsm.directory, 'other-store');
    const environment = { HOLDFAST_NODE_LISTEN_PORT: port, HOLDFAST_NODE_STORE_DIRECTORY: store };
    const configuration = loadNodeConfiguration({ file: nodeFile, environment });
    await expect(startNode(configuration, { readPin, log: silent })).rejects.toMatchObject({ code: 'store_refused' });
    // The folder is locked while a store is open.
    await (await openNodeStore(configuration)).close();
  });

  it('refuse a node under another name than the trust file’s', async () => {
    const environment = {
      HOLDFAST_COORDINATOR_NODES: JSON.stringify([{ node: 1, url: node.url, name: 'node-7' }]),
    };
    const configuration = loadCoordinatorConfiguration({ file: coordinatorFile, environment });
    await expect(startCoordinator(configuration, { log: silent })).rejects.toMatchObject({ code: 'usage' });
  });
});
