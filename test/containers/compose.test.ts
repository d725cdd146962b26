/** compose.yaml brought up with one command, by the plugin of Docker or by the older program, as people do who try Holdfast. */

import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it, type TestContext } from 'vitest';
import { holdfast } from '../fleet/launcher.ts';
import { root } from './engine.ts';
import { ASK_PHASES, SERVING, WHOLE } from './fleet.ts';

/** The plugin waits until all is healthy. The older program does not; what it lacks is done here. */
const PLUGIN = { command: ['docker', 'compose'], up: ['up', '--detach', '--wait'] };
const OLDER = { command: ['docker-compose'], up: ['up', '--detach'] };
/** Milliseconds for the fleet to serve and to be announced: only what hangs takes so long, on any machine. */
const PATIENCE = 600_000;
const found = [PLUGIN, OLDER].find(
  ({ command: [program, ...words] }) => spawnSync(program!, [...words, 'version'], { stdio: 'ignore' }).status === 0,
);
const project = `hf-${randomBytes(4).toString('hex')}`;
const folder = mkdtempSync(join(tmpdir(), 'compose-'));
const text = readFileSync(join(root, 'compose.yaml'), 'utf8');
let missing: string | undefined;

/** What is another's on a slow machine: compose.yaml itself stays as it is. */
const override = join(folder, 'override.json');
writeFileSync(
  override,
  JSON.stringify({
    services: {
      'coordinator-1': { environment: WHOLE },
      'coordinator-2': { environment: WHOLE },
      // What one look could not reach in time, the next one sees, and not only after five minutes.
      monitor: { environment: { HOLDFAST_MONITOR_INTERVAL: '10' } },
    },
  }),
);

function compose(...words: readonly string[]): string {
  const [program, ...first] = found!.command;
  const files = ['--file', join(root, 'compose.yaml'), '--file', override];
  return execFileSync(program!, [...first, ...files, '--project-name', project, ...words], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, HOLDFAST_IMAGE: inject('image') },
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 16 * 1024 * 1024,
  });
}

