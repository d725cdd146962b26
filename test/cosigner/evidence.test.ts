/** What the cosigner asks of evidence before it signs, from where it takes it, and that it serves what it took. */

import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromUtf8, HoldfastError, utf8 } from '../../src/core/index.ts';
import {
  type CosignedCheckpoint,
  LOG_TABLES,
  type LogTable,
  readRows,
  TileFiles,
} from '../../src/cosigner/log/index.ts';
import {
  createEvidenceCheck,
  type EvidenceContext,
  EvidenceFiles,
  type FetchEvidence,
} from '../../src/cosigner/service/index.ts';
import { publishSite } from '../../src/cosigner/service/site-files.ts';
import {
  type EvidenceKey,
  fileEntry,
  publicKeyOf,
  type Statement,
  type StatementOf,
  type VendorRoot,
} from '../../src/evidence/index.ts';
import { openEvidenceFetcher } from '../../src/service/evidence-fetch.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { digestOf, parsePolicy, serialiseBundle, serialisePolicy } from '../../src/trust/index.ts';
import {
  agreementOf,
  ceremonyOf,
  EVIDENCE_KEY,
  type EvidenceFolder,
  evidenceFolder,
  personKey,
  serviceRecordOf,
  signed,
  withProof,
} from '../evidence/scene.ts';
import { trustPolicy } from '../trust/fixture.ts';
import { DAY, deployment } from '../trust/manifests.ts';
import { countersigned, text } from './cosigner-fixture.ts';
import { get, post, ServiceBench, until } from './service-fixture.ts';

const MEGABYTE = 1_048_576;

async function files(maximumBytes = MEGABYTE): Promise<EvidenceFiles> {
  const folder = mkdtempSync(join(tmpdir(), 'evidence-'));
  // Nothing of a log is written here.
  const rows = readRows(new MemoryKeyValueStore<LogTable>(undefined, LOG_TABLES));
  return EvidenceFiles.open({ files: new TileFiles({ folder, rows }), folder, maximumBytes });
}

/** Serves a folder of evidence at the addresses that it names. */
const serving =
  (scene: EvidenceFolder, asked: string[] = []): FetchEvidence =>
  async (address) => {
    asked.push(address);
    const [digest = ''] = /[0-9a-f]{64}/.exec(address) ?? [];
    const found = scene.files.get(digest);
    if (found) return found;
    throw new HoldfastError('not_ready', `${address} answered with status 404`);
  };

interface CheckOptions {
  readonly fetch?: FetchEvidence | undefined;
  readonly kept?: EvidenceFiles;
  readonly vendorRoots?: readonly VendorRoot[];
  /** What the log says differently than that everything is there, in its order. */
  readonly context?: Partial<EvidenceContext>;
}

const POLICY = parsePolicy(serialisePolicy(trustPolicy()));
const LOGGED: EvidenceContext = {
  ...{ policy: POLICY, operator: 'olga', earlier: [], isLogged: () => true, placeOf: () => 0 },
};

async function codeOf(scene: EvidenceFolder, options: CheckOptions = {}): Promise<string> {
  const { manifest } = scene;
  const { fetch, kept = await files(), vendorRoots } = options;
  const check = createEvidenceCheck({ files: kept, fetch, vendorRoots });
  const bundle = { text: serialiseBundle(manifest), digest: '', manifest };
  try {
    await check.verify(bundle, { ...LOGGED, ...options.context });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return error.code;
  }
}

