/** The cosigner over real sockets: everything a reader, an operator, a witness and an attacker can ask of it. */

import fc from 'fast-check';
import type { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesToHex, hexToBytes, sha256, utf8 } from '../../src/core/index.ts';
import {
  type DeployManifest,
  parseCheckpoint,
  parseEntryBundle,
  parseNote,
  parseVerifierKey,
  type TrustReader,
  tilePath,
  tileTrustReader,
  verifyPlexi,
  verifyTrustSet,
} from '../../src/trust/index.ts';
import { REVOKER } from '../trust/fixture.ts';
import { DAY, deployment, revocation } from '../trust/manifests.ts';
import { countersigned, digest, EVIDENCE, signedBy, text } from './cosigner-fixture.ts';
import { type Answered, get, PLEXI, post, ServiceBench, until } from './service-fixture.ts';

const start = Math.floor(Date.now() / DAY) * DAY;
const manifestNow = (changes: Partial<DeployManifest> = {}) =>
  deployment({ notBefore: start - DAY, notAfter: start + 300 * DAY, ...changes });

let bench: ServiceBench;
let reader: Pool;
let operator: Pool;

const whenReady = () => until(async () => ((await get(reader, '/readyz')).status === 200 ? true : undefined));

beforeAll(async () => {
  bench = await ServiceBench.start();
  reader = await bench.connect('public');
  operator = await bench.connect({ role: 'operator', name: 'olga' });
  await whenReady();
});
afterAll(async () => {
  await bench.close();
});

const submitJson = (body: unknown) =>
  post(operator, '/submit/evidence', typeof body === 'string' ? body : JSON.stringify(body), 'application/json');

const code = (answer: Answered) => answer.json().code as string;