const docker = (...words: readonly string[]): string =>
  execFileSync('docker', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** By the labels that Compose gives: the older program takes seconds for each of its answers. */
function containerOf(service: string): string {
  const labels = { project, service };
  const filters = Object.entries(labels).map(([name, value]) => `--filter=label=com.docker.compose.${name}=${value}`);
  return docker('ps', '--all', '--quiet', ...filters).trim();
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}

async function obstacle(): Promise<string | undefined> {
  if (!found) return 'neither docker compose nor docker-compose is installed; scripts/setup --with containers';
  const ports = [...text.matchAll(/"127\.0\.0\.1:(\d+):/g)].map(([, port]) => Number(port));
  for (const port of ports) {
    if (port !== 9090 && !(await isFree(port)))
      return `port ${port} of 127.0.0.1, which compose.yaml publishes, is used`;
  }
  return undefined;
}

async function until(holds: () => boolean, said: () => string): Promise<void> {
  for (const end = performance.now() + PATIENCE; !holds(); ) {
    if (performance.now() > end) throw new Error(`not in time: ${said()}`);
    await new Promise((done) => setTimeout(done, 500));
  }
}

function need(test: TestContext): void {
  // biome-ignore lint/suspicious/noSkippedTests: only where it cannot run, with the reason
  test.skip(missing !== undefined, missing ?? '');
}

beforeAll(async () => {
  missing = await obstacle();
  if (missing !== undefined) return;
  const began = performance.now();
  compose(...found!.up);
  if (found === OLDER) {
    const said = () => docker('logs', containerOf('announce'));
    await until(() => said().includes('clients can verify it'), said);
  }
  // Healthy is who is alive: a node that cannot serve yet would be missing in what is enrolled.
  for (const service of [1, 2, 3, 4, 5].map((node) => `node-${node}`)) {
    const ready = [
      'exec',
      '--env',
      'HOLDFAST_HEALTH_PATH=/readyz',
      containerOf(service),
      'node',
      '/app/container/health.mjs',
    ];
    await until(
      () => spawnSync('docker', ready, { stdio: 'ignore' }).status === 0,
      () => docker('logs', '--tail', '30', containerOf(service)),
    );
  }
  // By one of the coordinators: the other may not have found them all yet.
  for (const container of ['coordinator-1', 'coordinator-2'].map(containerOf)) {
    const phases = () => docker('exec', container, 'node', '--input-type=module', '--eval', ASK_PHASES);
    await until(() => phases().match(SERVING)?.length === 5, phases);
  }
  console.log(
    `compose.yaml: all of it up ${((performance.now() - began) / 1000).toFixed(1)} s after the first command`,
  );
  docker('cp', `${containerOf('announce')}:/var/lib/holdfast/own`, join(folder, 'fleet'));
});

afterAll(() => {
  if (missing === undefined) compose('down', '--volumes', '--timeout', '5');
});

describe('the fleet of compose.yaml', () => {
  it('is verified by its log, and used, by a client on this machine', async (test) => {
    need(test);
    const [user, pin, secret] = ['user.json', 'pin', 'secret'].map((name) => join(folder, name)) as [
      string,
      ...string[],
    ];
    writeFileSync(pin!, '493027\n', { mode: 0o600 });
    writeFileSync(secret!, 'kept in containers', { mode: 0o600 });
    const environment = {
      HOLDFAST_TRUST: join(folder, 'fleet/client.json'),
      HOLDFAST_TRUST_STATE: join(folder, 'trust-state.json'),
    };
    const run = async (...words: readonly string[]) => {
      const { code, stdout, stderr } = await holdfast([...words, '--json'], { environment });
      expect(code, `${words.join(' ')}: ${stdout}${stderr}`).toBe(0);
      return JSON.parse(stdout.toString('utf8')) as Record<string, unknown>;
    };
    await run('user-token', '--fleet', join(folder, 'fleet'), '--subject', 'alice', '--out', user);
    const patient = ['--user', user, '--pin-file', pin!, '--patience', '300'];
    const put = await run('secret', 'put', ...patient, '--secret-file', secret!);
    expect(put).toMatchObject({ nodes: [1, 2, 3, 4, 5], degraded: false });
    const out = join(folder, 'recovered');
    await run('secret', 'get', ...patient, '--out', out);
    expect(readFileSync(out, 'utf8')).toBe('kept in containers');
    expect(await run('secret', 'status', '--user', user, '--patience', '300')).toMatchObject({
      trust: { mode: 'bundle', serial: 1 },
    });
  });

  it('is used from its own container of the command line', (test) => {
    need(test);
    // The container's user is nobody on this machine.
    chmodSync(folder, 0o755);
    chmodSync(join(folder, 'user.json'), 0o644);
    const tool = ['run', '--rm', '-T', '--volume', `${folder}:/mine:ro`, 'holdfast'];
    const asked = ['secret', 'status', '--user', '/mine/user.json', '--patience', '300'];
    const said = compose('--profile', 'tools', ...tool, ...asked);
    expect(said).toMatch(/A secret is kept.*serial 1 of the fleet compose/s);
  });

  it('answers monitoring at every address that Prometheus is told, and alerts of nothing', async (test) => {
    need(test);
    const scraped = ['prometheus.yml', 'targets.yml'].map((name) =>
      readFileSync(join(root, 'docs/deploy', name), 'utf8'),
    );
    const targets = scraped.join('').match(/(?<=")[a-z0-9-]+:\d+(?=")/g);
    expect(targets).toHaveLength(12);
    const asked = `for (const at of ${JSON.stringify(targets)}) {
      const answer = await fetch('http://' + at + '/metrics');
      const text = await answer.text();
      console.log(at, answer.status, text.match(/^holdfast_monitor_(alerts.* [1-9].*|looks_total.*"ok".*)$/gm)?.join(' ') ?? '');
    }`;
    // A coordinator is on all networks, as Prometheus is.
    const said = () => docker('exec', containerOf('coordinator-1'), 'node', '--input-type=module', '--eval', asked);
    const lines = () =>
      said()
        .trim()
        .split('\n')
        .map((line) => line.trim());
    // The monitor finds nothing once it has looked, and seen all sides of the log.
    const looked = 'holdfast_monitor_looks_total\\{outcome="ok"\\} \\d+$';
    const expected = targets!.map((at) =>
      at.startsWith('monitor:') ? expect.stringMatching(`^${at} 200 ${looked}`) : `${at} 200`,
    );
    await expect.poll(lines, { timeout: PATIENCE, interval: 1000 }).toEqual(expected);
  });

  it('keeps its secrets in files for their owner only, each on the volume of the process that needs it', (test) => {
    need(test);
    for (const service of ['node-1', 'coordinator-1', 'cosigner', 'witness-1']) {
      const files = docker(
        'exec',
        containerOf(service),
        'find',
        '/var/lib/holdfast/own',
        '-type',
        'f',
        '-perm',
        '/077',
      );
      // What others may read is public; keys, PINs and tokens are not.
      expect(files).not.toMatch(/\/(pin|[^/]*\.key|[^/]*\.object|config\.json)$/m);
      expect(docker('exec', containerOf(service), 'ls', '/var/lib/holdfast/own')).not.toContain('so-pin');
    }
  });
});
