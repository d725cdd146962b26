/** The happy path end to end over real sockets: client, coordinator, three nodes. */

import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemRandom, utf8 } from '../../src/core/index.ts';
import { blind } from '../../src/crypto/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import {
  type ClientRequest,
  clientAnswerFromJson,
  clientRequestToJson,
  decodeAnswerContent,
  decodeCertificate,
} from '../../src/protocol/index.ts';
import { FLEET, startNodes, TestClient, type TestNodes, until } from './fixtures.ts';

let nodes: TestNodes;
let url: string;
let monitoringUrl: string;
let dispatcher: Agent;

beforeAll(async () => {
  nodes = await startNodes(3);
  ({ url, monitoringUrl } = await nodes.coordinator());
  dispatcher = new Agent({
    connect: tlsClientOptions({ authorityPem: nodes.pki.authorityPem }, { fleet: FLEET, role: 'public' }) as object,
  });
  await until(async () => (await get('/readyz')).statusCode === 200);
});
afterAll(async () => {
  await dispatcher.close();
  await nodes.close();
});

const get = (path: string) => request(`${url}${path}`, { dispatcher });
async function post(sent: ClientRequest) {
  const response = await request(`${url}/v1/${sent.operation}`, {
    method: 'POST',
    dispatcher,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(clientRequestToJson(sent)),
  });
  const body = await response.body.json();
  expect(body).toMatchObject({ nodes: expect.anything() });
  return clientAnswerFromJson(body);
}

describe('a client over HTTPS', () => {
  it('gets the votes, the certificate and every node’s sealed evaluation', async () => {
    const client = new TestClient(nodes);
    const { blindedElement } = blind(utf8('input'), systemRandom);
    const { request: sent, open } = await client.openRequest(blindedElement, client.key.publicKey);
    const answer = await post(sent);
    expect(answer.nodes.map(({ node, code }) => [node, code])).toEqual([
      [1, 'ok'],
      [2, 'ok'],
      [3, 'ok'],
    ]);
    // A majority, or all where the third vote was as quick.
    expect([2, 3]).toContain(decodeCertificate(answer.certificate!).signatures.length);
    for (const { node, sealed } of answer.nodes) {
      const content = decodeAnswerContent(await open.get(node)!(sealed!));
      expect(content.code).toBe('ok');
      expect(content.evaluatedElement?.length).toBe(33);
    }
  });

  it('is told the same by a majority when one node is gone, and everybody that it is gone', async () => {
    await nodes.running[2]!.close();
    const client = new TestClient(nodes);
    const { blindedElement } = blind(utf8('input'), systemRandom);
    const { request: sent } = await client.openRequest(blindedElement, client.key.publicKey);
    const answer = await post(sent);
    expect(answer.nodes.map(({ node, code }) => [node, code])).toEqual([
      [1, 'ok'],
      [2, 'ok'],
    ]);
    const phases = async () => {
      const { nodes: all } = (await (await get('/v1/nodes')).body.json()) as { nodes: { phase: string }[] };
      return all.map(({ phase }) => phase).join();
    };
    await until(async () => (await phases()) === 'serving,serving,unreachable');
    const metrics = await (await request(`${monitoringUrl}/metrics`)).body.text();
    expect(metrics).toContain('holdfast_coordinator_node_phase{node="3",phase="unreachable"} 1');
    expect(metrics).toContain('holdfast_coordinator_answers_total{operation="open",code="ok"} 2');
    expect(metrics).toMatch(/holdfast_coordinator_unreachable_total\{node="3"\} [1-9]/);
  });

  it('is told that there is no majority when two are gone', async () => {
    await nodes.running[1]!.close();
    const client = new TestClient(nodes);
    const { request: sent } = await client.statusRequest();
    const response = await request(`${url}/v1/confirm`, {
      method: 'POST',
      dispatcher,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(clientRequestToJson(sent)),
    });
    expect(response.statusCode).toBe(503);
    expect(await response.body.json()).toMatchObject({ code: 'no_majority', retryable: true });
    await until(async () => (await get('/readyz')).statusCode === 503);
  });
});
