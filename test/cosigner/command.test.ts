/**
 * The commands as their operators run them, in processes of their own: an auditing witness with its key on a token, and a
 * monitor of the same log.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { encodeAddCheckpoint, hashOf } from '../../src/cosigner/witness/index.ts';
import {
  evidenceLeaf,
  parseNote,
  parseSignatureLines,
  parseVerifierKey,
  proveConsistency,
  type SignedPolicy,
  serialiseNote,
  type VerifierKey,
  verifyNote,
} from '../../src/trust/index.ts';
import { builtCommand } from '../built-command.ts';
import { evidenceFolder } from '../evidence/scene.ts';
import { PIN, type SoftHsm, softHsm } from '../token/fixture.ts';
import { acceptance, LOG, ORIGIN, proposal, signPolicy, TestLog, trustPolicy } from '../trust/fixture.ts';
import { evidenceOf } from './monitor/fixtures.ts';
import { type ServedLog, serveLog } from './serve-log.ts';

const MAIN = await builtCommand();
const NAME = 'audit.example/w';
const folder = mkdtempSync(join(tmpdir(), 'commands-'));
const at = (name: string) => join(folder, name);
const put = (name: string, content: unknown) => {
  writeFileSync(at(name), typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });
  return at(name);
};

let hsm: SoftHsm;
let server: ServedLog;
let policy: SignedPolicy;
let key: VerifierKey;
let log: TestLog;
const running = new Set<ChildProcess>();

function start(...words: string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  return child;
}

/** Runs a command to its end. */
async function run(...words: string[]) {
  const child = start(...words);
  let [stdout, stderr] = ['', ''];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

async function json(...words: string[]) {
  const { code, stdout } = await run(...words, '--json');
  return { code, value: JSON.parse(stdout) as Record<string, unknown> };
}

/** Starts a service and waits until it listens. */
async function serve(...words: string[]) {
  const child = start(...words);
  for await (const line of createInterface(child.stderr!)) {
    const said = JSON.parse(line) as { event: string; url: string; monitoringUrl: string };
    if (said.event === 'listening' || said.event === 'watching') {
      // Nobody reads what comes after, and a full pipe must not stop it.
      child.stderr!.resume();
      const end = async () => {
        child.kill('SIGTERM');
        if (child.exitCode === null) await once(child, 'exit');
        return child.exitCode;
      };
      return { ...said, end };
    }
  }
  throw new Error('it ended before it listened');
}

async function add(url: string, oldSize: number, from = log) {
  const proof = await proveConsistency(oldSize, from.entries.length, from.hashReader());
  const checkpoint = utf8(serialiseNote(await from.checkpoint({ witnessed: {} })));
  const body = encodeAddCheckpoint({ oldSize, proof, checkpoint });
  const response = await fetch(`${url}/add-checkpoint`, { method: 'POST', body });
  return { status: response.status, body: await response.text() };
}

beforeAll(async () => {
  hsm = await softHsm('witness');
  server = await serveLog();
  put('pin', PIN);
  const made = await json(
    'signer',
    'keys',
    '--role',
    'auditor',
    '--name',
    NAME,
    '--label',
    'witness',
    '--pin-file',
    at('pin'),
  );
  const [shown] = made.value.keys as [{ verifierKey: string }];
  key = parseVerifierKey(shown.verifierKey);
  policy = await signPolicy(policyWith(undefined));
  put('policy', serialiseNote(policy.note));
  log = new TestLog(policy);
  await log.append();
  put('witness.json', witnessConfiguration());
});
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await server.close();
  hsm.remove();
});

/** The policy of the log and this one witness, at `url`. */
function policyWith(url: string | undefined) {
  const tlog = `log ${LOG.verifierKey} ${server.url}\nwitness w1 ${key.text}${url ? ` ${url}` : ''}\nquorum w1\n`;
  return trustPolicy({ tlog, auditors: [key], organisations: new Map([[NAME, 'audit.example']]) });
}

function witnessConfiguration(changes: object = {}) {
  return {
    name: NAME,
    audit: true,
    policies: ['policy'],
    token: { module: hsm.module, label: 'witness', pinFile: 'pin' },
    journal: 'journal',
    store: { directory: 'state' },
    listen: { host: '127.0.0.1', port: 0, plainHttp: true },
    metrics: { port: 0 },
    refreshSeconds: 0,
    ...changes,
  };
}