describe('evidence before a bundle is signed', () => {
  it('is fetched by the addresses that it names, verified, and kept to be served', async () => {
    const [scene, kept, asked] = [evidenceFolder(), await files(), [] as string[]];
    expect(await codeOf(scene, { kept, fetch: serving(scene, asked) })).toBe('accepted');
    expect(asked).toHaveLength(scene.files.size);
    expect(asked.every((address) => address.startsWith('https://vault.example/evidence/'))).toBe(true);
    for (const digest of scene.files.keys()) expect(kept.has(digest)).toBe(true);
    // Nothing is fetched twice.
    expect(await codeOf(scene, { kept })).toBe('accepted');
  });

  it('is what was uploaded, also where nothing is fetched', async () => {
    const [scene, kept] = [evidenceFolder(), await files()];
    expect(await codeOf(scene, { kept })).toBe('evidence_missing');
    for (const content of scene.files.values()) await kept.keep(content, 'json');
    expect(await codeOf(scene, { kept })).toBe('accepted');
  });

  it('is refused with its own code for each thing that is wrong, and then nothing of it is kept', async () => {
    const scene = evidenceFolder();
    const without = (digest: string) => {
      const files = new Map(scene.files);
      files.delete(digest);
      return { ...scene, files };
    };
    const [first, second] = scene.evidence.statements;
    const cases: [string, () => Promise<string>][] = [
      ['evidence_missing', () => codeOf(scene, { fetch: serving(without(first!.sha256)) })],
      ['evidence_unlogged', () => codeOf(scene, { fetch: serving(scene), context: unlogged(second!.sha256) })],
      ['evidence_wrong', () => codeOf(scene, { fetch: async () => utf8('{}') })],
      ['untrusted', () => codeOf(scene, { fetch: () => Promise.reject(new HoldfastError('untrusted', 'inside')) })],
      ['too_large', () => codeOf(scene, { fetch: () => Promise.reject(new HoldfastError('too_large', 'large')) })],
    ];
    for (const [expected, run] of cases) expect(await run()).toBe(expected);
    const kept = await files();
    const other = evidenceFolder({ statements: (all) => all.slice(1) });
    expect(await codeOf(other, { kept, fetch: serving(other) })).toBe('evidence_missing');
    for (const digest of other.files.keys()) expect(kept.has(digest)).toBe(false);
  });

  it('is looked at for two bundles together at most, so that nobody’s slow addresses keep all others out', async () => {
    const [scene, stop] = [evidenceFolder(), Promise.withResolvers<never>()];
    const check = createEvidenceCheck({ files: await files(), fetch: () => stop.promise });
    const { manifest } = scene;
    const verify = (operator: string) => check.verify({ text: '', digest: '', manifest }, { ...LOGGED, operator });
    const held = [verify('mallory')];
    await expect(verify('mallory')).rejects.toMatchObject({ code: 'overloaded' });
    held.push(verify('olga'));
    await expect(verify('otto')).rejects.toMatchObject({ code: 'overloaded' });
    stop.reject(new HoldfastError('not_ready', 'it ends'));
    for (const one of held) await expect(one).rejects.toMatchObject({ code: 'evidence_missing' });
    await expect(verify('otto')).rejects.toMatchObject({ code: 'evidence_missing' });
  });

  it('is about this fleet’s keys: another key of a node, or one statement for another, is refused', async () => {
    const scene = evidenceFolder();
    const manifest = {
      ...scene.manifest,
      nodes: scene.manifest.nodes.map((node, i) => (i === 0 ? { ...node, region: 'elsewhere' } : node)),
    };
    expect(await codeOf({ ...scene, manifest }, { fetch: serving(scene) })).toBe('evidence_mismatch');
  });
});

/** The log has everything but one file. */
const unlogged = (missing: string): Partial<EvidenceContext> => ({ isLogged: ({ sha256 }) => sha256 !== missing });

const changed = <K extends Statement['kind']>(kind: K, change: (statement: StatementOf<K>) => Statement) => ({
  statements: (all: Statement[]) =>
    all.map((each) => (each.kind === kind ? change(each as unknown as StatementOf<K>) : each)),
});

/** Evidence with the key of an exchange on the first node, and the texts that the log must have of it. */
function agreement() {
  const exchange = agreementOf(deployment(), 'node-1', 'oprf');
  const scene = evidenceFolder(
    changed('node-keys', (each) =>
      each.predicate.node === 'node-1'
        ? { ...each, predicate: withProof(each.predicate, 'oprf', exchange.proof) }
        : each,
    ),
  );
  const statement = scene.evidence.statements.find(({ node }) => node === 'node-1')!.sha256;
  return { scene, order: [digestOf(exchange.commitment), digestOf(exchange.answer), statement] };
}