describe('a bundle, from its evidence to a client that verifies it', () => {
  const manifest = manifestNow();
  let both: string;

  test('evidence and proposal are submitted with mutual TLS; the same again is answered the same', async () => {
    const logged = await until(async () => {
      const answer = await submitJson(EVIDENCE);
      return answer.status === 200 ? answer : undefined;
    });
    expect((await submitJson(EVIDENCE)).json()).toEqual(logged.json());
    const proposed = await post(operator, '/submit/proposal', text(manifest));
    expect([proposed.status, proposed.json()]).toMatchObject([200, { status: 'logged', digest: digest(manifest) }]);
    expect((await post(operator, '/submit/proposal', text(manifest))).json()).toEqual(proposed.json());
    both = await countersigned(proposed.json().note);
  });

  test('the acceptance may come from anybody, over the public listener, again and again', async () => {
    const accepted = await post(reader, '/submit/acceptance', both);
    expect([accepted.status, accepted.json().note]).toEqual([200, both]);
    expect((await post(reader, '/submit/acceptance', both)).json()).toEqual(accepted.json());
    expect((await post(operator, '/submit/acceptance', both)).json()).toEqual(accepted.json());
  });

  test('the accepted bundle’s text is found by its digest, for clients that go along the chain', async () => {
    const found = await get(reader, `/trust/bundles/${digest(manifest)}`);
    expect([found.status, new TextDecoder().decode(found.bytes)]).toEqual([200, text(manifest)]);
    expect(found.headers['cache-control']).toContain('immutable');
  });

  test('the trust set appears, and a client verifies it, with tiles from the same server', async () => {
    const set = await until(async () => {
      const answer = await get(reader, '/trust/first');
      return answer.status === 200 ? answer : undefined;
    });
    const name = bytesToHex(sha256(set.bytes));
    const kept = await get(reader, `/trust/sets/${name}`);
    expect(kept.bytes).toEqual(set.bytes);
    expect(kept.headers['cache-control']).toContain('immutable');
    expect(set.headers['content-type']).toBe('application/json');
    const trustReader: TrustReader = tileTrustReader(
      async (tile) => (await get(reader, `/${tilePath(tile)}`)).bytes,
      async () => {
        throw new Error('no older bundle');
      },
    );
    const verified = await verifyTrustSet({
      set: set.bytes,
      policy: bench.policy,
      configuration: { vault: 'family', environment: 'production', fleet: 'first' },
      operation: 'enrol',
      state: undefined,
      reader: trustReader,
      clock: Date.now(),
      builtAt: start,
    });
    expect(verified.digest).toBe(digest(manifest));
  });

  test('the log is served as tlog-tiles: checkpoint, tiles, entries', async () => {
    const checkpoint = await get(reader, '/checkpoint');
    expect(checkpoint.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(checkpoint.headers['cache-control']).toBe('public, max-age=5');
    const { size } = parseCheckpoint(parseNote(checkpoint.text).text);
    expect(parseNote(checkpoint.text).signatures.length).toBe(4);
    const entries = await get(reader, `/tile/entries/000.p/${size}`);
    expect(entries.headers['content-type']).toBe('application/octet-stream');
    expect(entries.headers['cache-control']).toContain('immutable');
    const leaves = parseEntryBundle(entries.bytes, size).map((leaf) => new TextDecoder().decode(leaf));
    expect(leaves.filter((leaf) => leaf.startsWith('holdfast/acceptance/v1\n')).length).toBe(1);
    expect(leaves.at(-1)).toMatch(/^holdfast\/roster\/v1\n/);
    expect((await get(reader, `/tile/0/000.p/${size}`)).bytes.length).toBe(32 * size);
  });

  test('the configured policy is in the log and served by its version', async () => {
    const policy = await get(reader, '/policies/1');
    expect(parseNote(policy.text).text).toBe(bench.policy.text);
    expect((await get(reader, '/policies/2')).status).toBe(404);
  });

  test('the Plexi view has the accepted bundle, signed once by its own key', async () => {
    const namespace = 'family.production.first';
    const audit = await until(async () => {
      const answer = await get(reader, `/namespaces/${namespace}/audits/1`);
      return answer.status === 200 ? answer : undefined;
    });
    const { signature, timestamp, digest: shown, epoch, ciphersuite, key_id } = audit.json();
    expect([shown, epoch, ciphersuite]).toEqual([digest(manifest), 1, 1]);
    const { publicKey } = parseVerifierKey(PLEXI.verifierKey);
    const statement = { namespace, timestamp, epoch, digest: hexToBytes(shown) };
    expect(verifyPlexi(publicKey, statement, hexToBytes(signature))).toBe(true);
    const info = (await get(reader, '/info')).json();
    expect(info).toEqual({
      keys: [{ public_key: bytesToHex(publicKey), not_before: 1_700_000_000_000 }],
      logs: [namespace],
    });
    expect(key_id).toBe(publicKey.at(-1));
    const listed = (await get(reader, '/namespaces')).json().namespaces;
    expect(listed).toEqual([(await get(reader, `/namespaces/${namespace}`)).json()]);
    expect(listed[0]).toMatchObject({ status: 'Online', log_directory: null, root: `1/${digest(manifest)}` });
    expect((await get(reader, `/namespaces/${namespace}/last-verified-epoch`)).json()).toMatchObject({
      epoch: 1,
      start_hash: '0'.repeat(64),
      end_hash: digest(manifest),
      job_id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
    });
    expect((await get(reader, `/namespaces/${namespace}/audits/1`)).text).toBe(audit.text);
  });

  test('it is all there after a restart, byte for byte', async () => {
    const paths = ['/trust/first', '/checkpoint', '/namespaces/family.production.first/audits/1', '/policies/1'];
    const before = await Promise.all(paths.map(async (path) => (await get(reader, path)).text));
    await bench.close();
    bench.disk = bench.disk.reopen();
    // No witness answers: what had a quorum stays in force.
    for (const witness of bench.witnesses.witnesses) {
      witness.misbehave = async () => ({ status: 503, body: new Uint8Array() });
    }
    await bench.run();
    reader = await bench.connect('public');
    operator = await bench.connect({ role: 'operator', name: 'olga' });
    expect(await Promise.all(paths.map(async (path) => (await get(reader, path)).text))).toEqual(before);
    const refused = await submitJson({ ...EVIDENCE, size: 77 });
    expect([refused.status, code(refused)]).toEqual([503, 'not_ready']);
    expect((await get(reader, '/readyz')).status).toBe(503);
    for (const witness of bench.witnesses.witnesses) witness.misbehave = undefined;
    await whenReady();
  });

  test('a revocation by anybody who may revoke takes effect for clients', async () => {
    const revoke = revocation({ fleet: 'first', serial: 1, digest: digest(manifest) });
    const answer = await post(reader, '/submit/revocation', await signedBy(revoke, REVOKER));
    expect(answer.status).toBe(200);
    const set = await until(async () => {
      const { text: found } = await get(reader, '/trust/first');
      return found.includes('"revocation"') ? found : undefined;
    });
    expect(JSON.parse(set).roster).toContain('"state":"revoked"');
    expect((await get(reader, '/namespaces/family.production.first')).json().status).toBe('Disabled');
  });
});

describe('who may come in', () => {
  test('nobody submits without a certificate of the role operator', async () => {
    const coordinator = await bench.connect({ role: 'coordinator', name: 'somebody' });
    await expect(post(coordinator, '/submit/proposal', 'x')).rejects.toThrow();
    expect((await post(reader, '/submit/proposal', 'x')).status).toBe(404);
    expect((await post(reader, '/submit/evidence', '{}', 'application/json')).status).toBe(404);
    expect((await post(reader, '/submit/policy', 'x')).status).toBe(404);
  });

  test('approval is for those who are named; others may look', async () => {
    const other = await ServiceBench.start({ approvers: ['anna'] });
    try {
      const ready = await other.connect('public');
      await until(async () => ((await get(ready, '/readyz')).status === 200 ? true : undefined));
      const olga = await other.connect({ role: 'operator', name: 'olga' });
      const anna = await other.connect({ role: 'operator', name: 'anna' });
      await until(async () => {
        const answer = await post(olga, '/submit/evidence', JSON.stringify(EVIDENCE), 'application/json');
        return answer.status === 200 ? true : undefined;
      });
      const manifest = manifestNow();
      const pending = await post(olga, '/submit/proposal', text(manifest));
      expect([pending.status, pending.json()]).toEqual([202, { status: 'pending', digest: digest(manifest) }]);
      const path = `/submit/waiting/${digest(manifest)}`;
      expect((await get(olga, '/submit/waiting')).json().waiting).toMatchObject([{ text: text(manifest) }]);
      expect(code(await post(olga, `${path}/approve`, ''))).toBe('forbidden');
      expect(code(await post(olga, `${path}/reject`, ''))).toBe('forbidden');
      expect(code(await post(anna, `/submit/waiting/${'0'.repeat(64)}/approve`, ''))).toBe('not_found');
      expect((await post(anna, `${path}/approve`, '')).json()).toMatchObject({ status: 'logged' });
      const late = manifestNow({ serial: 2, previous: digest(manifest), notAfter: start + 200 * DAY });
      expect((await post(olga, '/submit/proposal', text(late))).status).toBe(202);
      expect((await post(anna, `/submit/waiting/${digest(late)}/reject`, '')).json()).toMatchObject({
        status: 'rejected',
      });
      expect((await get(olga, '/submit/waiting')).json()).toEqual({ waiting: [] });
    } finally {
      await other.close();
    }
  });
});

describe('a log that was put back', () => {
  test('signs nothing any more once a witness has said so', async () => {
    const other = await ServiceBench.start();
    const image = other.disk.snapshot();
    const ready = await other.connect('public');
    await until(async () => ((await get(ready, '/policies/1')).status === 200 ? true : undefined));
    await until(async () =>
      parseCheckpoint(parseNote((await get(ready, '/checkpoint')).text).text).size > 1 ? true : undefined,
    );
    await other.close();
    other.disk = other.disk.reopen();
    other.disk.restore(image);
    await other.run();
    try {
      const answer = await until(async () => {
        const { status, text: shown } = await other.monitoring('/readyz');
        return status === 503 && shown.includes('older than what was published') ? shown : undefined;
      });
      expect(answer).toContain('w1.example');
      const olga = await other.connect({ role: 'operator', name: 'olga' });
      expect(code(await post(olga, '/submit/evidence', JSON.stringify(EVIDENCE), 'application/json'))).toBe(
        'store_refused',
      );
      expect((await other.monitoring('/metrics')).text).toContain('holdfast_cosigner_alarm 1');
    } finally {
      await other.close();
    }
  });
});

describe('bad input', () => {
  test.each([
    '/tile/0/000.p/0',
    '/tile/0/000.p/256',
    '/tile/0/0',
    '/tile/00/000',
    '/tile/64/000',
    '/tile/0/x001',
    '/tile/0/999',
    '/tile/entries/..%2f..%2f.published',
    '/tile/%30/000.p/1',
    '/tile/../.published',
    '/.published',
    '/tile/.new-1-1',
    '/trust/sets/x',
    `/trust/sets/${'0'.repeat(64)}`,
    '/trust/bundles/x',
    `/trust/bundles/${'0'.repeat(64)}`,
    '/trust/..%2fsets',
    '/trust/unknown',
    '/policies/0',
    '/policies/01',
    '/policies/99999999999',
    '/namespaces/unknown',
    '/namespaces/unknown/audits/1',
    '/namespaces/family.production.first/audits/0',
    '/namespaces/family.production.first/audits/9007199254740993',
    '/namespaces/family.production.first/audits/-1',
    '/nothing',
  ])('GET %s is not found, as a problem that no cache keeps', async (path) => {
    const answer = await get(reader, path);
    expect([answer.status, answer.headers['content-type'], answer.headers['cache-control']]).toEqual([
      404,
      'application/problem+json; charset=utf-8',
      'no-store',
    ]);
  });

  test('bodies that are too large, of another type, not text, or nothing', async () => {
    for (const [pool, kind] of [
      [operator, 'proposal'],
      [operator, 'policy'],
      [operator, 'acceptance'],
      [operator, 'revocation'],
      [reader, 'acceptance'],
      [reader, 'revocation'],
    ] as const) {
      const path = `/submit/${kind}`;
      expect((await post(pool, path, 'x'.repeat(65_536))).status).toBe(413);
      expect((await post(pool, path, 'x', 'application/octet-stream')).status).toBe(400);
      expect((await post(pool, path, '{}', 'application/json')).status).toBe(400);
      expect((await post(pool, path, Uint8Array.of(0xff, 0xfe))).status).toBe(400);
      expect([400, 422]).toContain((await post(pool, path, '')).status);
    }
  });

  test.each([
    '{}',
    '[]',
    'null',
    '{"sha256":"e","size":1,"address":"https://a.example/"}',
    `{"sha256":"${'E'.repeat(64)}","size":1,"address":"https://a.example/"}`,
    `{"sha256":"${'e'.repeat(64)}","size":0,"address":"https://a.example/"}`,
    `{"sha256":"${'e'.repeat(64)}","size":1,"address":"ftp://a.example/"}`,
    `{"sha256":"${'e'.repeat(64)}","size":1,"address":"https://a.example/","more":1}`,
    `{"sha256":"${'e'.repeat(64)}","sha256":"${'d'.repeat(64)}","size":1,"address":"https://a.example/"}`,
    '{"__proto__":1}',
    '{',
  ])('evidence %s is refused', async (body) => {
    expect([400, 422]).toContain((await submitJson(body)).status);
  });

  test('nothing that anybody sends makes the service fail, and nothing of it gets into the log', async () => {
    const size = async () => parseCheckpoint(parseNote((await get(reader, '/latest-checkpoint')).text).text).size;
    const before = await size();
    const signed = await signedBy(manifestNow({ notAfter: start + 10 * DAY }), REVOKER);
    const mutated = fc
      .tuple(fc.nat(signed.length - 1), fc.string({ maxLength: 3 }))
      .map(([at, by]) => signed.slice(0, at) + by + signed.slice(at + 1));
    const body = fc.oneof(fc.string({ maxLength: 300 }), mutated, fc.constant(signed));
    const target = fc.constantFrom(
      ...['operator proposal', 'operator acceptance', 'operator revocation', 'operator policy'],
      ...['reader acceptance', 'reader revocation'],
    );
    await fc.assert(
      fc.asyncProperty(target, body, async (to, content) => {
        const [who, kind] = to.split(' ');
        const { status } = await post(who === 'reader' ? reader : operator, `/submit/${kind}`, utf8(content));
        expect([400, 404, 409, 413, 422, 502]).toContain(status);
      }),
      { numRuns: 150 },
    );
    await fc.assert(
      fc.asyncProperty(fc.webPath(), async (path) => {
        expect((await get(reader, path === '' ? '/' : path)).status).toBeLessThan(500);
      }),
      { numRuns: 100 },
    );
    expect(await size()).toBe(before);
  });
});

test('metrics and health are on a listener of their own', async () => {
  expect((await bench.monitoring('/healthz')).status).toBe(200);
  const { text: metrics } = await bench.monitoring('/metrics');
  expect(metrics).toMatch(/holdfast_cosigner_log_size \d+/);
  expect(metrics).toContain('holdfast_cosigner_submissions_total{kind="revocation",code="ok"}');
});