describe('holdfast witness and monitor', () => {
  it('refuses to serve without a state', async () => {
    const { code, stderr } = await run('witness', 'serve', '--config', at('witness.json'));
    expect(code).toBe(6);
    expect(stderr).toContain('holdfast witness init');
  });

  it('cosigns with the token’s key what it has read, and the monitor finds nothing wrong', async () => {
    expect((await run('witness', 'init', '--config', at('witness.json'))).code).toBe(0);
    expect((await run('witness', 'init', '--config', at('witness.json'))).code).toBe(2);
    const witness = await serve('witness', 'serve', '--config', at('witness.json'));
    // The log's leaves are not served yet.
    expect((await add(witness.url, 0)).status).toBe(503);
    server.content.leaves = log.entries;
    const first = await add(witness.url, 0);
    expect(first.status).toBe(200);
    const scene = evidenceFolder();
    const { sha256 } = scene.manifest.evidence;
    const address = `${server.url}evidence/${sha256}.json`;
    const manifest = { ...scene.manifest, evidence: { sha256, address } };
    for (const [name, content] of scene.files) server.content.files.set(`evidence/${name}.json`, content);
    const evidence = evidenceLeaf({ ...manifest.evidence, size: scene.files.get(sha256)!.length });
    await log.append(evidence, await proposal(manifest), await acceptance(manifest));
    const second = await add(witness.url, 1);
    expect(second.status).toBe(200);
    const { text, signatures } = await log.checkpoint({ witnessed: {} });
    const cosigned = { text, signatures: [...signatures, ...parseSignatureLines(second.body)] };
    expect(verifyNote(cosigned, [key])).toHaveLength(1);
    server.content.checkpoint = serialiseNote(cosigned);

    put('monitor-policy', serialiseNote((await signPolicy(policyWith(witness.url))).note));
    const settings = {
      policy: 'monitor-policy',
      store: { directory: 'seen' },
      evidenceDirectory: 'proof',
      journal: 'journal',
    };
    put('monitor.json', settings);
    // A development evidence address on loopback is the log's own origin, which may be fetched from.
    const looked = await json('monitor', '--config', at('monitor.json'));
    expect(looked).toMatchObject({
      code: 0,
      value: { code: 'ok', origin: ORIGIN, size: log.entries.length, alerts: [] },
    });
    expect((await run('monitor', '--config', at('monitor.json'))).stdout).toContain('Nothing is wrong.');
    expect(await witness.end()).toBe(0);
  });

  it('goes on after a restart, and refuses an older state than its journal knows of', async () => {
    cpSync(at('state'), at('state-before'), { recursive: true });
    const witness = await serve('witness', 'serve', '--config', at('witness.json'));
    expect(await add(witness.url, 0)).toEqual({ status: 409, body: `${log.entries.length}\n` });
    const before = log.entries.length;
    await log.append();
    expect((await add(witness.url, before)).status).toBe(200);
    expect(await witness.end()).toBe(0);
    put('old.json', witnessConfiguration({ store: { directory: 'state-before' } }));
    const restored = await run('witness', 'serve', '--config', at('old.json'));
    expect([restored.code, restored.stderr]).toEqual([6, expect.stringContaining('restore the newest state')]);
    put('lost.json', witnessConfiguration({ store: { directory: 'state-lost' } }));
    const lost = await run('witness', 'init', '--config', at('lost.json'));
    expect([lost.code, lost.stderr]).toEqual([2, expect.stringContaining('has cosigned before')]);
  });

  it('audits by --audit as by the setting: with an auditor’s key, its own state, and rules to check', async () => {
    put('by-option.json', witnessConfiguration({ audit: false }));
    const plain = await run('witness', 'serve', '--config', at('by-option.json'));
    expect([plain.code, plain.stderr]).toEqual([6, expect.stringContaining('no signing key')]);
    put('stateless.json', witnessConfiguration({ audit: false, store: { directory: 'state-none' } }));
    expect((await run('witness', 'serve', '--config', at('stateless.json'), '--audit')).code).toBe(6);
    const logs = [{ origin: ORIGIN, keys: [LOG.verifierKey] }];
    put('no-rules.json', witnessConfiguration({ audit: false, policies: [], logs }));
    const unruled = await run('witness', 'serve', '--config', at('no-rules.json'), '--audit');
    expect([unruled.code, unruled.stderr]).toEqual([2, expect.stringContaining('needs the rules of its logs')]);

    const witness = await serve('witness', 'serve', '--config', at('by-option.json'), '--audit');
    const { length } = log.entries;
    await log.append();
    const { leaves } = server.content;
    server.content.leaves = [];
    expect((await add(witness.url, length)).status).toBe(503);
    server.content.leaves = leaves;
    expect((await add(witness.url, length)).status).toBe(200);
    expect(await witness.end()).toBe(0);
  });

  it('ends with exit code 6 and both signed checkpoints where the log shows another history', async () => {
    const witness = await serve('witness', 'serve', '--config', at('witness.json'));
    put('monitor-policy', serialiseNote((await signPolicy(policyWith(witness.url))).note));
    const fork = new TestLog(policy);
    await fork.append(evidenceLeaf({ ...evidenceOf(utf8('other')), size: 5 }));
    while (fork.entries.length < log.entries.length) await fork.append();
    server.content.leaves = fork.entries;
    server.content.checkpoint = serialiseNote(await fork.checkpoint({ witnessed: {} }));
    const { code, value } = await json('monitor', '--config', at('monitor.json'));
    expect([code, value.code, value.exitCode]).toEqual([6, 'untrusted', 6]);
    const alerts = value.alerts as { rule: string; files: string[] }[];
    const found = alerts.find(({ rule }) => rule === 'rewritten')!;
    for (const file of found.files)
      expect(verifyNote(parseNote(readFileSync(file)), [parseVerifierKey(LOG.verifierKey)])).toHaveLength(1);
    // The witness has not been fooled.
    expect((await add(witness.url, log.entries.length, fork)).status).toBe(422);
    const kept = await fetch(`${witness.url}/${hashOf(ORIGIN)}/misconduct`);
    expect(await kept.json()).toMatchObject({ misconduct: [{ kind: 'split_view' }] });
    expect(await witness.end()).toBe(0);
  });

  it('watches until it is ended, with metrics', async () => {
    put('watch.json', {
      policy: 'monitor-policy',
      store: { directory: 'seen' },
      evidenceDirectory: 'proof',
      interval: 1,
      metrics: { port: 0 },
    });
    const monitor = await serve('monitor', '--watch', '--config', at('watch.json'));
    const metrics = async () => (await fetch(`${monitor.monitoringUrl}/metrics`)).text();
    await expect.poll(metrics, { timeout: 60_000 }).toContain('holdfast_monitor_looks_total{outcome="alerts"}');
    expect(await metrics()).toContain('holdfast_monitor_alerts{rule="rewritten",severity="alert"} 1');
    expect((await fetch(`${monitor.monitoringUrl}/readyz`)).status).toBe(200);
    expect(await monitor.end()).toBe(0);
    rmSync(at('seen'), { recursive: true });
  });
});
