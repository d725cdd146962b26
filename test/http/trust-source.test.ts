/** The coordinator's look at the cosigner and its mirrors: several, some of which lie, hang or send without end. */

import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { TrustSource } from '../../src/coordinator/http/index.ts';
import { digestOf, MAXIMUM_TRUST_SET, parseNote, parseTrustSet } from '../../src/trust/index.ts';
import { bundleNode, deployment } from '../trust/manifests.ts';
import { following, scene } from '../trust/verify/scene.ts';
import { silent } from './fixtures.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0)) await step();
});

let first: Uint8Array;
let second: Uint8Array;
let other: Uint8Array;
beforeAll(async () => {
  const { log } = await scene();
  first = await log.trustSet();

  await log.accept(deployment({ fleet: 'other', nodes: [4, 5, 6].map((node) => bundleNode(node)) }));
  other = await log.trustSet('other');
  await log.accept(following(deployment(), { coordinators: ['https://c.vault.example'] }));
  second = await log.trustSet();
});

const digestIn = (set: Uint8Array) => digestOf(parseNote(parseTrustSet(set).bundle).text);

async function server(listener: RequestListener): Promise<string> {
  const http = createServer(listener);
  await once(http.listen(0, '127.0.0.1'), 'listening');
  cleanUp.push(() => {
    http.closeAllConnections();
    http.close();
  });
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
}

function source(urls: readonly string[], interval = 60_000): TrustSource {
  const made = new TrustSource('first', { urls, authorityPem: undefined, interval }, silent);
  cleanUp.push(() => made.close());
  return made;
}

it('asks for its own fleet, and knows the newest that was shown', async () => {
  const paths: string[] = [];
  let set = first;
  const url = await server((request, response) => {
    paths.push(request.url!);
    response.end(set);
  });
  const trust = source([url]);
  expect(trust.known).toBeUndefined();
  await trust.look();
  expect(trust.known).toMatchObject({ serial: 1, digest: digestIn(first), set: first });
  set = second;
  await trust.look();
  expect(trust.known).toMatchObject({ serial: 2, digest: digestIn(second), set: second });
  expect(new Set(paths)).toEqual(new Set(['/trust/first']));
});

it('looks again by itself', async () => {
  const looks = Promise.withResolvers<void>();
  let count = 0;
  const url = await server((_, response) => {
    response.end(first);
    if (++count === 3) looks.resolve();
  });
  source([url], 1).start();
  await looks.promise;
});

it('goes past a source that refuses, shows rubbish or another fleet, or sends without end', async () => {
  const bad: RequestListener[] = [
    (_, response) => response.writeHead(503).end('later'),
    (_, response) => response.end('rubbish'),
    (_, response) => response.end(other),
    (_, response) => response.end(new Uint8Array(MAXIMUM_TRUST_SET + 1)),
    (_, response) => response.destroy(),
  ];
  for (const listener of bad) {
    const trust = source([await server(listener), await server((_, response) => response.end(second))]);
    await trust.look();
    expect(trust.known?.serial).toBe(2);
  }
});

it('keeps what it knows while no source answers', async () => {
  let up = true;
  const url = await server((_, response) => (up ? response.end(first) : response.destroy()));
  const trust = source([url]);
  await trust.look();
  up = false;
  await trust.look();
  expect(trust.known?.serial).toBe(1);
});

it('can be closed while a source hangs', async () => {
  const asked = Promise.withResolvers<void>();
  const url = await server(() => asked.resolve());
  const trust = source([url]);
  trust.start();
  await asked.promise;
  await trust.close();
  expect(trust.known).toBeUndefined();
});
