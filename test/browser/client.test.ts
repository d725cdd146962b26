/** `holdfast/client` in a real browser, under a strict policy, against a fleet of real processes on real tokens. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findBrowser, NO_BROWSER } from '../../scripts/browser.ts';
import { protectSeed } from '../../src/crypto/index.ts';
import { anchorOf, serialiseTrustAnchor } from '../../src/trust/index.ts';
import { STATES } from '../client/trust/states.ts';
import { TestFleet } from '../fleet/launcher.ts';
import { NOW } from '../trust/manifests.ts';
import { scene } from '../trust/verify/scene.ts';
import { bundle } from './bundle.ts';
import { Browser } from './chromium.ts';
import type { Account } from './commands.ts';
import * as sdk from './sdk.ts';
import { PageServer } from './server.ts';
import { computeValues, type OprfVector, outputOf, SEED, THRESHOLD, type ValueInput } from './values.ts';

const PIN = '493027';
const WRONG = '111111';
/** What a trust set may cost to verify: it has about twelve, and some of the kind that takes longer. */
const MOST_SIGNATURES = 40;
const SECRET = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
/** The page that docs/browser.md describes, at an origin that the coordinator knows. */
let home: string;
/** The same page at an origin that it does not know. */
let elsewhere: string;

const resources = new AsyncDisposableStack();
let fleet: TestFleet;
let page: PageServer;

beforeAll(async () => {
  // Said before the fleet takes its time.
  if (findBrowser() === undefined) throw new Error(NO_BROWSER);
  // PINs are stretched as in production.
  const stretching = ['--argon2-memory-kib', '65536', '--argon2-passes', '3'];
  const [built, launched] = await Promise.all([
    bundle('sdk', 'page'),
    TestFleet.launch({ coordinators: 1, options: stretching }),
  ]);
  fleet = resources.use(launched);
  page = resources.use(new PageServer(built.files));
  home = await page.listen();
  elsewhere = await page.listen();
  const { folder } = fleet;
  await letIn(home);
  page.allow(...sdk.parseTrustFile(readFileSync(folder.trust, 'utf8'), { now: Date.now() }).coordinators);
  resources.use(
    new Browser({
      url: `${home}/`,
      certificates: [readFileSync(join(folder.of('coordinator-1'), 'public.pem'), 'utf8')],
      onEnd: (error) => page.fail(error),
    }),
  );
  await page.call('runtime', {});
});

afterAll(() => resources.disposeAsync());

/** Has the coordinator answer pages of this origin, as an operator would: in its configuration, and with nothing else changed. */
async function letIn(origin: string): Promise<void> {
  const { folder } = fleet;
  const path = folder.configuration('coordinator-1');
  const configuration = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...configuration, allowedOrigins: [origin] }));
  await fleet.ok('fleet', 'kill', folder.path, 'coordinator-1');
  await fleet.ok('fleet', 'start', folder.path, 'coordinator-1');
  await fleet.until(({ processes }) => processes.every(({ ready }) => ready));
}

/** A new user, and the file that the command line knows them by. */
async function newUser(subject: string): Promise<{ account: Account; file: string }> {
  const file = await fleet.user(subject);
  const credential = JSON.parse(readFileSync(file, 'utf8')) as Account['credential'];
  return { account: { trust: readFileSync(fleet.folder.trust, 'utf8'), credential }, file };
}

const enrol = (account: Account, pin = PIN) => page.call('enrol', { ...account, pin, secret: [...SECRET] });
const recover = (account: Account, pin = PIN) => page.call('recover', { ...account, pin });
const status = (account: Account) => page.call('status', account);

test('the page runs in a browser: a secure context with nothing of Node', async () => {
  const runtime = await page.call('runtime', {});
  expect(runtime).toMatchObject({ node: false, secureContext: true });
  expect(runtime.userAgent).toMatch(/Chrom/);
});

test('what the browser computes is what Node computes, and what RFC 9497 says', async () => {
  const file = new URL('../vectors/rfc9497-p256-sha256-oprf.json', import.meta.url);
  const { suites } = JSON.parse(readFileSync(file, 'utf8')) as { suites: { vectors: OprfVector[] }[] };
  const oprf = suites[0]!.vectors;
  expect(oprf.length).toBeGreaterThan(0);
  const shares = await protectSeed({
    seed: new sdk.Secret(Uint8Array.from(SEED)),
    threshold: THRESHOLD,
    outputs: [1, 2, 3].map(outputOf),
  });
  const input: ValueInput = { oprf, shares: shares.map((share) => ({ ...share, masked: [...share.masked] })) };
  const [there, here] = [await page.call('values', input), await computeValues(sdk, input)];
  expect(there).toEqual(here);
  expect(there).toMatchObject({
    oprf: oprf.map(({ Blind, BlindedElement, Output }) => ({ Blind, BlindedElement, Output })),
    verifies: true,
    verifiesAnother: false,
    lying: [3],
  });
});

