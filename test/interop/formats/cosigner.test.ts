/**
 * What a cosigner serves, verified over HTTP by a Go program that has nothing of ours: sumdb/note, sumdb/tlog and
 * transparency-dev/formats. Between the two stands a server that can change one bit of whatever passes.
 */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromUtf8, sha256, utf8 } from '../../../src/core/index.ts';
import {
  parseCheckpoint,
  parseNote,
  serialiseCheckpoint,
  serialiseNote,
  signNote,
  toBase64,
} from '../../../src/trust/index.ts';
import { countersigned, digest, EVIDENCE, text } from '../../cosigner/cosigner-fixture.ts';
import { get, LOOPBACK, post, ServiceBench, until } from '../../cosigner/service-fixture.ts';
import { COSIGNER, LOG, OPERATOR, ROSTER } from '../../trust/fixture.ts';
import { DAY, deployment } from '../../trust/manifests.ts';
import { buildFormats } from '../go.ts';

const go = buildFormats();
if (go.missing !== undefined) process.stdout.write(`Skipped: ${go.missing}, so no Go client reads a cosigner.\n`);

/** With the roster of each batch, more than one tile of hashes. */
const LATER_BATCHES = 130;
const TILE = 256;
const start = Math.floor(Date.now() / DAY) * DAY;
const manifest = deployment({ notBefore: start - DAY, notAfter: start + 300 * DAY });

interface Finding {
  readonly size: number;
  readonly root: string;
  readonly older: number;
  readonly cosigned: Readonly<Record<string, number>>;
  readonly acceptance: number;
  readonly digest: string;
  readonly kept: readonly { readonly index: number }[];
}

/** Asks the cosigner once for each file; `change` makes something else of it. */
class Between {
  readonly files = new Map<string, Uint8Array>();
  change: ((path: string, bytes: Uint8Array) => Uint8Array) | undefined;
  #server!: Server;

  async listen(reader: Pool): Promise<string> {
    this.#server = createServer((request, response) => {
      const path = request.url ?? '/';
      const answer = async () => {
        if (!this.files.has(path)) {
          const { status, bytes } = await get(reader, path);
          if (status !== 200) return void response.writeHead(status).end();
          this.files.set(path, bytes);
        }
        const bytes = this.files.get(path)!;
        response.end(this.change?.(path, bytes) ?? bytes);
      };
      answer().catch(() => response.destroy());
    });
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}

