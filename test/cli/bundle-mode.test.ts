/** The command line in bundle mode: a trust anchor, a source and coordinators over real sockets, files of state, exit codes. */

import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clientKeyToJwk } from '../../src/access/index.ts';
import { readBounded } from '../../src/client/download.ts';
import { CoordinatorMetrics, createCoordinatorServer } from '../../src/coordinator/http/index.ts';
import { toBase64Url } from '../../src/core/index.ts';
import { createLogger } from '../../src/http/index.ts';
import { anchorOf, noteLeaf, serialiseTrustAnchor, serialiseTrustFile } from '../../src/trust/index.ts';
import { TrustScene, testPolicy } from '../client/trust/trust-scene.ts';
import { holdfast } from '../fleet/launcher.ts';
import { digestOfManifest, nextPolicy, revocationLeaf, signPolicy, WITNESSES } from '../trust/fixture.ts';
import { DAY, revocation } from '../trust/manifests.ts';

const now = Math.floor(Date.now() / 1000) * 1000;
const DATES = { notBefore: now - DAY, notAfter: now + 100 * DAY };
const resources = new AsyncDisposableStack();
afterAll(() => resources.disposeAsync());
const log = createLogger('silent', {});

/** A scene whose log is served over HTTP, and whose fleets have a coordinator each. */
class Site {
  readonly folder = mkdtempSync(join(tmpdir(), 'trust-'));
  readonly coordinators = new Map<string, string>();
  source = '';
  scene!: TrustScene;

