/** Gathering what nodes say through coordinators, some of which lie, are late, or know another bundle. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { hexToBytes, toBase64Url, utf8 } from '../../src/core/index.ts';
import { checkServiceRecord } from '../../src/evidence/index.ts';
import { gatherServiceRecord } from '../../src/operator/index.ts';
import { encodeServiceStatement, type ServiceStatement } from '../../src/protocol/index.ts';
import { ecdsaFromDer, parseBundle, requireLive, serialiseBundle } from '../../src/trust/index.ts';
import { signWith } from '../evidence/scene.ts';
import { deployment, NOW } from '../trust/manifests.ts';

const bundle = requireLive(parseBundle(serialiseBundle(deployment())));
const { manifest, digest } = bundle;
const cleanUp: (() => void)[] = [];
afterEach(() => {
  for (const step of cleanUp.splice(0)) step();
});

function report(node: number, changes: Partial<ServiceStatement> = {}, signer = `node-${node} identity`) {
  const statement = encodeServiceStatement({
    ...{ fleet: manifest.fleet, epoch: 1, node, incarnation: 2, time: NOW, bundle: hexToBytes(digest) },
    policy: manifest.policy,
    software: { version: '1.0.0', commit: '', runtime: 'node 24' },
    token: { module: 'libtoken.so', manufacturer: 'Maker', model: 'Model', serial: String(node), firmware: '1' },
    ...changes,
  });
  const signature = ecdsaFromDer(signWith(signer, statement))!;
  return { node, statement: toBase64Url(statement), signature: toBase64Url(signature) };
}

/** A coordinator that answers with each of these in turn, and goes on with the last. */
async function coordinator(...answers: readonly unknown[]): Promise<string> {
  let next = 0;
  const http = createServer((request, response) => {
    const answer = request.url === '/v1/service-record' ? answers[Math.min(next++, answers.length - 1)] : undefined;
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer ?? {}));
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  cleanUp.push(() => {
    http.closeAllConnections();
    http.close();
  });
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
}

/** A clock that only sleeping moves. */
function clock() {
  let time = NOW;
  return {
    now: () => time,
    sleep: async (milliseconds: number) => {
      time += milliseconds;
    },
  };
}

const gather = (...coordinators: string[]) =>
  gatherServiceRecord({ bundle, coordinators, patience: 5000, clock: clock() });
const answer = (...nodes: ReturnType<typeof report>[]) => ({ bundle: digest, nodes });

describe('a service record', () => {
  it('is of all nodes, through whichever coordinators know them', async () => {
    const [a, b] = [await coordinator(answer(report(3), report(1))), await coordinator(answer(report(2)))];
    const { statement, missing } = await gather(a, b);
    expect(missing).toEqual([]);
    expect(statement.predicate.reports.map(({ node }) => node)).toEqual([1, 2, 3]);
    expect(statement.predicate.through).toEqual([a, b]);
    expect(checkServiceRecord(statement, bundle).silent).toEqual([]);
  });

  it('waits for a coordinator to learn of the bundle, and for nodes that come up', async () => {
    const before = report(1, { bundle: new Uint8Array(32) });
    const url = await coordinator(
      undefined,
      { bundle: 'a'.repeat(64), nodes: [before] },
      answer(report(1)),
      answer(report(1), report(2), report(3)),
    );
    expect((await gather(url)).missing).toEqual([]);
  });

  it('waits by itself for longer than a coordinator lets pass between two looks for a bundle', async () => {
    // A minute, and what a slow machine adds.
    const before = Array.from({ length: 75 }, () => answer(report(1, { bundle: new Uint8Array(32) })));
    const url = await coordinator(...before, answer(report(1), report(2), report(3)));
    expect((await gatherServiceRecord({ bundle, coordinators: [url], clock: clock() })).missing).toEqual([]);
  });

  it('says whom nobody has heard when patience ends', async () => {
    const { statement, missing } = await gather(await coordinator(answer(report(2))));
    expect(missing).toEqual([1, 3]);
    expect(checkServiceRecord(statement, bundle).silent).toEqual(['node-1', 'node-3']);
  });

  it.each([
    ['signed by another node', report(1, {}, 'node-2 identity')],
    ['of another node', { ...report(2), node: 1 }],
    ['of another fleet', report(1, { fleet: 'second' })],
    ['of another epoch', report(1, { epoch: 2 })],
    ['about another bundle', report(1, { bundle: new Uint8Array(32) })],
    ['of another day', report(1, { time: NOW - 86_400_000 })],
  ])('believes nothing that is %s', async (_what, lie) => {
    await expect(gather(await coordinator(answer(lie)))).rejects.toMatchObject({ code: 'not_ready' });
    // Another coordinator’s truth counts all the same.
    const { statement } = await gather(await coordinator(answer(lie)), await coordinator(answer(report(1))));
    expect(statement.predicate.reports).toHaveLength(1);
  });

  it('is none where a node applies other limits than the bundle says', async () => {
    const weaker = report(2, { policy: { ...manifest.policy, limit: manifest.policy.limit + 1 } });
    const gathered = gather(await coordinator(answer(report(1), weaker, report(3))));
    await expect(gathered).rejects.toMatchObject({ code: 'evidence_mismatch' });
  });

  it.each([
    ['no JSON', 'x'],
    ['without end', 'x'.repeat(100_000)],
    ['of another shape', { nodes: [] }],
    ['of twenty nodes', { bundle: digest, nodes: Array.from({ length: 20 }, () => report(1)) }],
    ['with an empty signature', { bundle: digest, nodes: [{ ...report(1), signature: '' }] }],
    ['with what is no statement', { bundle: digest, nodes: [{ ...report(1), statement: toBase64Url(utf8('x')) }] }],
  ])('takes nothing from an answer that is %s', async (_what, wrong) => {
    await expect(gather(await coordinator(wrong))).rejects.toMatchObject({ code: 'not_ready' });
  });
});
