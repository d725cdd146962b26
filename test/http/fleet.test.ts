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
let dispatcher: Agent;

beforeAll(async () => {
  nodes = await startNodes(3);
  const coordinator = await nodes.coordinator();
  ({ url } = coordinator);
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
    expect(decodeCertificate(answer.certificate!).signatures.length).toBe(2);
    for (const { node, sealed } of answer.nodes) {
      const content = decodeAnswerContent(await open.get(node)!(sealed!));
      expect(content.code).toBe('ok');
      expect(content.evaluatedElement?.length).toBe(33);
    }
  });
});