  static async open(): Promise<Site> {
    const site = new Site();
    const coordinator = await site.coordinate('first');
    site.scene = await TrustScene.create(await testPolicy({ expires: now + 300 * DAY }), {
      ...DATES,
      coordinators: [coordinator],
    });
    site.witness(now);
    const server = createServer(async (request, response) => {
      const answer = await site.scene.server
        .fetch(`http://${request.headers.host}${request.url}`, {})
        .catch(() => undefined);
      if (!answer) return void response.destroy();
      const body = await readBounded(answer, 2 ** 24, () => new Error('a long answer'));
      response.writeHead(answer.status).end(body);
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    resources.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    site.source = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    site.writeAnchor();
    return site;
  }

  witness(time: number): void {
    this.scene.server.witnessed = Object.fromEntries(WITNESSES.map((name) => [name, time]));
  }

  writeAnchor(): void {
    this.write('client.json', serialiseTrustAnchor(anchorOf(this.scene.policy, [this.source])));
  }

  /** A coordinator's address; it serves the fleet of that name once it is there. */
  async coordinate(name: string): Promise<string> {
    const app = await createCoordinatorServer({
      fleet: { fleet: name, epoch: 1, nodes: [1, 2, 3] },
      tls: undefined,
      handle: (request) => this.scene.fleet(name).coordinator.handle(request),
      readiness: () => ({ ready: true, reason: '' }),
      infos: () => new Map(),
      metrics: new CoordinatorMetrics(log),
      log,
      rateLimit: undefined,
      allowedOrigins: [],
      trustedProxies: [],
      maximumInFlight: 100,
    });
    resources.defer(() => app.close());
    return await app.listen({ host: '127.0.0.1', port: 0 });
  }

  write(name: string, content: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }

  /** A folder with this user's credential for each fleet. */
  async user(subject: string, ...fleets: readonly string[]): Promise<string> {
    const folder = join(this.folder, subject);
    mkdirSync(folder, { recursive: true });
    for (const name of fleets) {
      const { userToken, clientKey, record } = await this.scene.fleet(name).credential(subject);
      const jwk = clientKeyToJwk(clientKey as Parameters<typeof clientKeyToJwk>[0]);
      writeFileSync(
        join(folder, `${name}.json`),
        JSON.stringify({ userToken, clientKey: jwk, record: toBase64Url(record) }),
      );
    }
    return folder;
  }

  async run(words: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    const outcome = await holdfast([...words, '--json'], {
      environment: {
        HOLDFAST_TRUST: join(this.folder, 'client.json'),
        XDG_STATE_HOME: join(this.folder, 'state'),
        ...environment,
      },
    });
    const text = outcome.stdout.toString();
    return { code: outcome.code, json: JSON.parse(text) as Record<string, unknown>, stderr: outcome.stderr };
  }
}

let site: Site;
let pin: string;
let secret: string;
beforeAll(async () => {
  site = await Site.open();
  pin = site.write('pin', '493027\n');
  secret = site.write('secret', 'the backup key');
});

const states = (where: Site) => join(where.folder, 'state', 'holdfast', 'trust');

describe('a trust anchor', () => {
  it('lets a secret be kept and got, and says on what the trust rests', async () => {
    const user = await site.user('alice', 'first');
    const put = await site.run(['secret', 'put', '--user', user, '--pin-file', pin, '--secret-file', secret]);
    expect(put).toMatchObject({ code: 0, json: { fleet: 'first', generation: 1 } });
    const get = await site.run(['secret', 'get', '--user', user, '--pin-file', pin]);
    expect(Buffer.from(String(get.json.secret), 'base64url').toString()).toBe('the backup key');
    const status = await site.run(['secret', 'status', '--user', user]);
    expect(status.json).toMatchObject({
      state: 'active',
      trust: {
        ...{ mode: 'bundle', vault: 'family', environment: 'production', fleet: 'first', serial: 1, policyVersion: 1 },
        ...{ checkpointSize: site.scene.server.log.entries.length, freshness: 'fresh', state: 'live' },
      },
    });
    expect(readdirSync(states(site)).filter((name) => name.endsWith('.json'))).toHaveLength(1);
  });

  it('goes on without its source for a while, and with a notice for longer', async () => {
    const own = await Site.open();
    const user = await own.user('bob', 'first');
    own.witness(now - 2 * DAY);
    // Not yet trusted: nothing stale is believed at first use.
    expect(await own.run(['secret', 'status', '--user', user])).toMatchObject({ code: 6, json: { code: 'log_stale' } });
    own.witness(now);
    expect((await own.run(['secret', 'status', '--user', user])).code).toBe(0);
    own.scene.server.intercept = () => {
      throw new Error('out of reach');
    };
    expect((await own.run(['secret', 'status', '--user', user])).json).toMatchObject({ trust: { freshness: 'fresh' } });
    own.scene.server.intercept = () => undefined;
    own.witness(now - 2 * DAY);
    for (const name of readdirSync(states(own))) {
      if (name.endsWith('.kept')) writeFileSync(join(states(own), name), await own.scene.server.set('first'));
    }
    const status = await own.run(['secret', 'status', '--user', user]);
    expect(status.json).toMatchObject({
      trust: { freshness: 'grace' },
      notices: [expect.stringMatching(/^No witness/)],
    });
    const put = await own.run(['secret', 'put', '--user', user, '--pin-file', pin, '--secret-file', secret]);
    expect(put).toMatchObject({ code: 6, json: { code: 'log_stale' } });
  });

  it('fails with the code of its step, in a plain sentence, and sends nothing', async () => {
    const own = await Site.open();
    const user = await own.user('carol', 'first');
    own.scene.server.intercept = () => new Response('rubbish');
    const words = ['secret', 'status', '--user', user];
    expect(await own.run(words)).toMatchObject({ code: 9, json: { code: 'bundle_malformed' } });
    own.scene.server.intercept = () => {
      throw new Error('out of reach');
    };
    expect(await own.run(words)).toMatchObject({ code: 5, json: { code: 'trust_unavailable' } });
    own.scene.server.intercept = () => undefined;
    const { scene } = own;
    const digest = digestOfManifest(scene.manifests.get('first')!);
    await scene.server.log.append(await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest })));
    let requests = 0;
    scene.fleet('first').intercept = (_, next) => {
      requests++;
      return next();
    };
    const outcome = await holdfast(words, {
      environment: { HOLDFAST_TRUST: join(own.folder, 'client.json'), XDG_STATE_HOME: join(own.folder, 'state') },
    });
    expect(outcome.code).toBe(6);
    expect(outcome.stderr).toMatch(/has been revoked/);
    expect(outcome.stderr).toMatch(/bundle_revoked.*no way past it/);
    expect(requests).toBe(0);
  });

