/** The operator's dashboard in a real browser, over a fleet of real processes on real tokens. */

import { readFileSync, statSync, writeFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseJson } from '../../src/core/index.ts';
import { TestFleet } from '../fleet/launcher.ts';
import { accessibilityFaults } from './axe.ts';
import { hold, openBrowser, overflows, shoot, VIEWS, Visit } from './browser.ts';
import { build } from './built.ts';

const PIN = '8351-spring';
const WRONG = 'not-the-credential-of-this-dashboard';

const resources = new AsyncDisposableStack();
let browser: Browser;
let fleet: TestFleet;
let url: string;
let credential: string;
/** Every cookie that a session had. */
const sessions: string[] = [];

beforeAll(async () => {
  browser = await openBrowser();
  resources.defer(() => browser.close());
  const { folder } = await build('dashboard');
  fleet = resources.use(await TestFleet.launch({ nodes: 3, coordinators: 1, log: true }));
  // The page under test, and looks often enough to wait for.
  await fleet.ok('fleet', 'kill', fleet.folder.path, 'coordinator-1');
  const path = fleet.folder.configuration('coordinator-1');
  const configuration = JSON.parse(readFileSync(path, 'utf8'));
  Object.assign(configuration.dashboard, { pageDirectory: folder, intervalMilliseconds: 500 });
  writeFileSync(path, JSON.stringify(configuration));
  await fleet.ok('fleet', 'start', fleet.folder.path, 'coordinator-1');
  const { dashboards } = await fleet.until(({ serving, announced }) => serving && announced);
  url = dashboards!.urls['coordinator-1']!;
  credential = readFileSync(dashboards!.credentialFile, 'utf8').trim();
});
afterAll(() => resources.disposeAsync());

const clean = (visit: Visit) =>
  expect({ ...visit, page: undefined }).toMatchObject({ violations: [], errors: [], elsewhere: [] });

async function signIn(page: Page, presented = credential): Promise<void> {
  await page.getByLabel('Credential', { exact: true }).fill(presented);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** A visit that has signed in and sees the fleet. */
async function visit(options: Parameters<typeof Visit.to>[2] = {}): Promise<Visit> {
  const opened = await Visit.to(browser, url, options);
  await signIn(opened.page);
  await opened.page.getByRole('heading', { level: 2, name: /^Recoveries/ }).waitFor();
  for (const { value } of await opened.page.context().cookies()) sessions.push(value);
  return opened;
}

const alarm = (page: Page, title: string | RegExp) => page.getByRole('heading', { level: 3, name: title });
/** What a tile of the last hour says. */
const tile = async (page: Page, name: string) => {
  const text = await page.locator('.tile', { hasText: name }).locator('dd').textContent();
  return Number(text!.replaceAll(',', ''));
};

/** What the page shows after one of its next looks. */
const comesTo = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 180_000, interval: 200 });

async function enrol(subject: string): Promise<string[]> {
  const user = await fleet.user(subject);
  const pin = ['--user', user, '--pin-file', fleet.file('pin', `${PIN}\n`)];
  await fleet.ok('secret', 'put', ...pin, '--secret-file', fleet.file('secret', 'nothing that a page may show'));
  return pin;
}

describe('where it is', () => {
  test('is told by the fleet’s status, with the file that has the credential', async () => {
    const { stdout } = await fleet.run(['fleet', 'status', fleet.folder.path]);
    const text = stdout.toString('utf8');
    expect(text).toContain(`dashboard: ${url}, which asks for what is in ${fleet.folder.dashboardCredential}`);
    expect(text).not.toContain(credential);
    expect(statSync(fleet.folder.dashboardCredential).mode & 0o777).toBe(0o600);
  });
});