describe('what an audit would refuse, the cosigner does not sign', () => {
  const statement = (scene: EvidenceFolder, i: number) => scene.evidence.statements[i]!;
  const attested = () =>
    evidenceFolder({ bundle: { nodes: deployment().nodes.map((node) => ({ ...node, tokenClass: 'attested' })) } });
  const keyed = (key: EvidenceKey) =>
    evidenceFolder({ evidence: (evidence) => ({ ...evidence, keys: [...evidence.keys, key] }) });
  const cosigner = publicKeyOf('Ed25519', POLICY.policy.cosigner.publicKey);
  const witness = publicKeyOf('Ed25519', POLICY.tlog.witnesses[0]!.key.publicKey);
  const identity = publicKeyOf('P-256', deployment().nodes[1]!.keys.identity);

  it.each<[string, string, () => EvidenceFolder, Partial<EvidenceContext>?]>([
    [
      'a statement whose leaf has another size',
      'evidence_unlogged',
      evidenceFolder,
      { isLogged: ({ size }) => size < 1500 },
    ],
    ['a key of the cosigner that signs evidence', 'evidence_mismatch', () => keyed({ name: 'k', ...cosigner })],
    ['a key of a witness that signs evidence', 'evidence_mismatch', () => keyed({ name: 'k', ...witness })],
    ['a key of a node that signs evidence', 'evidence_mismatch', () => keyed({ name: 'k', ...identity })],
    ['one key with two names', 'evidence_mismatch', () => keyed({ ...EVIDENCE_KEY, name: 'another' })],
    ['a class that nobody attests', 'token_class_unproven', attested],
    [
      'a transcript that is not in the evidence',
      'evidence_missing',
      () =>
        evidenceFolder(
          changed('ceremony', (each) => ({
            ...each,
            predicate: ceremonyOf(deployment(), { transcript: 'a'.repeat(64) }),
          })),
        ),
    ],
    [
      'a key of evidence that was a person in the ceremony',
      'evidence_mismatch',
      () =>
        evidenceFolder({
          evidence: (evidence) => ({ ...evidence, keys: [...evidence.keys, { name: 'Anna', ...personKey('Anna') }] }),
        }),
    ],
    ['an exchange that is not in the log', 'possession_invalid', () => agreement().scene, { placeOf: () => undefined }],
  ])('%s: %s', async (_what, code, make, context = {}) => {
    const scene = make();
    const kept = await files();
    expect(await codeOf(scene, { kept, fetch: serving(scene), context })).toBe(code);
    // Nothing else was wrong.
    expect(statement(scene, 0)).toBeDefined();
    for (const digest of scene.files.keys()) expect(kept.has(digest)).toBe(false);
  });

  it('an exchange counts only in its order in the log', async () => {
    const { scene, order } = agreement();
    const place = (places: readonly string[]): Partial<EvidenceContext> => ({
      placeOf: (sha256) => places.indexOf(sha256),
    });
    expect(await codeOf(scene, { fetch: serving(scene), context: place(order) })).toBe('accepted');
    const [commitment, answer, own] = order as [string, string, string];
    for (const wrong of [
      [answer, commitment, own],
      [commitment, own, answer],
      [own, commitment, answer],
    ]) {
      expect(await codeOf(scene, { fetch: serving(scene), context: place(wrong) })).toBe('possession_invalid');
    }
  });
});

describe('addresses of evidence', () => {
  it('lead by HTTPS to the public Internet only, unless the configuration names an origin', async () => {
    const fetcher = openEvidenceFetcher({ authority: undefined, origins: [], timeout: 60_000 });
    const code = async (address: string) => {
      try {
        await fetcher.fetch(address, 10);
        return 'fetched';
      } catch (error) {
        return (error as HoldfastError).code;
      }
    };
    expect(await code('http://127.0.0.1:1/evidence')).toBe('untrusted');
    expect(await code('https://127.0.0.1:1/evidence')).toBe('untrusted');
    expect(await code('https://[::1]/evidence')).toBe('untrusted');
    expect(await code('https://[::ffff:127.0.0.1]/evidence')).toBe('untrusted');
    expect(await code('https://2130706433/evidence')).toBe('untrusted');
    expect(await code('https://localhost/evidence')).toBe('untrusted');
    expect(await code('https://169.254.169.254/latest/meta-data')).toBe('untrusted');
    for (const wrong of ['http://vault.example/', 'file:///etc/passwd', 'https://a:b@vault.example/', 'x']) {
      expect(await code(wrong)).toBe('usage');
    }
    await fetcher.close();
    expect(() => openEvidenceFetcher({ authority: undefined, origins: ['https://a.example/x'], timeout: 1 })).toThrow();
  });
});

