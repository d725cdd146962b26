/** The commands of docs/production.md, run as they stand there: from five slots of SoftHSM to a secret that is recovered. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findFreePorts } from '../../src/fleet/ports.ts';
import { findSoftHsm, initialiseToken, writeSoftHsmConfiguration } from '../../src/token/index.ts';
import { secret } from '../token/fixture.ts';
import { cleanEnvironment, entry } from './launcher.ts';

const document = readFileSync(new URL('../../docs/production.md', import.meta.url), 'utf8');

interface Block {
  readonly language: string;
  /** On whose machine, and whether it goes on for as long as the service runs. */
  readonly role: string;
  readonly text: string;
}

const blocks: readonly Block[] = [...document.matchAll(/^```(sh|json) ([a-z ]+)\n([\s\S]*?)^```$/gm)].map(
  ([, language, role, text]) => ({ language: language!, role: role!, text: text! }),
);
const NODES = [1, 2, 3, 4, 5];
const nodeFolder = (node: number) => `machine-of-node-${node}`;

const module = findSoftHsm();
let work: string;
let base: number;
let environment: Record<string, string>;
const services: ChildProcess[] = [];

beforeAll(async () => {
  if (!module) throw new Error('these tests need SoftHSM 2: install the package softhsm2');
  work = mkdtempSync(join(tmpdir(), 'production-'));
  base = await findFreePorts();
  environment = cleanEnvironment({ PIN_OF_A_PERSON: join(work, 'pin') });
  writeFileSync(join(work, 'pin'), '493027\n', { mode: 0o600 });
  for (const name of [...NODES.map(nodeFolder), 'coordinator', 'assembler', 'client']) mkdirSync(join(work, name));
  for (const node of NODES) await slot(`vault-${node}`, nodeFolder(node), 'pin');
  await slot('ca', 'assembler', 'ca-pin');
});

afterAll(async () => {
  await Promise.all(
    services.map(async (service) => {
      const ended = service.exitCode === null ? once(service, 'exit') : undefined;
      service.kill('SIGTERM');
      await ended;
    }),
  );
});

/** A machine's slot as a vendor's tool leaves it: initialised, labelled, with a PIN. No two machines share a store of SoftHSM. */
async function slot(label: string, folder: string, pinFile: string): Promise<void> {
  const pin = `pin-of-${label}`;
  process.env.SOFTHSM2_CONF = writeSoftHsmConfiguration(join(work, folder));
  await initialiseToken({ module: module!, label, soPin: secret('officer-1'), userPin: secret(pin) });
  writeFileSync(join(work, folder, pinFile), `${pin}\n`, { mode: 0o600 });
}

/** What a process on this machine finds in its environment. */
const environmentOf = (folder: string, more: Record<string, string>) => ({
  ...environment,
  SOFTHSM2_CONF: join(work, folder, 'softhsm2.conf'),
  ...more,
});

/** What the document's machines are here: addresses of loopback, and ports of which each is somebody's. */
function here(text: string): string {
  return text
    .replace(/node-(\d)\.example:7443/g, (_, node) => `127.0.0.1:${base + Number(node)}`)
    .replaceAll('vault.example:8443', `127.0.0.1:${base}`)
    .replaceAll('node-$NODE.example', '127.0.0.1')
    .replaceAll('vault.example', '127.0.0.1')
    .replaceAll('/usr/lib/vendor/libpkcs11.so', module!);
}

/** What a person at the terminal would do: approve the request that its maker has told of, enter a PIN, and wait. */
const PEOPLE = `
holdfast() {
  case "$1 $2" in
    'certificate issue') set -- "$@" --approve "$(sha256sum < "$3" | cut -d' ' -f1)" ;;
    'secret put' | 'secret get') set -- "$@" --pin-file "$PIN_OF_A_PERSON" --patience 120 ;;
    'secret status') set -- "$@" --patience 120 ;;
  esac
  "$HOLDFAST_NODE_BINARY" "$HOLDFAST_ENTRY" "$@"
}
`.replaceAll('HOLDFAST_', 'TEST_');

const textsOf = (language: string, role: string) =>
  blocks.filter((block) => block.language === language && block.role === role).map(({ text }) => text);

/** Runs the commands of a role's block, the first that was not run yet. @returns what they print. */
async function run(folder: string, text: string, more: Record<string, string> = {}): Promise<string> {
  const prelude = `set -euo pipefail\n${PEOPLE}\n${here(textsOf('sh', 'everybody').join(''))}\n`;
  const { stdout } = await promisify(execFile)('bash', ['-c', prelude + here(text)], {
    cwd: join(work, folder),
    env: environmentOf(folder, { TEST_NODE_BINARY: process.execPath, TEST_ENTRY: entry, ...more }),
  });
  return stdout;
}

