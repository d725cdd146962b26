/**
 * Chromium for tests of pages, by playwright-core. Each visit counts what the page's policy stopped, what it logged as an
 * error and what it asked of hosts that it was not served by.
 */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page, type Request } from 'playwright-core';
import { findBrowser, NO_BROWSER } from '../../scripts/browser.ts';

/** Milliseconds for the browser to start, and for anything that a page is to show: only what hangs takes so long. */
const PATIENCE = 180_000;

/** Starts a browser; the test closes it. @throws Error where none is found. */
export async function openBrowser(...more: readonly string[]): Promise<Browser> {
  const command = findBrowser();
  if (command === undefined) throw new Error(NO_BROWSER);
  const executablePath = execFileSync('which', [command], { encoding: 'utf8' }).trim();
  return await chromium.launch({
    executablePath,
    timeout: PATIENCE,
    // Tests run as root in containers, where Chromium's own sandbox cannot; the pages are ours.
    chromiumSandbox: false,
    args: ['--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-proxy-server', ...more],
  });
}

export interface VisitOptions extends BrowserContextOptions {
  /** Origins besides that of the address that the page may talk to. */
  readonly origins?: readonly string[];
  /** Called before the page loads. */
  readonly prepare?: (page: Page) => Promise<void>;
}

/** A page in a context of its own, and what went wrong in it. */
export class Visit implements AsyncDisposable {
  readonly page: Page;
  /** What the Content Security Policy stopped. */
  readonly violations: string[] = [];
  /** Errors in the console and exceptions that nobody caught. */
  readonly errors: string[] = [];
  /** Addresses of other origins that the page asked for. */
  readonly elsewhere: string[] = [];

  private constructor(page: Page) {
    this.page = page;
  }

  static async to(browser: Browser, address: string, options: VisitOptions = {}): Promise<Visit> {
    const { origins = [], prepare, ...context } = options;
    const opened = await browser.newContext({ locale: 'en-GB', ...context });
    const visit = new Visit(await opened.newPage());
    await visit.#watch([new URL(address).origin, ...origins]);
    await prepare?.(visit.page);
    await visit.page.goto(address);
    return visit;
  }

  async #watch(origins: readonly string[]): Promise<void> {
    const { page } = this;
    page.setDefaultTimeout(PATIENCE);
    page.on('pageerror', ({ message }) => this.errors.push(message));
    page.on('console', (message) => {
      const text = message.text();
      if (/Content Security Policy|TrustedHTML|TrustedScript/.test(text)) this.violations.push(text);
      // A refused request is logged by the browser itself, and may be what a test is about.
      else if (message.type() === 'error' && !text.startsWith('Failed to load resource')) this.errors.push(text);
    });
    page.on('request', (request: Request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== 'blob:' && protocol !== 'data:' && !origins.includes(origin)) this.elsewhere.push(request.url());
    });
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
        console.error(`Content Security Policy: ${violatedDirective} ${blockedURI}`),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.page.context().close();
  }
}

/** Light, dark and as narrow as WCAG 2.2 (1.4.10) asks for: each page has to hold in all. */
export const VIEWS = {
  light: { colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  dark: { colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  narrow: { colorScheme: 'light', viewport: { width: 320, height: 640 } },
  'narrow-dark': { colorScheme: 'dark', viewport: { width: 320, height: 640 } },
} as const satisfies Record<string, BrowserContextOptions>;

/** Keeps a picture of the whole page where `HOLDFAST_SHOTS` names a folder for a person who looks; else does nothing. */
export async function shoot(page: Page, name: string): Promise<void> {
  const folder = process.env.HOLDFAST_SHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

/**
 * Gives a page time to do what it has to do with what came, for a test that nothing is to come of it: so many turns, each with work
 * outside its thread. Neither timers nor idle periods, which a page in the background hardly has.
 */
async function settle(page: Page): Promise<void> {
  for (let i = 0; i < 50; i++) {
    await page.evaluate(() => crypto.subtle.digest('SHA-256', new Uint8Array(4096)).then(() => {}));
  }
}

/** Answers to the page that wait. */
export interface Held {
  /** Done once the page has asked. */
  readonly reached: Promise<void>;
  /** Lets what is here and whatever comes pass, and waits until the page has done what it does with the first of them. */
  release(): Promise<void>;
}

/** Holds the answers that a page gets from such an address. */
export async function hold(page: Page, address: string): Promise<Held> {
  const reached = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  await page.route(address, async (route) => {
    const response = await route.fetch({ timeout: PATIENCE });
    reached.resolve();
    await released.promise;
    await route.fulfill({ response });
    await (await route.request().response())?.finished();
    answered.resolve();
  });
  return {
    reached: reached.promise,
    release: async () => {
      released.resolve();
      await answered.promise;
      await settle(page);
      await page.unroute(address);
    },
  };
}

/** Whether the page needs to be moved sideways to be read. */
export async function overflows(page: Page): Promise<boolean> {
  return await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
}