describe('who gets in', () => {
  test('is nobody with a wrong credential, by its exact code and without a detail', async () => {
    await using opened = await Visit.to(browser, url);
    const { page } = opened;
    const answered = page.waitForResponse((response) => response.url().endsWith('/v1/operator/session'));
    await signIn(page, WRONG);
    expect((await answered).status()).toBe(401);
    const response = await fetch(`${url}v1/operator/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ credential: WRONG }),
    });
    expect(response.status).toBe(401);
    const { code, detail } = parseJson(await response.text(), 'malformed').value as { code: string; detail: string };
    expect(code).toBe('not_authenticated');
    expect(detail).toBe('sign in with the operator’s credential of this coordinator');
    await page.getByRole('alert').filter({ hasText: 'This is not the credential of this dashboard.' }).waitFor();
    expect(await page.getByLabel('Credential', { exact: true }).getAttribute('aria-invalid')).toBe('true');
    expect(await page.context().cookies()).toEqual([]);
    expect(await page.getByText('node-1').count()).toBe(0);
    clean(opened);
  });

  test('is the operator, by a cookie that no script can read, until they sign out', async () => {
    await using opened = await visit();
    const { page } = opened;
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    expect(await page.evaluate(() => document.cookie)).toBe('');
    await page.reload();
    await page.getByRole('heading', { level: 2, name: 'Recoveries work' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Credential', { exact: true }).waitFor();
    const headers = { cookie: `${cookie!.name}=${cookie!.value}` };
    expect((await fetch(`${url}v1/operator/overview`, { headers })).status).toBe(401);
    clean(opened);
  });
});

describe('who has signed in', () => {
  test('need not do so again because the first answer is late', async () => {
    await using opened = await visit();
    const { page } = opened;
    const address = '**/v1/operator/overview';
    await page.route(address, (route) => route.abort());
    await page.reload();
    await page.getByText('This coordinator has not answered yet.').waitFor();
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.unroute(address);
    await page.getByRole('heading', { level: 2, name: 'Recoveries work' }).waitFor();
    clean(opened);
  });
});

describe('who signs out', () => {
  test('is told where that did not work, and is signed in still', async () => {
    await using opened = await visit();
    const { page } = opened;
    const address = '**/v1/operator/session';
    await page.route(address, (route) => route.abort());
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('alert').filter({ hasText: 'You are still signed in' }).waitFor();
    expect(await page.getByLabel('Credential', { exact: true }).count()).toBe(0);
    await page.unroute(address);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Credential', { exact: true }).waitFor();
    clean(opened);
  });

  test('is shown nothing that comes late, not in the title either', async () => {
    await using opened = await visit();
    const { page } = opened;
    const { reached, release } = await hold(page, '**/v1/operator/overview');
    await reached;
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
    await release();
    expect(await page.title()).toContain('Sign in');
    clean(opened);
  });
});

describe('what is shown', () => {
  test('is the fleet, its bundle and its witnesses, as one coordinator sees them', async () => {
    await using opened = await visit();
    const { page } = opened;
    await page.getByText('As coordinator-1 sees it, the only coordinator.').waitFor();
    await page.getByText('3 of 3 nodes serve; 2 are needed.').waitFor();
    await page.getByText('One more node may fail.').waitFor();
    const nodes = page.getByRole('region', { name: 'Nodes, table', exact: true });
    for (const name of ['node-1', 'node-2', 'node-3']) {
      await nodes.getByRole('row', { name: new RegExp(`${name}.*Serving`) }).waitFor();
    }
    await page.getByText(/^serial 1, epoch 1$/).waitFor();
    await page.getByText('Accepted', { exact: true }).waitFor();
    await comesTo(() => page.locator('#log ~ div li').count()).toBeGreaterThanOrEqual(2);
    await page.getByText('The fleet’s trust file').waitFor();
    clean(opened);
  });

  test('changes with what is done: attempts, right PINs, records, the token’s latency and the plots', async () => {
    await using opened = await visit();
    const { page } = opened;
    const before = await tile(page, 'Attempts');
    const pin = await enrol('alice');
    await fleet.ok('secret', 'get', ...pin);
    await fleet.json(3, 'secret', 'get', pin[0]!, pin[1]!, '--pin-file', fleet.file('wrong', '0000-winter\n'));
    await fleet.ok('secret', 'delete', ...pin);
    await page.waitForFunction((least) => Number(document.querySelector('.tile dd')?.textContent) >= least, before + 3);
    // Figures of one look are of several nodes, each at a moment of its own.
    await comesTo(async () => (await tile(page, 'Attempts')) - (await tile(page, 'Right PINs'))).toBeGreaterThan(0);
    await comesTo(() => tile(page, 'Records enrolled')).toBeGreaterThanOrEqual(1);
    await page.waitForFunction(() => Number(document.querySelectorAll('.tile dd')[3]?.textContent) >= 1);
    await comesTo(() => tile(page, 'Anchor writes')).toBeGreaterThan(0);
    const tokens = page.getByRole('region', { name: 'Token latency, table', exact: true });
    await tokens
      .getByText(/p95 [\d.]+\s(µs|ms)/)
      .first()
      .waitFor();
    const plot = page.locator('figure', { has: page.getByRole('heading', { name: 'Attempts', exact: true }) });
    await plot.getByText('As a table').click();
    await page.waitForFunction(() =>
      [...document.querySelectorAll('figure td')].some(({ textContent }) => Number(textContent) > 0),
    );
    await comesTo(() => plot.getByRole('img').getAttribute('aria-label')).toMatch(/Attempts: from 0 to [1-9]/);
    await shoot(page, 'dashboard-after-attempts');
    clean(opened);
  });

  test('names no record, user or tenant', async () => {
    const pin = await enrol('carol-of-accounting');
    await fleet.ok('secret', 'get', ...pin);
    await using opened = await visit();
    const text = (await opened.page.locator('body').textContent()) ?? '';
    const overview = await (
      await fetch(`${url}v1/operator/overview`, { headers: { authorization: `Bearer ${credential}` } })
    ).text();
    for (const shown of [text, overview]) {
      expect(shown).not.toMatch(/carol|accounting|tenant\.invalid|nothing that a page may show/);
      // Record ids have 64 hexadecimal digits or 43 of base64url; of digests, only the bundle’s is there.
      expect(shown.replace(/"digest":"[0-9a-f]{64}"/, '')).not.toMatch(/[0-9a-f]{64}/);
    }
    expect(overview.replace(/"digest":"[0-9a-f]{64}"/, '')).not.toMatch(/[\w-]{43}/);
  });
});

describe('a node that is killed', () => {
  test('is down in the right words, and so is the fleet, until they are back', async () => {
    await using opened = await visit();
    const { page } = opened;
    await fleet.ok('fleet', 'kill', fleet.folder.path, 'node-2');
    await alarm(page, 'node-2 is down').waitFor();
    await alarm(page, 'One more node down and recoveries stop').waitFor();
    await page.getByText('No further node may fail.').waitFor();
    await page.getByRole('status').filter({ hasText: 'node-2 is down' }).first().waitFor({ state: 'attached' });
    await page
      .getByRole('region', { name: 'Nodes, table', exact: true })
      .getByRole('row', { name: /node-2.*Down/ })
      .waitFor();
    await comesTo(() => page.title()).toContain('(2) Recoveries work');
    await fleet.ok('fleet', 'kill', fleet.folder.path, 'node-3');
    await page.getByRole('heading', { level: 2, name: 'Recoveries have stopped' }).waitFor();
    await alarm(page, 'Recoveries have stopped').waitFor();
    await shoot(page, 'dashboard-stopped');
    expect(await accessibilityFaults(page)).toEqual([]);
    await fleet.ok('fleet', 'start', fleet.folder.path, 'node-2', 'node-3');
    await page.getByRole('heading', { level: 2, name: 'Recoveries work' }).waitFor();
    await page.getByText('3 of 3 nodes serve; 2 are needed.').waitFor();
    await alarm(page, /is down/).waitFor({ state: 'detached' });
    const strip = page.getByRole('img', { name: /^node-2: .*Down/ });
    await strip.waitFor();
    clean(opened);
  });
});

describe('a keyboard', () => {
  test('chooses the time range, opens tables and reaches every control', async () => {
    await using opened = await visit();
    const { page } = opened;
    await page.getByRole('radio', { name: '15 minutes' }).focus();
    const asked = page.waitForResponse((response) => response.url().includes('range=1h'));
    await page.keyboard.press('ArrowRight');
    await asked;
    expect(await page.getByRole('radio', { name: '1 hour' }).isChecked()).toBe(true);
    await page.getByText(/Each value stands for 20 seconds/).waitFor();
    await page.keyboard.press('Tab');
    const opens = () => page.evaluate(() => document.activeElement?.tagName);
    expect(await opens()).toBe('SUMMARY');
    await page.keyboard.press('Enter');
    await page.getByRole('region', { name: 'Condition of each node, table' }).waitFor();
    await page.getByRole('button', { name: 'Pause updates' }).press('Enter');
    await page.getByRole('button', { name: 'Resume updates' }).press('Enter');
    await page.getByLabel('Operation').first().selectOption('Write anchor');
    await page.getByRole('link', { name: 'Skip to the overview' }).focus();
    await page.keyboard.press('Enter');
    clean(opened);
  });
});

describe.each(Object.entries(VIEWS))('%s', (name, view) => {
  test('keeps the rules of accessibility and its own policy, before and after signing in', async () => {
    await using opened = await Visit.to(browser, url, view);
    const { page } = opened;
    await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
    await shoot(page, `dashboard-sign-in-${name}`);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(await overflows(page)).toBe(false);
    await signIn(page);
    await page.getByRole('heading', { level: 2, name: 'Recoveries work' }).waitFor();
    await page.locator('.u-over').first().waitFor();
    await shoot(page, `dashboard-${name}`);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(await overflows(page)).toBe(false);
    clean(opened);
  });
});

describe('a coordinator that is gone', () => {
  test('is said, with what it said last, and asks anew who one is when it is back', async () => {
    await using opened = await visit();
    const { page } = opened;
    await fleet.ok('fleet', 'kill', fleet.folder.path, 'coordinator-1');
    await page.getByText(/This coordinator has not answered since .* UTC/).waitFor();
    await page.getByText('3 of 3 nodes serve; 2 are needed.').waitFor();
    await fleet.ok('fleet', 'start', fleet.folder.path, 'coordinator-1');
    await page.getByText('Your session has ended. Sign in again to go on.').waitFor();
    await signIn(page);
    await page.getByRole('heading', { level: 2, name: 'Recoveries work' }).waitFor();
    clean(opened);
  });
});

describe('the logs', () => {
  test('hold who came and who was refused, and no credential or session', () => {
    const logs = fleet.logs();
    expect(logs).toContain('operator signed in');
    expect(logs).toContain('operator refused');
    expect(sessions.length).toBeGreaterThan(5);
    for (const secret of [credential, WRONG, ...sessions]) expect(logs).not.toContain(secret);
  });
});
