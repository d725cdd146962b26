/** Nodes whose disk is full, whose token is gone, whose clock jumps, and that are sent nonsense. */

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'undici';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { readPlan } from '../../src/fleet/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import { encodeNodeBatch, encodeNodeRequest } from '../../src/protocol/index.ts';
import { codeOf, FaultFleet, failure, PIN, recovers, SECRET, until, WRONG } from './fault-fleet.ts';

let fleet: FaultFleet;
/** The store of node 1 has a small file system of its own. */
let disk: string;

beforeAll(async () => {
  fleet = await FaultFleet.launch((down) => {
    disk = down.of(1, 'store');
    const kept = mkdtempSync(join(tmpdir(), 'store-'));
    cpSync(disk, kept, { recursive: true });
    // Needs root, or the right to mount: without it this file fails, and says so here.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'tmpfs', disk], { stdio: 'inherit' });
    cpSync(kept, disk, { recursive: true });
  });
});
beforeEach(async () => {
  await fleet.start(1, 2, 3, 4, 5);
});
afterAll(async () => {
  await fleet.down();
  execFileSync('umount', [disk], { stdio: 'inherit' });
  await fleet[Symbol.asyncDispose]();
});

/** Takes all the space that is left. */
function fill(): void {
  const file = openSync(join(disk, 'filler'), 'w');
  const block = Buffer.alloc(4096, 1);
  try {
    for (;;) writeSync(file, block);
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  } finally {
    closeSync(file);
  }
}

test('a full disk: the node refuses, says why and lives; the others go on; with space again it serves as before', async () => {
  const client = await fleet.enrolled('alice');
  const [pid, batches] = [fleet.pid('node-1'), await fleet.metric(1, 'holdfast_node_batches_total')];
  fill();
  // What does not fit any more: each of these makes the store grow, and what does fit may go on.
  const big = new Uint8Array(1024).fill(7);
  const lately = Array.from({ length: 4 }, (_, i) => `full-${i}`);
  for (const subject of lately) {
    await (await fleet.client(subject, { patience: 1000 })).enrol(PIN, big, { acceptDegraded: true });
  }
  for (let i = 0; i < 3; i++) expect(await failure(client.recover(WRONG))).toMatchObject({ code: 'wrong_pin' });
  expect(await client.status()).toMatchObject({ attemptsLeft: 7 });
  expect(await recovers(client)).toBe(true);
  await until('the node says why', () => /disk of the state store in .* is full/.test(fleet.log('node-1')));
  expect(fleet.pid('node-1')).toBe(pid);
  rmSync(join(disk, 'filler'));
  await fleet.untilAgreed('alice');
  for (const subject of lately) await fleet.untilAgreed(subject);
  await fleet.kill(4, 5);
  expect(await recovers(client)).toBe(true);
  expect(await client.status()).toMatchObject({ attemptsLeft: 10 });
  expect(await fleet.metric(1, 'holdfast_node_batches_total')).toBeGreaterThan(batches);
  expect(fleet.pid('node-1')).toBe(pid);
  await fleet.start(4, 5);
});

test('clocks that jump by a day: the guess bound stays, and the fleet serves', async () => {
  const client = await fleet.enrolled('bob');
  fleet.moveClock(2, 24);
  fleet.moveClock(3, -24);
  try {
    expect(await recovers(client)).toBe(true);
    for (let left = 9; left >= 0; left--) {
      expect(await failure(client.recover(WRONG))).toMatchObject({
        code: 'wrong_pin',
        details: { attemptsLeft: left },
      });
    }
    expect(['spent', 'destroyed']).toContain(await codeOf(client.recover(PIN)));
  } finally {
    fleet.moveClock(2, 0);
    fleet.moveClock(3, 0);
  }
  await (await fleet.client('bob-again')).enrol(PIN, SECRET);
  expect(await recovers(await fleet.client('bob-again'))).toBe(true);
});

test('clocks that jump by an hour: waiting takes a majority’s word, and after a step back it begins anew', async () => {
  await fleet.down();
  fleet.edit(fleet.folder.trust, (content) => {
    // The second attempt after a success waits half an hour.
    (content.policy as { waits: readonly number[] }).waits = [0, 1800];
  });
  await fleet.up();
  const client = await fleet.enrolled('dora', { patience: 1000 });
  const other = await fleet.enrolled('emil', { patience: 1000 });
  for (const one of [client, other]) {
    expect(await codeOf(one.recover(WRONG))).toBe('wrong_pin');
    expect(await codeOf(one.recover(PIN))).toBe('waiting');
  }
  for (const node of [1, 2]) fleet.moveClock(node, 1);
  expect(await codeOf(other.recover(PIN))).toBe('waiting');
  fleet.moveClock(3, 1);
  expect(await codeOf(client.recover(WRONG))).toBe('wrong_pin');
  // These three voted an hour in the future: half an hour from now is what is left of it.
  for (const node of [1, 2, 3]) fleet.moveClock(node, 0);
  expect(await codeOf(client.recover(PIN))).toBe('waiting');
  const { attemptsLeft, nextAttemptAt } = await client.status();
  expect(attemptsLeft).toBe(8);
  expect(nextAttemptAt - Date.now()).toBeLessThanOrEqual(1_800_000);
  expect(nextAttemptAt - Date.now()).toBeGreaterThan(1_700_000);
});

