/** Serves the page under a strict Content Security Policy (CSP level 3), hands it commands and takes its reports. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { CommandName, Commands, Report, ReportedError } from './commands.ts';

/** Milliseconds for the browser to start and to answer: only what hangs takes so long. */
const PATIENCE = 240_000;

/** What the page reported of a failed command. */
export class PageError extends Error {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor({ code, message, details }: ReportedError) {
    super(message);
    this.code = code;
    this.details = details ?? {};
  }
}

interface Waiting {
  readonly done: (report: Report) => void;
  readonly fail: (error: Error) => void;
}

export class PageServer implements AsyncDisposable {
  /** What the page was stopped from doing by its policy. */
  readonly violations: string[] = [];
  readonly #files: ReadonlyMap<string, string>;
  readonly #servers: Server[] = [];
  readonly #commands: { readonly id: number; readonly body: string }[] = [];
  readonly #waiting = new Map<number, Waiting>();
  /** The page's request for its next command, while there is none. */
  #idle: ServerResponse | undefined;
  #connectTo: readonly string[] = [];
  #next = 1;

  constructor(files: ReadonlyMap<string, string>) {
    this.#files = files;
  }

  /** Serves the page at one more origin, and gives it. */
  async listen(): Promise<string> {
    const server = createServer((request, response) => void this.#answer(request, response));
    this.#servers.push(server);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** Origins that the policy lets the page connect to, besides its own. */
  allow(...origins: readonly string[]): void {
    this.#connectTo = origins;
  }

  /** Has the page run a command. @throws PageError what it reported. */
  async call<N extends CommandName>(name: N, words: Commands[N][0]): Promise<Commands[N][1]> {
    const id = this.#next++;
    this.#commands.push({ id, body: JSON.stringify({ id, name, arguments: words }) });
    const { promise, resolve, reject } = Promise.withResolvers<Report>();
    this.#waiting.set(id, { done: resolve, fail: reject });
    const timer = setTimeout(() => this.fail(new Error(`the page did not answer ${name} in time`)), PATIENCE);
    this.#dispatch();
    try {
      const { error, value } = await promise;
      if (error) throw new PageError(error);
      return value as Commands[N][1];
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends every command that is under way: the browser is gone. */
  fail(error: Error): void {
    for (const { fail } of this.#waiting.values()) fail(error);
    this.#waiting.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await once(server.close(), 'close');
    }
  }

  #dispatch(): void {
    const command = this.#idle && this.#commands.shift();
    if (!command) return;
    this.#idle?.setHeader('content-type', 'application/json').end(command.body);
    this.#idle = undefined;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/';
    if (request.method === 'POST') {
      const body = JSON.parse(await text(request)) as unknown;
      if (path === '/violation') this.violations.push(String(body));
      else this.#settle(body as Report);
      response.writeHead(204).end();
    } else if (path === '/command') {
      this.#idle = response;
      // A page that was left must not be handed the next page's command.
      response.once('close', () => {
        if (this.#idle === response) this.#idle = undefined;
      });
      this.#dispatch();
    } else if (path.endsWith('.js')) {
      const code = this.#files.get(path.slice(1));
      response.writeHead(code === undefined ? 404 : 200, { 'content-type': 'text/javascript' }).end(code);
    } else if (path === '/' || path === '/without-wasm') {
      response
        .writeHead(200, {
          'content-type': 'text/html; charset=utf-8',
          'content-security-policy': this.#policy(path === '/'),
        })
        .end('<!doctype html><title>Holdfast</title><script type="module" src="/page.js"></script>');
    } else {
      response.writeHead(404).end();
    }
  }

  #settle(report: Report): void {
    this.#waiting.get(report.id)?.done(report);
    this.#waiting.delete(report.id);
  }

  /** What docs/browser.md recommends, with `wasm-unsafe-eval` or without. */
  #policy(wasm: boolean): string {
    return [
      "default-src 'none'",
      `script-src 'self'${wasm ? " 'wasm-unsafe-eval'" : ''}`,
      ["connect-src 'self'", ...this.#connectTo].join(' '),
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ].join('; ');
  }
}
