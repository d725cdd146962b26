/** Serves built pages on loopback as the services do, for tests of pages that no service is needed for. */

import { type FastifyInstance, fastify } from 'fastify';
import { addPage, readPage } from '../../src/http/index.ts';

export class PageHost implements AsyncDisposable {
  readonly app: FastifyInstance;
  /** Paths of all requests, in order, without those of the page's own files. */
  readonly requests: string[] = [];
  #url: string | undefined;

  private constructor(app: FastifyInstance) {
    this.app = app;
  }

  /** Pages by the path they are served at, each ending in a slash; `routes` adds what they talk to. */
  static async start(
    pages: Readonly<Record<string, string>>,
    routes: (app: FastifyInstance) => void = () => {},
  ): Promise<PageHost> {
    const app = fastify({ logger: false, forceCloseConnections: true });
    const host = new PageHost(app);
    const own = new Set<string>();
    for (const [prefix, folder] of Object.entries(pages)) {
      const page = await readPage(folder);
      addPage(app, page, prefix);
      for (const { name } of page.files) own.add(`${prefix}${name}`);
      own.add(prefix);
    }
    app.addHook('onRequest', async ({ url }) => {
      if (!own.has(url.split('?', 1)[0]!)) host.requests.push(url);
    });
    routes(app);
    host.#url = await app.listen({ host: '127.0.0.1', port: 0 });
    return host;
  }

  /** Of the form `http://127.0.0.1:PORT`. */
  get url(): string {
    return this.#url!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close();
  }
}