describe('kept files of evidence', () => {
  it('are evidence and nothing else, and do not fill the disk', async () => {
    const kept = await files(2000);
    for (const [content, extension] of [
      [utf8('<html>'), 'json'],
      [utf8('{}'), 'json'],
      [new Uint8Array(3), 'txt'],
      [utf8('no certificate'), 'cer'],
    ] as const) {
      await expect(kept.keep(content, extension)).rejects.toMatchObject({ code: 'evidence_malformed' });
    }
    const transcript = utf8('a'.repeat(1500));
    const digest = await kept.keep(transcript, 'txt');
    expect(await kept.keep(transcript, 'txt')).toBe(digest);
    await expect(kept.keep(utf8('b'.repeat(1500)), 'txt')).rejects.toMatchObject({ code: 'overloaded' });
    expect(await kept.read(digest, 1500)).toEqual(transcript);
    await expect(kept.read(digest, 1499)).rejects.toMatchObject({ code: 'too_large' });
  });
});

describe('a site that is complete on its own', () => {
  let bench: ServiceBench;
  let reader: Pool;
  let operator: Pool;
  let scene: EvidenceFolder;
  const start = Math.floor(Date.now() / DAY) * DAY;

  beforeAll(async () => {
    const kept = await files();
    bench = await ServiceBench.start({
      evidence: createEvidenceCheck({ files: kept, fetch: undefined }),
      evidenceFiles: kept,
    });
    [reader, operator] = [await bench.connect('public'), await bench.connect({ role: 'operator', name: 'olga' })];
    await until(async () => ((await get(reader, '/readyz')).status === 200 ? true : undefined));
    scene = evidenceFolder({ bundle: { notBefore: start - DAY, notAfter: start + 300 * DAY } });
  });
  afterAll(async () => {
    await bench.close();
  });

  const upload = (content: Uint8Array, extension = 'json') =>
    post(operator, `/submit/evidence-file/${extension}`, content, 'application/octet-stream');
  const log = (content: Uint8Array) =>
    post(
      operator,
      '/submit/evidence',
      JSON.stringify({
        ...fileEntry(content),
        address: `https://vault.example/evidence/${fileEntry(content).address}`,
      }),
      'application/json',
    );

  it('signs once everything is uploaded and in the log, and says before what is missing', async () => {
    const { manifest, files: all } = scene;
    const refused = async () => (await post(operator, '/submit/proposal', text(manifest))).json().code;
    expect(await refused()).toBe('not_found');
    const named = all.get(manifest.evidence.sha256)!;
    expect((await log(named)).status).toBe(200);
    expect(await refused()).toBe('evidence_missing');
    for (const content of all.values())
      expect((await upload(content)).json()).toEqual({ sha256: fileEntry(content).sha256 });
    expect(await refused()).toBe('evidence_unlogged');
    for (const content of all.values()) await log(content);
    const proposed = await post(operator, '/submit/proposal', text(manifest));
    expect(proposed.json()).toMatchObject({ status: 'logged' });
    expect((await post(operator, '/submit/acceptance', await countersigned(proposed.json().note))).status).toBe(200);
  });

  it('serves evidence by its SHA-256, for pages anywhere, never as a page', async () => {
    for (const [digest, content] of scene.files) {
      for (const name of [digest, `${digest}.json`]) {
        const answer = await get(reader, `/evidence/${name}`);
        expect(answer.bytes).toEqual(content);
        expect(answer.headers).toMatchObject({
          'content-type': 'application/json',
          'access-control-allow-origin': '*',
          'x-content-type-options': 'nosniff',
          'cache-control': 'public, max-age=31536000, immutable',
        });
      }
    }
    for (const name of ['f'.repeat(64), '..%2fcheckpoint', `${'A'.repeat(64)}.json`, 'x']) {
      expect((await get(reader, `/evidence/${name}`)).status).toBe(404);
    }
  });

  it('takes files from operators only, in the three kinds, up to their size', async () => {
    const content = utf8('a transcript');
    expect((await post(reader, '/submit/evidence-file/txt', content, 'application/octet-stream')).status).toBe(404);
    expect((await upload(content, 'html')).status).toBe(404);
    expect((await upload(utf8('{"x":1}'))).json().code).toBe('evidence_malformed');
    expect((await upload(new Uint8Array(4_194_305), 'txt')).json().code).toBe('too_large');
    expect((await upload(content, 'txt')).json()).toEqual({ sha256: fileEntry(content).sha256 });
    const served = await get(reader, `/evidence/${fileEntry(content).sha256}`);
    expect([served.text, served.headers['content-type']]).toEqual(['a transcript', 'text/plain; charset=utf-8']);
  });

  it('notes no false size of a file that it has, nor a service record that contradicts its bundle', async () => {
    const { manifest, files: all } = scene;
    const [content] = [...all.values()] as [Uint8Array];
    const { sha256, size, address } = fileEntry(content);
    const lie = { sha256, size: size + 1, address: `https://vault.example/evidence/${address}` };
    const answer = await post(operator, '/submit/evidence', JSON.stringify(lie), 'application/json');
    expect(answer.json().code).toBe('evidence_wrong');
    const record = (limit: number, key = EVIDENCE_KEY) => signed(serviceRecordOf(manifest, { limit }), key);
    const wrong = record(manifest.policy.limit + 1);
    expect((await upload(wrong)).status).toBe(200);
    expect((await log(wrong)).json().code).toBe('evidence_mismatch');
    const forged = record(manifest.policy.limit, { ...EVIDENCE_KEY, name: 'somebody.example/evidence' });
    expect((await upload(forged)).status).toBe(200);
    expect((await log(forged)).json().code).toBe('evidence_signature');
    const right = record(manifest.policy.limit);
    expect((await upload(right)).status).toBe(200);
    expect((await log(right)).status).toBe(200);
  });

  it('says where an audit begins', async () => {
    const index = await until(async () => {
      const found = (await get(reader, '/site.json')).json();
      return found.fleets.length > 0 ? found : undefined;
    });
    const { manifest } = scene;
    expect(index).toMatchObject({
      format: 'holdfast/site/v1',
      vault: manifest.vault,
      environment: manifest.environment,
      policies: ['policies/1'],
      fleets: [
        {
          fleet: manifest.fleet,
          serial: 1,
          state: 'live',
          evidence: { file: `evidence/${manifest.evidence.sha256}.json` },
        },
      ],
    });
    expect(index.witnesses.length).toBeGreaterThan(0);
    for (const path of [...index.policies, index.checkpoint, index.fleets[0].trustSet, index.fleets[0].bundle]) {
      expect((await get(reader, `/${path}`)).status).toBe(200);
    }
    expect(readdirSync(bench.folder)).toContain('site.json');
  });

  it('leads an audit to no trust set that is not there yet', async () => {
    const rows = readRows(bench.disk);
    const fleetsAt = async (checkpoint: CosignedCheckpoint | undefined) => {
      const written = new Map<string, Uint8Array>();
      await publishSite({
        files: { replace: async (name, bytes) => void written.set(name, bytes) },
        log: { entry: (index) => rows.entry(index) },
        policy: bench.policy,
        policyLogged: true,
        checkpoint,
      });
      const { fleets } = JSON.parse(fromUtf8(written.get('site.json')!));
      return fleets.map(({ fleet }: { fleet: string }) => fleet);
    };
    const quorum = rows.cosigned('quorum')!;
    expect(await fleetsAt(quorum)).toEqual([scene.manifest.fleet]);
    // The first roster of the same log, with the acceptance behind it.
    expect(await fleetsAt({ ...quorum, size: 1 })).toEqual([]);
    expect(await fleetsAt(undefined)).toEqual([]);
  });
});

it('a signed statement that fits no manifest is still a statement that may be kept', async () => {
  const kept = await files();
  const record = {
    kind: 'software' as const,
    subject: { name: 'x description', sha256: 'a'.repeat(64) },
    predicate: {
      ...{ version: '1', source: 'git+https://code.example/x', commit: 'c'.repeat(40), lockfile: 'd'.repeat(64) },
      ...{ builder: 'https://b.example/', artifacts: [{ name: 'image', sha256: 'e'.repeat(64) }] },
    },
  };
  const content = signed(record, EVIDENCE_KEY);
  expect(await kept.keep(content, 'json')).toBe(fileEntry(content).sha256);
});
