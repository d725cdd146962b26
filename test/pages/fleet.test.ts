/** The transparency page of a real fleet, served by its cosigner next to its log; and behind somebody who changes what passes. */

import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { findBrowser, NO_BROWSER } from '../../scripts/browser.ts';
import type { AuditReport, AuditStepId } from '../../src/audit/index.ts';
import { fromUtf8, utf8 } from '../../src/core/index.ts';
import type { FleetFolder } from '../../src/fleet/index.ts';
import { parseTrustAnchor } from '../../src/trust/index.ts';
import { TestFleet } from '../fleet/launcher.ts';
import { accessibilityFaults } from './axe.ts';
import { openBrowser, overflows, shoot, VIEWS, Visit, type VisitOptions } from './browser.ts';
import { type Built, build } from './built.ts';

const resources = new AsyncDisposableStack();
let browser: Browser;
let fleet: TestFleet;
let built: Built;
/** The cosigner's own address. */
let site: string;
/** The same behind the one who tampers. */
let between: string;
type Tamper = (path: string, body: Uint8Array) => Uint8Array | undefined;
let tamper: Tamper = (_path, body) => body;

beforeAll(async () => {
  // Said before the fleet takes its time.
  if (findBrowser() === undefined) throw new Error(NO_BROWSER);
  built = await build('transparency');
  fleet = resources.use(await TestFleet.launch({ coordinators: 1, log: true, prepare: withPage }));
  const { folder } = fleet;
  site = parseTrustAnchor(readFileSync(folder.client, 'utf8')).sources[0]!;
  between = await startBetween();
  browser = await openBrowser();
  resources.defer(() => browser.close());
  await recorded();
});
afterAll(() => resources.disposeAsync());
afterEach(() => {
  tamper = (_path, body) => body;
});

/** The cosigner serves the page as it was just built. */
function withPage(folder: FleetFolder): void {
  const path = folder.configuration('cosigner');
  const configuration = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...configuration, page: { directory: built.folder } }));
}

/** Nodes are asked for their limits some seconds after they serve; the audit knows when that is in the log. */
async function recorded(): Promise<void> {
  const end = performance.now() + 240_000;
  for (;;) {
    const { code, stdout } = await fleet.run(['audit', site, '--json']);
    const { steps } = JSON.parse(stdout.toString('utf8')) as AuditReport;
    const record = steps?.find(({ id }) => id === 'service-record');
    if (code === 0 && record?.state !== 'not_checked') return;
    if (performance.now() > end) throw new Error(`the fleet cannot be audited: ${stdout}`);
    await new Promise((done) => setTimeout(done, 500));
  }
}

