/** What running nodes sign of themselves for the evidence, gathered over sockets: of each its own, seldom, and nothing false. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HttpNodeTransport } from '../../src/coordinator/http/index.ts';
import { ServiceRecordSource } from '../../src/coordinator/http/service-records.ts';
import { type NodeTransport, silentCoordinatorObserver } from '../../src/coordinator/index.ts';
import { bytesToHex, type Clock, systemClock } from '../../src/core/index.ts';
import { type NodeRequest, verifyServiceStatement } from '../../src/protocol/index.ts';
import { CHECKS, nodeName, startNodes, type TestNodes } from './fixtures.ts';

let nodes: TestNodes;
let wire: HttpNodeTransport;
const bundle = 'ab'.repeat(32);

beforeAll(async () => {
  // For the nodes no time passes: how often a token is asked does not depend on how busy the machine is.
  const begun = Date.now();
  nodes = await startNodes(3, { clock: { ...systemClock, now: () => begun } });
  wire = new HttpNodeTransport({
    fleet: nodes.fleet.fleet,
    tls: await nodes.pki.issue('coordinator', 'coordinator-1'),
    nodes: nodes.running.map(({ url }, i) => ({ node: i + 1, url, name: nodeName(i + 1) })),
    timeout: 60_000,
  });
  // Nodes say something of themselves once they serve.
  const service = await nodes.coordinator();
  for (let served = 0; served < 3; ) {
    served = nodes.running.filter(({ phase }) => phase === 'serving').length;
    await systemClock.sleep(10);
  }
  await service.close();
});
afterAll(async () => {
  await wire.close();
  await nodes.close();
});

/** Counts what reaches the nodes. */
class Counting implements NodeTransport {
  asked = 0;
  readonly #other: (node: number) => number;

  constructor(other: (node: number) => number = (node) => node) {
    this.#other = other;
  }

  send(node: number, request: NodeRequest) {
    this.asked++;
    return wire.send(this.#other(node), request);
  }
}

function source(transport: NodeTransport, clock: Clock, known: () => string | undefined = () => bundle) {
  const observer = silentCoordinatorObserver;
  return new ServiceRecordSource({ fleet: nodes.fleet, transport, checks: CHECKS, clock, observer, bundle: known });
}

/** A clock that tests move. */
function testClock() {
  const clock = { time: Date.now(), now: () => clock.time, sleep: () => Promise.resolve() };
  return clock;
}

describe('the service record', () => {
  it('has of every node what it signs: its limits, program and token, about the bundle that was asked', async () => {
    const { statements } = await source(wire, systemClock).get();
    expect(statements.map(({ node }) => node)).toEqual([1, 2, 3]);
    for (const { node, ...signed } of statements) {
      const says = verifyServiceStatement(signed, nodes.fleet, CHECKS);
      expect(bytesToHex(says.bundle)).toBe(bundle);
      expect(says).toMatchObject({ node, epoch: 1, policy: nodes.fleet.policy });
      expect(says.incarnation).toBeGreaterThan(0);
      expect(says.software).toEqual({ version: '1.2.3', commit: 'c0ffee', runtime: 'node 24' });
      const { module, manufacturer, model, serial, firmware } = nodes.tokens[node - 1]!.description;
      expect(says.token).toEqual({ module, manufacturer, model, serial, firmware });
    }
  });

  it('asks each node once a minute at most, and again where the bundle is another', async () => {
    const [transport, clock] = [new Counting(), testClock()];
    let known = bundle;
    const records = source(transport, clock, () => known);
    const [first, same] = await Promise.all([records.get(), records.get()]);
    expect(same).toBe(first);
    clock.time += 59_000;
    expect(await records.get()).toBe(first);
    expect(transport.asked).toBe(3);
    clock.time += 1000;
    expect(await records.get()).not.toBe(first);
    expect(transport.asked).toBe(6);
    known = 'cd'.repeat(32);
    const other = await records.get();
    expect(other.bundle).toBe(known);
    const { statement, signature } = other.statements[0]!;
    const says = verifyServiceStatement({ statement, signature }, nodes.fleet, CHECKS);
    expect(bytesToHex(says.bundle)).toBe(known);
  });

  it('leaves out a node that answers with what another one signed', async () => {
    const { statements } = await source(new Counting((node) => (node === 2 ? 3 : node)), systemClock).get();
    expect(statements.map(({ node }) => node)).toEqual([1, 3]);
  });

  it('is not found before any bundle is known', async () => {
    await expect(source(wire, systemClock, () => undefined).get()).rejects.toMatchObject({ code: 'not_found' });
  });

  it('costs a token few signatures, whoever asks', async () => {
    const answers = [];
    for (let i = 0; i < 40; i++) {
      const bytes = new Uint8Array(32).fill(i);
      answers.push((await wire.send(1, { kind: 'service', bundle: bytes })).code);
    }
    expect(answers.filter((code) => code === 'ok').length).toBeLessThanOrEqual(4);
    expect(answers.at(-1)).toBe('overloaded');
  });
});