describe.skipIf(go.missing !== undefined)('a Go client', () => {
  const between = new Between();
  let bench: ServiceBench;
  let url: string;
  let expected: string;
  let older: string;

  const expectation = (changes: object = {}) => {
    const path = join(mkdtempSync(join(tmpdir(), 'interop-')), 'expected.json');
    const known = {
      fleet: 'first',
      log: LOG.verifierKey,
      witnesses: bench.witnesses.witnesses.map(({ signer }) => signer.verifierKey),
      cosigner: COSIGNER.verifierKey,
      operator: OPERATOR.verifierKey,
      roster: ROSTER.verifierKey,
      older,
      ...changes,
    };
    writeFileSync(path, JSON.stringify(known));
    return path;
  };
  const fileOf = (path: RegExp) => [...between.files.keys()].find((each) => path.test(each));
  const check = (from = expected) => go.start<Finding>('check-cosigner', url, from);

  beforeAll(async () => {
    const listener = { listen: LOOPBACK, tls: undefined, rateLimit: undefined, trustedProxies: [] };
    bench = await ServiceBench.start({ public: listener });
    const reader = await bench.connect('public');
    const operator = await bench.connect({ role: 'operator', name: 'olga' });
    await until(async () => ((await get(reader, '/readyz')).status === 200 ? true : undefined));
    const addEvidence = (sha256Digest: string) => {
      const body = JSON.stringify({ ...EVIDENCE, sha256: sha256Digest });
      return post(operator, '/submit/evidence', body, 'application/json');
    };
    await until(async () => ((await addEvidence(EVIDENCE.sha256)).status === 200 ? true : undefined));
    older = await cosigned(reader, 2);
    const proposed = (await post(operator, '/submit/proposal', text(manifest))).json();
    await post(reader, '/submit/acceptance', await countersigned(proposed.note));
    let last = 0;
    for (let i = 0; i < LATER_BATCHES; i++) {
      const added = await addEvidence(String(i).padStart(64, '0'));
      expect(added.status).toBe(200);
      last = added.json().index;
    }
    // The last that there is: what is read below, one file after the other, is all of one checkpoint.
    const newest = await cosigned(reader, last + 1);
    // The trust set of the newest checkpoint, which is written when a quorum has cosigned.
    await until(async () => {
      const { status, bytes } = await get(reader, '/trust/first');
      return status === 200 && fromUtf8(bytes).includes(JSON.stringify(parseNote(newest).text).slice(1, -1))
        ? true
        : undefined;
    });
    url = await between.listen(reader);
    expected = expectation();
  });
  afterAll(async () => {
    await between.close();
    await bench.close();
  });

  /** The newest checkpoint, once it has at least that size and the lines of the log and of all witnesses. */
  const cosigned = (reader: Pool, size: number) =>
    until(async () => {
      const { status, text: note } = await get(reader, '/checkpoint');
      if (status !== 200) return undefined;
      const parsed = parseNote(note);
      const all = 1 + bench.witnesses.witnesses.length;
      return parsed.signatures.length === all && parseCheckpoint(parsed.text).size >= size ? note : undefined;
    });

  it('verifies checkpoint, cosignatures, growth, all leaves, the acceptance, the roster and the trust set', async () => {
    const before = Math.floor(start / 1000);
    const found = await check();
    const { size, root } = parseCheckpoint(parseNote(fromUtf8(between.files.get('/checkpoint')!)).text);
    expect(found).toMatchObject({ size, root: toBase64(root), digest: digest(manifest) });
    expect(size).toBeGreaterThan(TILE);
    expect(size).toBeLessThan(2 * TILE);
    expect(found.older).toBe(parseCheckpoint(parseNote(older).text).size);
    expect(found.older).toBeLessThan(size);
    expect(found.kept.map(({ index }) => index)).toEqual([found.acceptance, size - 1]);
    expect(Object.keys(found.cosigned).sort()).toEqual(['w1.example', 'w2.example', 'w3.example']);
    expect(Object.values(found.cosigned).every((time) => time > before)).toBe(true);
    // Of what is tampered with below nothing was left unread.
    for (const [, path] of pieces) expect(fileOf(path)).toBeDefined();
  });

  it.each(['log', 'cosigner', 'operator', 'roster'])('believes no other key of the %s', async (party) => {
    const other = party === 'cosigner' ? OPERATOR : COSIGNER;
    await expect(check(expectation({ [party]: other.verifierKey }))).rejects.toThrow();
  });

  it('asks for each witness', async () => {
    const witnesses = bench.witnesses.witnesses.map(({ signer }) => signer.verifierKey);
    await expect(check(expectation({ witnesses: witnesses.slice(1) }))).rejects.toThrow(
      /3 signatures verify, 1 do not/,
    );
    await expect(check(expectation({ fleet: 'second' }))).rejects.toThrow(/does not list the fleet/);
  });

  it('sees that a checkpoint of the same log is of another history', async () => {
    const { size } = parseCheckpoint(parseNote(older).text);
    const fork = serialiseCheckpoint({ origin: LOG.name, size, root: sha256(utf8('another history')) });
    const signed = serialiseNote(await signNote(fork, [LOG]));
    await expect(check(expectation({ older: signed }))).rejects.toThrow(/consistency: /);
  });

  /** For a piece: which bits of which file are tried. */
  const pieces: readonly (readonly [string, RegExp, (bytes: Uint8Array) => readonly [number, number]])[] = [
    ['the checkpoint', /^\/checkpoint$/, (bytes) => [0, bytes.length]],
    ['a full tile', /^\/tile\/0\/000$/, (bytes) => [0, bytes.length]],
    ['a partial tile', /^\/tile\/0\/001\.p\//, (bytes) => [0, bytes.length]],
    ['a tile of tiles', /^\/tile\/1\//, (bytes) => [0, bytes.length]],
    ['full entries', /^\/tile\/entries\/000$/, (bytes) => [0, bytes.length]],
    ['the roster among the entries', /^\/tile\/entries\/001\.p\//, (bytes) => [bytes.length - 400, bytes.length]],
    ['the bundle of the trust set', /^\/trust\/first$/, member('bundle')],
    ['its proof of the acceptance', /^\/trust\/first$/, member('acceptance')],
    ['its roster', /^\/trust\/first$/, member('roster')],
    ['its proof of the roster', /^\/trust\/first$/, member('rosterProof')],
  ];

  it.each(pieces)('refuses every bit that is flipped in %s', async (_piece, path, range) => {
    const file = fileOf(path)!;
    const right = between.files.get(file)!;
    const [from, to] = range(right);
    try {
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: from, max: to - 1 }), fc.nat(7), async (at, bit) => {
          const wrong = right.slice();
          wrong[at]! ^= 1 << bit;
          fc.pre(!sameToGo(right, wrong));
          between.change = (asked, bytes) => (asked === file ? wrong : bytes);
          await expect(check()).rejects.toThrow();
        }),
        { numRuns: 25 },
      );
    } finally {
      between.change = undefined;
    }
    expect((await check()).digest).toBe(digest(manifest));
  });
});

/** Where a member's text stands in a trust set's bytes. */
function member(name: string): (bytes: Uint8Array) => readonly [number, number] {
  return (bytes) => {
    const before = utf8(`"${name}":"`);
    const from = Buffer.from(bytes).indexOf(before) + before.length;
    return [from, Buffer.from(bytes).indexOf('"', from)];
  };
}

/**
 * Go's decoder of base64 overlooks the last bits of a text that stand for nothing; ours does not. So in what is compared
 * here, these bits are the only ones that Go does not protect.
 */
function sameToGo(right: Uint8Array, wrong: Uint8Array): boolean {
  const canonical = (bytes: Uint8Array) =>
    Buffer.from(bytes)
      .toString('latin1')
      .replace(/[A-Za-z0-9+/]{8,}={1,2}/g, (found) => Buffer.from(found, 'base64').toString('base64'));
  return canonical(right) === canonical(wrong);
}