/** Starts the service of a block, and waits until it listens. */
async function serve(folder: string, text: string, more: Record<string, string>): Promise<void> {
  const [program, ...words] = text.trim().split(/\s+/);
  expect(program).toBe('holdfast');
  const service = spawn(process.execPath, [entry, ...words], {
    cwd: join(work, folder),
    env: environmentOf(folder, more),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  services.push(service);
  const lines = createInterface({ input: service.stderr });
  await new Promise<void>((done, fail) => {
    lines.on('line', (line) => line.includes('"event":"listening"') && done());
    lines.once('close', () => fail(new Error(`${text.trim()} ended before it listened`)));
  });
}

/** The nodes' operators, each at their own machine. */
const atOnce = (work: (node: number) => Promise<void>) => Promise.all(NODES.map(work));

const send = (file: string, from: string, to: string) => copyFileSync(join(work, from, file), join(work, to, file));

it('says for each of its blocks whose it is', () => {
  const marked = blocks.map(({ language, role }) => `${language} ${role}`);
  expect(marked).toEqual([
    'sh everybody',
    'sh node',
    'sh coordinator',
    'sh assembler',
    'sh assembler',
    'json node',
    'sh node',
    'sh node service',
    'json coordinator',
    'sh coordinator service',
    'sh client',
  ]);
});

it('leads from empty slots to keys, certificates, a trust file and a tenant', async () => {
  const [keys] = textsOf('sh', 'node');
  await atOnce(async (node) => {
    const printed = await run(nodeFolder(node), keys!, { NODE: String(node) });
    expect(printed).toContain('Vault node: suitable');
    for (const file of [`node-${node}.json`, `node-${node}.csr`]) send(file, nodeFolder(node), 'assembler');
  });
  await run('coordinator', textsOf('sh', 'coordinator')[0]!);
  for (const file of ['coordinator.csr', 'public.csr']) send(file, 'coordinator', 'assembler');
  const printed = [];
  for (const text of textsOf('sh', 'assembler')) printed.push(await run('assembler', text));
  expect(printed.join('')).toMatch(/Membership [0-9a-f]{64}/);
  expect(readdirSync(join(work, 'assembler'))).toEqual(expect.arrayContaining(['trust.json', 'tenants.json']));
});

it('and from there to five nodes, a coordinator, and a secret that comes back', async () => {
  const [configuration] = textsOf('json', 'node');
  const [, prepare] = textsOf('sh', 'node');
  const [service] = textsOf('sh', 'node service');
  await atOnce(async (node) => {
    const folder = nodeFolder(node);
    for (const file of ['trust.json', 'authority.pem', 'tenants.json', `node-${node}.pem`])
      send(file, 'assembler', folder);
    const text = configuration!.replace('"node": 1,', `"node": ${node},`).replaceAll(/(vault|node)-1/g, `$1-${node}`);
    writeFileSync(join(work, folder, 'node.json'), here(text));
    expect(await run(folder, prepare!)).toContain('Its token’s keys are those of the trust file.');
    await serve(folder, service!, {
      HOLDFAST_NODE_LISTEN_HOST: '127.0.0.1',
      HOLDFAST_NODE_LISTEN_PORT: String(base + node),
      HOLDFAST_NODE_METRICS_PORT: '0',
    });
  });
  for (const file of ['trust.json', 'authority.pem', 'coordinator.pem', 'public.pem'])
    send(file, 'assembler', 'coordinator');
  writeFileSync(join(work, 'coordinator', 'coordinator.json'), here(textsOf('json', 'coordinator')[0]!));
  await serve('coordinator', textsOf('sh', 'coordinator service')[0]!, {
    HOLDFAST_COORDINATOR_LISTEN_HOST: '127.0.0.1',
    HOLDFAST_COORDINATOR_LISTEN_PORT: String(base),
    HOLDFAST_COORDINATOR_METRICS_PORT: '0',
  });
  for (const file of ['trust.json', 'tenant.json']) send(file, 'assembler', 'client');
  expect(await run('client', textsOf('sh', 'client')[0]!)).toContain('Shares: 5 of 5 nodes.');
  expect(existsSync(join(work, 'client', 'recovered'))).toBe(true);
});
