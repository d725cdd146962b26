/** Starts headless Chromium on one address, with a profile of its own, and ends it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBrowser, NO_BROWSER } from '../../scripts/browser.ts';

export interface BrowserOptions {
  readonly url: string;
  /** PEM certificates whose keys the browser takes although it does not know their authority. */
  readonly certificates: readonly string[];
  /** Told once, with the end of what it said, if it ends unasked. */
  readonly onEnd: (error: Error) => void;
}

const keyHash = (pem: string) =>
  createHash('sha256')
    .update(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64');

export class Browser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #ended: Promise<void>;
  #closing = false;

  /** @throws Error where no browser is found. */
  constructor({ url, certificates, onEnd }: BrowserOptions) {
    const command = findBrowser();
    if (command === undefined) throw new Error(NO_BROWSER);
    this.#profile = mkdtempSync(join(tmpdir(), 'browser-'));
    this.#child = spawn(
      command,
      [
        '--headless',
        // Tests run as root in containers, where Chromium's own sandbox cannot; the page is ours.
        '--no-sandbox',
        '--disable-gpu',
        '--disable-dev-shm-usage',
        '--disable-quic',
        '--no-proxy-server',
        '--no-first-run',
        '--no-default-browser-check',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--disable-extensions',
        '--password-store=basic',
        `--ignore-certificate-errors-spki-list=${certificates.map(keyHash).join(',')}`,
        `--user-data-dir=${this.#profile}`,
        url,
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: this.#profile } },
    );
    let said = '';
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-2000);
    });
    process.once('exit', this.#kill);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    const ended = (why: string) => {
      process.off('exit', this.#kill);
      resolve();
      if (!this.#closing) onEnd(new Error(`${command} ended (${why}): ${said}`));
    };
    this.#child.once('error', ({ message }) => ended(message));
    this.#child.once('close', (code, signal) => ended(signal ?? `exit code ${code}`));
  }

  readonly #kill = (): void => void this.#child.kill('SIGKILL');

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(this.#kill, 60_000);
    await this.#ended;
    clearTimeout(timer);
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
