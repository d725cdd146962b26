/** The transparency page in a real browser. */

import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accessibilityFaults } from './axe.ts';
import { openBrowser, overflows, shoot, VIEWS, Visit } from './browser.ts';
import { build } from './built.ts';
import { PageHost } from './server.ts';

const resources = new AsyncDisposableStack();
let browser: Browser;
let host: PageHost;

beforeAll(async () => {
  browser = await openBrowser();
  resources.defer(() => browser.close());
  host = resources.use(await PageHost.start({ '/': (await build('transparency')).folder }));
});
afterAll(() => resources.disposeAsync());

describe.each(Object.entries(VIEWS))('%s', (name, view) => {
  test('keeps the rules of accessibility and its own policy', async () => {
    await using visit = await Visit.to(browser, `${host.url}/`, view);
    await visit.page.getByRole('heading', { level: 1 }).waitFor();
    await shoot(visit.page, `transparency-${name}`);
    expect(await accessibilityFaults(visit.page)).toEqual([]);
    expect(await overflows(visit.page)).toBe(false);
    expect({ ...visit, page: undefined }).toMatchObject({ violations: [], errors: [], elsewhere: [] });
  });
});