test('nonsense in thousands, with a coordinator’s certificate and without: alive, serving, and no larger', async () => {
  const client = await fleet.enrolled('carol');
  const { basePort } = readPlan(fleet.folder);
  const own = fleet.folder.of('coordinator-1');
  const identity = {
    authorityPem: readFileSync(join(fleet.folder.authority, 'authority.pem'), 'utf8'),
    certificatePem: readFileSync(join(own, 'certificate.pem'), 'utf8'),
    privateKeyPem: readFileSync(join(own, 'certificate.key'), 'utf8'),
  };
  const tls = tlsClientOptions(identity, { fleet: fleet.trust().fleet.fleet, role: 'node', name: 'node-2' });
  const pool = new Pool(`https://127.0.0.1:${basePort + 22}`, {
    connections: 4,
    connect: tls as NonNullable<Pool.Options['connect']>,
  });
  const post = async (body: Uint8Array) => {
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await pool.request({ path: '/v1/node', method: 'POST', headers, body });
    await response.body.dump();
    return response.statusCode;
  };
  const pid = fleet.pid('node-2');
  const resident = () => fleet.metric(2, 'process_resident_memory_bytes');
  const valid = encodeNodeRequest({ kind: 'sync', rejoin: randomBytes(500), prefix: new Uint8Array(0) });
  /** A well-formed request with some bytes changed, or cut short, or nothing like one. */
  const nonsense = (i: number) => {
    if (i % 3 === 0) return randomBytes(1 + (i % 700));
    if (i % 3 === 1) return valid.subarray(0, i % valid.length);
    const changed = Uint8Array.from(valid);
    changed.set(randomBytes(4), i % (valid.length - 4));
    return changed;
  };
  const before = await resident();
  for (let round = 0; round < 40; round++) {
    const batch = encodeNodeBatch(Array.from({ length: 100 }, (_, i) => nonsense(round * 100 + i)));
    const statuses = await Promise.all([
      post(batch),
      post(batch.subarray(0, batch.length - round - 1)),
      post(randomBytes(2000)),
    ]);
    expect(statuses).toEqual([200, 400, 400]);
  }
  await pool.close();
  const api = fleet.trust().coordinators[0]!;
  for (let i = 0; i < 300; i++) {
    const body =
      i % 2 === 0 ? randomBytes(300).toString('latin1') : JSON.stringify({ fleet: 1, record: 'x'.repeat(i) });
    const headers = { 'content-type': 'application/json' };
    const path = ['status', 'attempt', 'confirm', 'nothing'][i % 4];
    const response = await fleet.fetch(`${api}/v1/${path}`, { method: 'POST', headers, body });
    await response.body?.cancel();
    expect([400, 404]).toContain(response.status);
  }
  expect(fleet.pid('node-2')).toBe(pid);
  await fleet.kill(4, 5);
  expect(await recovers(client)).toBe(true);
  await fleet.start(4, 5);
  expect((await resident()) - before).toBeLessThan(200 * 1024 * 1024);
});

test('a token taken away: the node ends or is unready, the others go on; it serves when the token is back', async () => {
  const client = await fleet.enrolled('erin');
  const tokens = fleet.of(5, 'token', 'tokens');
  const logged = fleet.log('node-5').length;
  renameSync(tokens, fleet.of(5, 'taken'));
  for (let i = 0; i < 3; i++) expect(await recovers(client)).toBe(true);
  await until('it no longer serves', async () => !(await fleet.process('node-5')).ready);
  await until('it says why', () =>
    /"event":"(token fails|fatal)","code":"token_/.test(fleet.log('node-5').slice(logged)),
  );
  expect(await recovers(client)).toBe(true);
  // What a restart without the token made in its place holds nothing.
  await fleet.kill(5);
  if (existsSync(tokens)) expect(readdirSync(tokens)).toEqual([]);
  rmSync(tokens, { recursive: true, force: true });
  renameSync(fleet.of(5, 'taken'), tokens);
  await fleet.start(5);
  expect(fleet.log('node-5').slice(logged)).not.toContain('store refused');
  await fleet.kill(1, 2);
  expect(await recovers(client)).toBe(true);
  await fleet.start(1, 2);
});
