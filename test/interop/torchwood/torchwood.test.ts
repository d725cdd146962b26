/**
 * The witness and others' tools: torchwood verifies what our witness cosigns, and litewitness, torchwood's own witness,
 * cosigns a checkpoint of ours. Both are Go programs, built from the modules that go.mod names.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, it } from 'vitest';
import { Secret, utf8 } from '../../../src/core/index.ts';
import { encodeAddCheckpoint, hashOf, startWitnessService } from '../../../src/cosigner/witness/index.ts';
import { ed25519KeyFromSeed } from '../../../src/crypto/index.ts';
import { createLogger } from '../../../src/http/index.ts';
import {
  EMPTY_ROOT,
  newVerifierKey,
  parseNote,
  parseSignatureLines,
  proveConsistency,
  toBase64,
  verifyNote,
} from '../../../src/trust/index.ts';
import { SampleLog } from '../../cosigner/sample-log.ts';
import { newDisk, StoppedClock, witnessKey, witnessSigner } from '../../cosigner/witness/fixtures.ts';
import { reservePorts } from '../../ports.ts';
import { buildGo } from '../go.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const folder = mkdtempSync(join(tmpdir(), 'interop-'));
const log = new SampleLog('log.example/interop').grow(20);

const interop = buildGo('torchwood');
const litewitness = 'program' in interop ? buildGo('torchwood', 'filippo.io/torchwood/cmd/litewitness') : interop;
const missing = new Set([interop, litewitness].map((built) => ('missing' in built ? built.missing : undefined)));
for (const reason of missing) {
  if (reason) process.stdout.write(`Skipped: ${reason}, so nothing is compared with torchwood.\n`);
}
/** For tests that run only where it is there. */
const pathOf = (built: ReturnType<typeof buildGo>) => ('program' in built ? built.program : '');

const running = new Set<ChildProcess>();
afterAll(() => {
  for (const child of running) child.kill('SIGKILL');
});

describe.skipIf('missing' in interop)('torchwood', () => {
  it('verifies what our witness cosigns and serves', async () => {
    const service = await startWitnessService({
      signer: witnessSigner,
      logs: [{ origin: log.origin, keys: [log.key] }],
      clock: new StoppedClock(),
      disk: await newDisk(),
      tls: undefined,
      listen: LOOPBACK,
      metrics: LOOPBACK,
      rateLimit: undefined,
      trustedProxies: [],
      maximumInFlight: 10,
      log: createLogger('silent', {}),
    });
    try {
      const verify = (note: string) =>
        JSON.parse(
          execFileSync(pathOf(interop), ['verify', log.key.text, witnessKey.text], { input: note, encoding: 'utf8' }),
        ) as unknown;
      for (const [oldSize, size] of [
        [0, 7],
        [7, 20],
      ] as const) {
        const body = (await log.request(oldSize, size)) as Uint8Array<ArrayBuffer>;
        const response = await fetch(`${service.url}/add-checkpoint`, { method: 'POST', body });
        const expected = { origin: log.origin, size, seconds: new StoppedClock().seconds };
        expect(verify((await log.checkpoint(size)) + (await response.text()))).toEqual(expected);
        const served = await fetch(`${service.url}/${hashOf(log.origin)}/checkpoint`);
        expect(verify(await served.text())).toEqual(expected);
      }
    } finally {
      await service.close();
    }
  });
});

describe.skipIf('missing' in litewitness)('litewitness', () => {
  it('cosigns our checkpoints with our proofs, and refuses a fork as ours does', async () => {
    const seed = 'a seed of thirty-two bytes, yes!';
    const key = newVerifierKey('lite.example/w', 'cosignature', ed25519KeyFromSeed(new Secret(utf8(seed))).publicKey);
    const url = await startLitewitness(seed, key.name);
    const send = async (oldSize: number, size: number, from = log) => {
      const proof = await proveConsistency(oldSize, size, from);
      const body = encodeAddCheckpoint({ oldSize, proof, checkpoint: utf8(await from.checkpoint(size)) });
      const response = await fetch(`${url}/add-checkpoint`, { method: 'POST', body });
      return { status: response.status, body: await response.text() };
    };
    for (const [oldSize, size] of [
      [0, 7],
      [7, 20],
      [20, 20],
    ] as const) {
      const { status, body } = await send(oldSize, size);
      expect(status).toBe(200);
      const { text } = parseNote(await log.checkpoint(size));
      expect(verifyNote({ text, signatures: parseSignatureLines(body) }, [key])).toHaveLength(1);
    }
    expect(await send(7, 20)).toEqual({ status: 409, body: '20\n' });
    const fork = new SampleLog(log.origin).grow(25, 'forked');
    expect((await send(20, 25, fork)).status).toBe(422);
  });
});

/** Its key is in an agent, its logs in a database, as `witnessctl` would write it. */
async function startLitewitness(seed: string, name: string): Promise<string> {
  const [socket, db] = [join(folder, 'agent'), join(folder, 'witness.db')];
  const agent = spawn(pathOf(interop), ['agent', socket, seed], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.add(agent);
  const [fingerprint] = (await once(createInterface(agent.stdout), 'line')) as [string];
  const database = new DatabaseSync(db);
  database.exec(`
    CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL);
    CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin));
  `);
  database.prepare('INSERT INTO log VALUES (?, 0, ?)').run(log.origin, toBase64(EMPTY_ROOT));
  database.prepare('INSERT INTO key VALUES (?, ?)').run(log.origin, log.key.text);
  database.close();
  const listen = `127.0.0.1:${await reservePorts()}`;
  const words = ['-name', name, '-db', db, '-ssh-agent', socket, '-listen', listen, '-key', fingerprint];
  const child = spawn(pathOf(litewitness), words, { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder });
  running.add(child);
  const url = `http://${listen}`;
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const answers = () =>
    fetch(url).then(
      ({ ok }) => ok,
      () => child.exitCode ?? said,
    );
  await expect.poll(answers, { timeout: 240_000 }).toBe(true);
  return url;
}