/** Whoever stands between a visitor and the cosigner. */
async function startBetween(): Promise<string> {
  const answer = async ({ url = '/' }: IncomingMessage, response: ServerResponse) => {
    const found = await fetch(`${site}${url}`);
    const body = tamper(url, new Uint8Array(await found.arrayBuffer()));
    const headers = Object.fromEntries(
      [...found.headers].filter(
        ([name]) => !/^(content-(length|encoding)|etag|connection|keep-alive|transfer-encoding)$/.test(name),
      ),
    );
    response.writeHead(body ? found.status : 404, headers).end(body);
  };
  const server: Server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  resources.defer(async () => {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const visit = (address: string, view: VisitOptions = VIEWS.light) =>
  Visit.to(browser, `${address}/`, { ...view, origins: [site] });
const audited = async ({ page }: Visit) => {
  await page.getByRole('button', { name: 'Check it yourself' }).click();
  await page.locator('.verdict-title').waitFor();
};
const clean = ({ violations, errors, elsewhere }: Visit) => ({ violations, errors, elsewhere });
const CLEAN = { violations: [], errors: [], elsewhere: [] };
const states = ({ page }: Visit) =>
  page.locator('[data-step]').evaluateAll((rows) =>
    rows.map((row) => {
      const { step, state, code } = (row as HTMLElement).dataset;
      return [step, code ?? state];
    }),
  );

describe('a fleet that is in order', () => {
  test('is found in order by whoever visits its cosigner', async () => {
    await using one = await visit(site);
    await one.page.getByRole('heading', { name: 'Log and witnesses' }).waitFor();
    const main = one.page.getByRole('main');
    // SoftHSM is what these nodes have, and the page says what that is worth.
    expect(await main.locator('.claim').allTextContents()).toEqual(
      Array.from({ length: 3 }, () =>
        expect.stringMatching(/only imitates a token \(.*SoftHSM.*\)\. That protects nothing/),
      ),
    );
    await audited(one);
    expect(await one.page.locator('.verdict-title').textContent()).toBe('No step failed');
    const said = (await one.page.locator('#check').textContent())!;
    console.log(
      `the audit in the browser, of a real fleet of three nodes: ${/Took [^.]*\.?\d* seconds[^.]*/.exec(said)?.[0]}`,
    );
    await shoot(one.page, 'fleet-audited');
    expect(clean(one)).toEqual(CLEAN);
  });

  test('is judged the same by the command', async () => {
    await using one = await visit(site);
    await audited(one);
    const { steps } = (await fleet.ok('audit', site)) as unknown as AuditReport;
    expect(await states(one)).toEqual(steps.map(({ id, state }) => [id, state]));
  });

  test.each(Object.entries(VIEWS))('can be read by everybody: %s', async (_name, view) => {
    await using one = await visit(site, view);
    await audited(one);
    expect(await accessibilityFaults(one.page)).toEqual([]);
    expect(await overflows(one.page)).toBe(false);
    expect(clean(one)).toEqual(CLEAN);
  });

  test('can be judged by the application’s own trust anchor', async () => {
    await using one = await visit(site);
    await one.page.getByText('Use your own trust anchor').click();
    await one.page.getByLabel('or choose the file').setInputFiles(fleet.folder.client);
    await one.page.getByText('Will be used: the trust anchor').first().waitFor();
    await audited(one);
    expect((await states(one))[0]).toEqual(['anchor', 'passed']);
  });
});

const flip = (body: Uint8Array, at: number) => {
  const changed = Uint8Array.from(body);
  changed[at]! ^= 1;
  return changed;
};
const swap = (body: Uint8Array, from: RegExp, to: string) => {
  const text = fromUtf8(body);
  if (!from.test(text)) throw new Error(`there is no ${from} in what is to be tampered with`);
  return utf8(text.replace(from, to));
};

describe('whoever changes on the way', () => {
  test.each<[string, AuditStepId, RegExp, Tamper]>([
    [
      'a piece of evidence',
      'evidence',
      /^evidence_/,
      (path, body) => (path.startsWith('/evidence/') ? flip(body, 90) : body),
    ],
    [
      'the limit in the bundle',
      'bundle',
      /^signature_invalid$/,
      (path, body) => (/^\/trust\/[a-z]+$/.test(path) ? swap(body, /\\"limit\\":10/, '\\"limit\\":11') : body),
    ],
    ['an entry in a tile', 'log', /./, (path, body) => (path.startsWith('/tile/entries/') ? flip(body, 400) : body)],
    [
      'the size in the checkpoint',
      'checkpoint',
      /^signature_invalid$/,
      (path, body) => (path === '/checkpoint' ? swap(body, /\n(\d+)\n/, '\n1$1\n') : body),
    ],
    [
      'the witnesses’ signatures in the checkpoint',
      'witnesses',
      /^quorum_not_met$/,
      (path, body) => (path === '/checkpoint' ? swap(body, /(\n\n— [^\n]+\n)[\s\S]*/, '$1') : body),
    ],
    [
      'the rules, by a word',
      'anchor',
      /./,
      (path, body) => (path === '/anchor.json' ? swap(body, /maxAge/, 'maxage') : body),
    ],
    [
      'nothing, but keeps evidence back',
      'evidence',
      /^evidence_/,
      (path, body) => (path.startsWith('/evidence/') ? undefined : body),
    ],
  ])('%s is found out at the right step', async (_what, step, code, how) => {
    await using one = await visit(between);
    tamper = how;
    await audited(one);
    const failed = (await states(one)).filter(([, state]) => !['passed', 'stated', 'not_checked'].includes(state!));
    expect(failed[0]).toEqual([step, expect.stringMatching(code)]);
    expect(await one.page.locator('.verdict-title').textContent()).toMatch(/steps? failed$/);
    const row = one.page.locator(`[data-step="${step}"]`).first();
    expect(await row.locator('.notice-bad').textContent()).toMatch(/^What a failure means: .{30,}/);
    expect(clean(one)).toMatchObject({ violations: [], errors: [] });
  });

  test('the page itself cannot make it run anything', async () => {
    tamper = (path, body) => (path.endsWith('.js') ? utf8(`${fromUtf8(body)};document.title='mine'`) : body);
    await using one = await visit(between);
    // Subresource Integrity: what is not the built script does not run.
    await one.page.waitForLoadState();
    expect(await one.page.title()).not.toBe('mine');
    expect(await one.page.locator('h1').count()).toBe(0);
  });
});
