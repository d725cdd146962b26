/**
 * The server of the example application (src/pages/client), for development: it hands out the page and user tokens of the
 * fleet's development tenant to whoever says a name, keeps encrypted backups in memory, and passes requests on to the
 * fleet's coordinators and log, so that the page needs neither their addresses in its policy nor their authority.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify';
import { Agent, request } from 'undici';
import { createUserToken, OPERATIONS, recordId } from '../../src/access/index.ts';
import { fromBase64Url, parseJson } from '../../src/core/index.ts';
import { FleetFolder, readPlan, readTenantKey } from '../../src/fleet/index.ts';
import { addPage, type Page } from '../../src/http/index.ts';
import { parseTrustAnchor, parseTrustFile } from '../../src/trust/index.ts';

/** Bytes of one backup, and how many are kept of each person: the one in use, and the one before a change of keys. */
const MAXIMUM_BACKUP = 16 * 1024 * 1024;
const BACKUPS_EACH = 4;
const TOKEN_SECONDS = 3600;
const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

export interface ExampleOptions {
  /** A fleet's folder, as `fleet create` makes it, with a log. */
  readonly fleet: string;
  readonly page: Page;
  /** 0 for any. */
  readonly port?: number;
}

interface Backup {
  readonly id: string;
  readonly savedAt: number;
  readonly bytes: Buffer;
}

export class ExampleServer implements AsyncDisposable {
  readonly #app: FastifyInstance;
  readonly #agent: Agent;
  readonly #people = new Map<string, Backup[]>();
  #url = '';

  private constructor(app: FastifyInstance, agent: Agent) {
    this.#app = app;
    this.#agent = agent;
  }

  static async start({ fleet, page, port = 0 }: ExampleOptions): Promise<ExampleServer> {
    const folder = new FleetFolder(fleet);
    const anchor = readFileSync(folder.client, 'utf8');
    const { sources, authority: ofSources } = parseTrustAnchor(anchor);
    const trust = parseTrustFile(readFileSync(folder.trust, 'utf8'), { now: Date.now() });
    const { coordinators, authority: ofCoordinators } = trust;
    const authorities = [ofSources, ofCoordinators].filter((pem) => pem !== undefined);
    const app = fastify({ logger: false, forceCloseConnections: true, bodyLimit: MAXIMUM_BACKUP });
    const server = new ExampleServer(app, new Agent({ connect: { ca: authorities } }));
    // Bodies are passed on and kept as they are.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    addPage(app, page);
    app.get('/app/configuration', async () => ({ anchor }));
    app.post('/app/session', async (asked) => await session(folder, bodyOf(asked)));
    server.#backups();
    server.#passOn(new Set([...sources, ...coordinators].map((url) => new URL(url).origin)));
    server.#url = await app.listen({ host: '127.0.0.1', port });
    return server;
  }

  /** WebAuthn takes names only, and this one is always this machine. */
  get url(): string {
    return this.#url.replace('127.0.0.1', 'localhost');
  }

  /** What is kept of a person, newest first. */
  backupsOf(name: string): readonly Backup[] {
    return this.#people.get(name) ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#app.close();
    await this.#agent.close();
  }

  #backups(): void {
    interface Named {
      Params: { name: string; id: string };
    }
    const valid = (name: string, id?: string) => NAME.test(name) && (id === undefined || /^[0-9a-f]{16}$/.test(id));
    this.#app.get<Named>('/app/people/:name/backups', async ({ params: { name } }) => ({
      backups: this.backupsOf(name).map(({ id, savedAt, bytes }) => ({ id, savedAt, size: bytes.length })),
    }));
    this.#app.get<Named>('/app/people/:name/backups/:id', async ({ params: { name, id } }, reply) => {
      const found = this.backupsOf(name).find((one) => one.id === id);
      return found ? reply.type('application/octet-stream').send(found.bytes) : reply.code(404).send();
    });
    this.#app.put<Named>('/app/people/:name/backups/:id', async (asked, reply) => {
      const { name, id } = asked.params;
      if (!valid(name, id)) return reply.code(400).send();
      const others = this.backupsOf(name).filter((one) => one.id !== id);
      this.#people.set(name, [{ id, savedAt: Date.now(), bytes: bodyOf(asked) }, ...others].slice(0, BACKUPS_EACH));
      return reply.code(204).send();
    });
    this.#app.delete<Named>('/app/people/:name/backups/:id', async ({ params: { name, id } }, reply) => {
      const others = this.backupsOf(name).filter((one) => one.id !== id);
      this.#people.set(name, others);
      return reply.code(204).send();
    });
  }

  /** `/via/ORIGIN/PATH`, for the fleet's own origins only. What passes is sealed or verified at both ends. */
  #passOn(origins: ReadonlySet<string>): void {
    this.#app.all<{ Params: { origin: string; '*': string } }>('/via/:origin/*', async (asked, reply) => {
      const { origin, '*': path } = asked.params;
      if (!origins.has(origin)) return reply.code(403).send();
      const { accept, 'content-type': type, 'holdfast-bundle-serial': serial } = asked.headers;
      const answer = await request(`${origin}/${path}`, {
        method: asked.method as 'GET' | 'POST',
        headers: {
          ...(accept && { accept }),
          ...(type && { 'content-type': type }),
          ...(typeof serial === 'string' && { 'holdfast-bundle-serial': serial }),
        },
        body: asked.method === 'POST' ? bodyOf(asked) : null,
        dispatcher: this.#agent,
      }).catch(() => undefined);
      if (!answer) return reply.code(502).send();
      for (const name of ['content-type', 'holdfast-bundle-serial', 'retry-after']) {
        const value = answer.headers[name];
        if (typeof value === 'string') reply.header(name, value);
      }
      return reply.code(answer.statusCode).send(Buffer.from(await answer.body.arrayBuffer()));
    });
  }
}

const bodyOf = ({ body }: FastifyRequest): Buffer => (Buffer.isBuffer(body) ? body : Buffer.alloc(0));

/** A user token for whoever says a name: a real application's server asks for more than that. */
async function session(folder: FleetFolder, body: Buffer): Promise<unknown> {
  const asked = parseJson(body.toString('utf8'), 'malformed').object(['name', 'clientKey']);
  const subject = asked.required('name').text(32);
  const clientKey = fromBase64Url(asked.required('clientKey').text(64));
  const tenant = parseJson(await readTenantKey(folder), 'bad_input').object(['issuer', 'privateKey', 'recordIdKey']);
  const issuer = tenant.required('issuer').text(1024);
  const fleet = readPlan(folder).name;
  const userToken = await createUserToken({
    tenantKey: tenant.required('privateKey').value as Parameters<typeof createUserToken>[0]['tenantKey'],
    ...{ issuer, subject, fleet, clientKey },
    scope: [...OPERATIONS],
    record: recordId(tenant.required('recordIdKey').bytes(32, 32), { fleet, issuer, subject }),
    issuedAt: Date.now(),
    lifetimeSeconds: TOKEN_SECONDS,
  });
  return { userTokens: { [fleet]: userToken } };
}

/** The name under which a backup for this recipient is kept. */
export const backupId = (recipient: string): string =>
  createHash('sha256').update(recipient).digest('hex').slice(0, 16);
