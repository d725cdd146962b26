/** What a person sees while a command waits for coordinators that turn it away, and what a program does not. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { clientKeyToJwk } from '../../src/access/index.ts';
import { connect } from '../../src/cli/connect.ts';
import { writeCredential } from '../../src/cli/credential.ts';
import { factsOf } from '../../src/cli/output.ts';
import { CoordinatorMetrics, createCoordinatorServer } from '../../src/coordinator/http/index.ts';
import { asHoldfastError, HoldfastError } from '../../src/core/index.ts';
import { serialiseTrustFile } from '../../src/trust/index.ts';
import { LOOPBACK, silent } from '../http/fixtures.ts';
import { InProcessFleet } from '../node/in-process.ts';

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0)) await step();
});

/** Files of a user of a fleet whose coordinator turns the first requests away, or takes one of an address in an hour. */
async function turnedAway(how: { first: number } | 'after one') {
  const fleet = await InProcessFleet.create(1);
  let left = how === 'after one' ? 0 : how.first;
  const app = await createCoordinatorServer({
    fleet: fleet.fleet,
    tls: undefined,
    handle: async (request) => {
      if (left-- > 0) throw new HoldfastError('rate_limited', 'too many requests');
      return await fleet.coordinator.handle(request);
    },
    readiness: () => ({ ready: true, reason: '' }),
    infos: () => new Map(),
    metrics: new CoordinatorMetrics(silent),
    log: silent,
    rateLimit: how === 'after one' ? { requests: 1, windowMilliseconds: 3_600_000 } : undefined,
    allowedOrigins: [],
    trustedProxies: [],
    maximumInFlight: 10,
  });
  cleanUp.push(() => app.close());
  const url = await app.listen(LOOPBACK);
  const folder = mkdtempSync(join(tmpdir(), 'connect-'));
  const files = { trust: join(folder, 'trust.json'), user: [join(folder, 'alice.json')] };
  writeFileSync(
    files.trust,
    serialiseTrustFile({
      ...{ fleet: fleet.fleet, environment: 'test', expires: Math.floor(Date.now() / 1000) * 1000 + 86_400_000 },
      ...{ names: ['node-1'], coordinators: [url], authority: undefined },
    }),
  );
  const { userToken, clientKey, record } = await fleet.credential('alice');
  await writeCredential(files.user[0]!, { userToken, clientKey: clientKeyToJwk(clientKey), record }, false);
  const written: string[] = [];
  const screen = { isTTY: true, columns: 100, write: (text: string) => written.push(text) };
  const connected = async (more: { json?: boolean; patience?: number }) => {
    const connection = await connect({ ...files, ...more }, {}, screen);
    cleanUp.push(() => connection[Symbol.asyncDispose]());
    return connection;
  };
  return { written, connected };
}

it('is a line that says why and for how long, and then the command goes on', async () => {
  const { written, connected } = await turnedAway({ first: 2 });
  const { client } = await connected({ patience: 600 });
  expect(await client.status()).toMatchObject({ state: 'none' });
  expect(written.join('')).toMatch(/Too many requests\. Trying again in 1 s …/);
});

it('is nothing where a program asks', async () => {
  const { written, connected } = await turnedAway({ first: 2 });
  const { client } = await connected({ json: true, patience: 600 });
  await client.status();
  expect(written).toEqual([]);
});

it('is, at the end of its patience, what it was and when to try again', async () => {
  const { connected } = await turnedAway('after one');
  const { client } = await connected({ json: true, patience: 0 });
  await client.status();
  const before = Date.now();
  const error = asHoldfastError(await client.status().catch((thrown: unknown) => thrown));
  expect(error.code).toBe('rate_limited');
  const retryAt = Number(error.details.retryAt);
  expect(retryAt).toBeGreaterThan(before);
  expect(retryAt).toBeLessThanOrEqual(Date.now() + 3_601_000);
  expect(factsOf(error, retryAt - 7_000)).toEqual([expect.stringMatching(/^Try again: .* \(in 7 s\)\.$/)]);
});