  it('has its state in one file, and says what to do when that is damaged', async () => {
    const own = await Site.open();
    const user = await own.user('dave', 'first');
    const path = join(own.folder, 'own-state.json');
    const words = ['secret', 'status', '--user', user, '--trust-state', path];
    expect((await own.run(words)).code).toBe(0);
    const whole = readFileSync(path);
    for (const damage of ['', '{}', whole.subarray(0, -1), `${whole} `, 'x'.repeat(70_000)]) {
      writeFileSync(path, damage);
      const { code, json } = await own.run(words);
      expect(json).toMatchObject({ code: 'trust_state_damaged', error: { message: expect.stringContaining(path) } });
      expect(code).toBe(6);
      expect(readFileSync(path)).toEqual(Buffer.from(damage));
    }
  });

  it('with a newer policy says so, once', async () => {
    const own = await Site.open();
    const user = await own.user('erin', 'first');
    const words = ['secret', 'status', '--user', user];
    await own.run(words);
    const next = await signPolicy(nextPolicy(own.scene.policy, { maxAge: 43_200 }));
    await own.scene.server.log.append(noteLeaf('policy', next.note));
    expect((await own.run(words)).json).toMatchObject({
      trust: { policyVersion: 2 },
      notices: [expect.stringMatching(/^Version 2 of the trust policy/)],
    });
    expect((await own.run(words)).json).not.toHaveProperty('notices');
  });
});

describe('a retired fleet', () => {
  it('gives its record to the one that follows, and a backup stays restorable', async () => {
    const own = await Site.open();
    let user = await own.user('frank', 'first');
    const file = own.write('note.txt', 'kept');
    const age = join(own.folder, 'backup.age');
    const profile = ['--profile', join(own.folder, 'profile.json')];
    const create = [
      'backup',
      'create',
      file,
      '--user',
      user,
      '--pin-file',
      pin,
      '--overwrite',
      '--out',
      age,
      ...profile,
    ];
    const first = await own.run(create);
    expect(first.code).toBe(0);
    const coordinator = await own.coordinate('second');
    await own.scene.retire('first', { sunset: now + 50 * DAY });
    await own.scene.deploy('second', { ...DATES, coordinators: [coordinator] });
    const status = ['secret', 'status', '--user', user];
    expect((await own.run(status)).json).toMatchObject({ trust: { state: 'retired', successor: 'second' } });
    // Without a credential there the record stays where it is, and works.
    const stays = await own.run(['secret', 'get', '--user', user, '--pin-file', pin]);
    expect(stays.json).toMatchObject({
      fleet: 'first',
      notices: [expect.stringMatching(/no credential for the fleet second/)],
    });
    user = await own.user('frank', 'first', 'second');
    const moved = await own.run(['secret', 'get', '--user', user, '--pin-file', pin]);
    expect(moved.json).toMatchObject({
      fleet: 'second',
      notices: [expect.stringMatching(/has moved from the fleet first/)],
    });
    expect((await own.run(status)).json).toMatchObject({ fleet: 'second', trust: { state: 'live' } });
    const second = await own.run(create);
    expect(second.json.recipient).toBe(first.json.recipient);
    const to = join(own.folder, 'restored');
    expect(
      (await own.run(['backup', 'restore', age, '--user', user, '--pin-file', pin, '--to', to, ...profile])).code,
    ).toBe(0);
    expect(readFileSync(join(to, 'note.txt'), 'utf8')).toBe('kept');
  });
});

describe('modes', () => {
  it('are chosen by the file, and a pinned file says that it is one', async () => {
    const { fleet } = site.scene.fleet('first');
    const manifest = site.scene.manifests.get('first')!;
    const pinned = serialiseTrustFile({
      ...{ fleet, environment: 'production', expires: now + DAY, names: manifest.nodes.map(({ name }) => name) },
      ...{ coordinators: manifest.coordinators, authority: undefined },
    });
    const user = await site.user('grace', 'first');
    const trust = site.write('pinned.json', pinned);
    const status = await site.run(['secret', 'status', '--user', user, '--trust', trust]);
    expect(status.json).toMatchObject({ state: 'none', trust: { mode: 'pinned', fleet: 'first', epoch: 1 } });
    const two = await site.run(['secret', 'status', '--user', user, '--user', join(user, 'first.json')]);
    expect(two).toMatchObject({ code: 2, json: { code: 'usage' } });
  });

  it('take no file of a third format', async () => {
    const trust = site.write('other.json', '{"format":"holdfast/trust-anchor/v2"}');
    const user = await site.user('heidi', 'first');
    expect(await site.run(['secret', 'status', '--user', user, '--trust', trust])).toMatchObject({ code: 9 });
  });
});