test('a record enrolled in the browser is recovered there, and by Node', async () => {
  const { account, file } = await newUser('alice');
  expect(await status(account)).toMatchObject({ state: 'none', attemptsLeft: 0 });
  expect(await enrol(account)).toEqual({ generation: 1, nodes: [1, 2, 3], degraded: false });
  expect(await status(account)).toMatchObject({ state: 'active', generation: 1, attemptsLeft: 10, shares: 3 });
  expect(await recover(account)).toEqual({ secret: [...SECRET], generation: 1, earlierAttempts: 0 });
  const out = fleet.path('alice.secret');
  await fleet.ok('secret', 'get', '--user', file, '--pin-file', fleet.file('pin', `${PIN}\n`), '--out', out);
  expect([...readFileSync(out)]).toEqual([...SECRET]);
});

test('a record enrolled by Node is recovered in the browser, whatever digits the PIN is typed with', async () => {
  const { account, file } = await newUser('bob');
  const secret = ['--secret-file', fleet.file('bob.secret', SECRET)];
  await fleet.ok('secret', 'put', '--user', file, '--pin-file', fleet.file('pin', `${PIN}\n`), ...secret);
  expect(await recover(account, '٤٩٣٠٢٧')).toMatchObject({ secret: [...SECRET], generation: 1 });
});

test('a wrong PIN is counted, and the right one gives the attempts back', async () => {
  const { account } = await newUser('carol');
  await enrol(account);
  await expect(recover(account, WRONG)).rejects.toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 9 } });
  expect(await status(account)).toMatchObject({ attemptsLeft: 9, attemptsSinceSuccess: 1 });
  expect(await recover(account)).toMatchObject({ secret: [...SECRET], earlierAttempts: 1 });
  expect(await status(account)).toMatchObject({ attemptsLeft: 10, attemptsSinceSuccess: 0 });
});

test('after a change of the PIN only the new one opens the same secret', async () => {
  const { account } = await newUser('dave');
  await enrol(account);
  const newPin = 'a longer password';
  expect(await page.call('changePin', { ...account, pin: PIN, newPin })).toEqual({ generation: 2 });
  await expect(recover(account)).rejects.toMatchObject({ code: 'wrong_pin' });
  expect(await recover(account, newPin)).toMatchObject({ secret: [...SECRET], generation: 2 });
});

test('a record deleted in the browser is gone for good', async () => {
  const { account } = await newUser('erin');
  await enrol(account);
  await expect(page.call('delete', { ...account, pin: WRONG })).rejects.toMatchObject({ code: 'wrong_pin' });
  expect(await status(account)).toMatchObject({ state: 'active' });
  await page.call('delete', { ...account, pin: PIN });
  expect(await status(account)).toMatchObject({ state: 'destroyed' });
  await expect(recover(account)).rejects.toMatchObject({ code: 'destroyed' });
});

test('a fleet is verified from a trust anchor at the price of its signatures, and what was seen is stored in one step', async () => {
  const { log, policy } = await scene();
  const result = await page.call('trust', {
    anchor: serialiseTrustAnchor(anchorOf(policy, ['https://cosigner.example'])),
    set: [...(await log.trustSet())],
    states: STATES.map((state) => [...state]),
    clock: NOW,
  });
  expect(result).toMatchObject({ fleet: 'first', serial: 1, mode: 'fresh' });
  expect(result.store).toHaveLength(11);
  const [first, ...later] = result.milliseconds;
  const fastest = Math.min(...later);
  const signatures = fastest / Math.min(...result.ofSignature);
  console.log(
    `A trust set is verified in ${fastest.toFixed(1)} ms in the browser, the first time in ${first!.toFixed(1)} ms: ` +
      `as long as ${signatures.toFixed(1)} signatures`,
  );
  // Not so many milliseconds: a slow machine takes longer, for signatures as well. Other work only ever makes either slower.
  expect(signatures).toBeLessThan(MOST_SIGNATURES);
});

test('nothing that the SDK did so far was against the policy of the page', () => {
  expect(page.violations).toEqual([]);
});

test('without WebAssembly in the policy a PIN cannot be stretched, and nothing is counted', async () => {
  const { account } = await newUser('frank');
  await enrol(account);
  await page.call('navigate', { url: `${home}/without-wasm` });
  await expect(recover(account)).rejects.toThrow(/WebAssembly/);
  expect(await status(account)).toMatchObject({ attemptsLeft: 10, attemptsSinceSuccess: 0 });
  expect([...new Set(page.violations)]).toEqual(['script-src wasm-eval']);
});

test('a page of an origin that the coordinator does not know cannot reach it', async () => {
  const { account } = await newUser('grace');
  await page.call('navigate', { url: `${elsewhere}/` });
  await expect(status({ ...account, patience: 3000 })).rejects.toMatchObject({ code: 'no_majority' });
  await page.call('navigate', { url: `${home}/` });
  expect(await status(account)).toMatchObject({ state: 'none' });
});
