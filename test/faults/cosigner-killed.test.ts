/** `holdfast cosigner serve`, killed with SIGKILL at any moment while operators submit, and started again. */

import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fetcher } from '../../src/cosigner/replay/index.ts';
import { readJournal } from '../../src/signer/index.ts';
import {
  checkLog,
  emptyLog,
  hashEntry,
  parseCheckpoint,
  parseEntryBundle,
  parseNote,
  parseSignedPolicy,
  proveConsistency,
  type TreeHead,
  tileHashReader,
  tilePath,
  tilesBetween,
  treeRoot,
  verifyConsistency,
} from '../../src/trust/index.ts';
import { countersigned, digest, EVIDENCE, text } from '../cosigner/cosigner-fixture.ts';
import { evidenceFolder } from '../evidence/scene.ts';
import { OPERATOR } from '../trust/fixture.ts';
import { DAY } from '../trust/manifests.ts';
import { CosignerFolder } from './cosigner-folder.ts';

let cosigner: CosignerFolder;
let fetcher: Fetcher;

beforeAll(async () => {
  cosigner = await CosignerFolder.create();
  fetcher = new Fetcher();
  expect(await cosigner.command('cosigner', 'init', '--config', cosigner.config, '--json')).toMatchObject({ code: 0 });
});
afterAll(async () => {
  await cosigner.kill();
  await fetcher.close();
  cosigner.remove();
});

async function get(path: string): Promise<Uint8Array> {
  const limits = { maximumBytes: 32 * 1024 * 1024, timeout: 60_000 };
  const { status, body } = await fetcher.get(new URL(`${cosigner.publicUrl}/${path}`), limits);
  if (status !== 200) throw new Error(`${path}: ${status}`);
  return body;
}

/** The newest checkpoint and all entries, checked against each other from the public files alone. */
async function readLog(): Promise<{ head: TreeHead; entries: Uint8Array[] }> {
  const head = parseCheckpoint(parseNote(await get('latest-checkpoint')).text);
  const read = (tile: Parameters<typeof tilePath>[0]) => get(tilePath(tile));
  expect(await treeRoot(head.size, tileHashReader(head.size, read))).toEqual(head.root);
  const entries: Uint8Array[] = [];
  for (const tile of tilesBetween(0, head.size)) {
    if (tile.level === 'entries') entries.push(...parseEntryBundle(await read(tile), tile.width));
  }
  return { head, entries };
}

const evidence = (i: number) => ({ ...EVIDENCE, sha256: i.toString(16).padStart(64, '0') });

test('killed ten times in the middle of appending: nothing that was acknowledged is lost, and nothing forks', async () => {
  const acknowledged = new Map<number, number>();
  let next = 1;
  let before: TreeHead | undefined;
  for (let round = 0; round < 10; round++) {
    await cosigner.serve();
    const { head, entries } = await readLog();
    if (before) {
      const reader = tileHashReader(head.size, (tile) => get(tilePath(tile)));
      expect(verifyConsistency(before, head, await proveConsistency(before.size, head.size, reader))).toBe(true);
    }
    for (const [i, index] of acknowledged)
      expect(new TextDecoder().decode(entries[index])).toContain(evidence(i).sha256);
    expect(new Set(entries.map((entry) => Buffer.from(hashEntry(entry)).toString('hex'))).size).toBe(entries.length);
    before = head;
    const operator = await cosigner.operator();
    let killed = false;
    let early: unknown;
    // A moment that differs from round to round, some of them before the first answer.
    const until = acknowledged.size + round * 7;
    const enough = Promise.withResolvers<void>();
    if (round === 0) enough.resolve();
    const submit = async () => {
      while (!killed) {
        const i = next++;
        try {
          const { index } = (await operator.submit('evidence', JSON.stringify(evidence(i)))) as { index: number };
          acknowledged.set(i, index);
        } catch (error) {
          early = error;
          return;
        }
        if (acknowledged.size >= until) enough.resolve();
      }
    };
    const busy = Array.from({ length: 4 }, submit);
    const allRefused = Promise.all(busy).then(() => {
      throw new Error('no submission is under way any more', { cause: early });
    });
    await Promise.race([enough.promise, allRefused]);
    await new Promise((resolve) => setTimeout(resolve, (round * 37) % 90));
    killed = true;
    await cosigner.kill();
    await Promise.all(busy);
    await operator[Symbol.asyncDispose]();
  }
  expect(acknowledged.size).toBeGreaterThan(50);
});

test('no checkpoint was ever signed for two roots of one size', async () => {
  const roots = new Map<string, Set<string>>();
  await readJournal(cosigner.path('journal'), {
    onEntry: ({ purpose, about }) => {
      const [, size, root] = /, size (\d+), root (\S+)$/.exec(about) ?? [];
      if (purpose === 'checkpoint') roots.set(size!, (roots.get(size!) ?? new Set()).add(root!));
    },
  });
  expect(roots.size).toBeGreaterThan(10);
  expect([...roots.values()].every(({ size }) => size === 1)).toBe(true);
});

test('a bundle from proposal to acceptance by command, killed on the way; an auditor finds every rule kept', async () => {
  await cosigner.serve();
  const now = Math.floor(Date.now() / DAY) * DAY;
  const { manifest, files } = evidenceFolder({ bundle: { notBefore: now - DAY, notAfter: now + 300 * DAY } });
  const olga = await cosigner.operator();
  for (const [sha256, content] of files) {
    await olga.evidenceFile('json', content);
    const address = `https://vault.example/evidence/${sha256}.json`;
    if (sha256 !== manifest.evidence.sha256) await olga.evidence({ sha256, size: content.length, address });
  }
  await olga[Symbol.asyncDispose]();
  const size = files.get(manifest.evidence.sha256)!.length;
  writeFileSync(cosigner.path('evidence.json'), JSON.stringify({ ...manifest.evidence, size }));
  writeFileSync(cosigner.path('bundle.txt'), text(manifest));
  const submit = async (file: string, kind: string) =>
    cosigner.command(
      'bundle',
      'submit',
      cosigner.path(file),
      '--kind',
      kind,
      ...(await cosigner.operatorFlags('olga')),
      '--json',
    );
  expect(await submit('evidence.json', 'evidence')).toMatchObject({ code: 0 });
  const proposed = await submit('bundle.txt', 'proposal');
  expect(JSON.parse(proposed.stdout)).toMatchObject({ status: 'pending', digest: digest(manifest) });
  await cosigner.kill();
  await cosigner.serve();
  const cosign = async (who: string, ...words: string[]) =>
    cosigner.command(
      ...['bundle', 'cosign', ...words, '--policy', cosigner.path('policy.note'), '--log', cosigner.publicUrl],
      ...[...(await cosigner.operatorFlags(who)), '--json'],
    );
  expect(JSON.parse((await cosign('anna')).stdout).waiting).toMatchObject([{ digest: digest(manifest) }]);
  expect(await cosign('olga', digest(manifest), '--approve', digest(manifest))).toMatchObject({ code: 7 });
  expect(await cosign('anna', digest(manifest))).toMatchObject({ code: 2 });
  const out = cosigner.path('proposal.note');
  expect(await cosign('anna', digest(manifest), '--approve', digest(manifest), '--out', out)).toMatchObject({
    code: 0,
  });
  writeFileSync(cosigner.path('both.note'), await countersigned(readFileSync(out, 'utf8'), OPERATOR));
  expect(await submit('both.note', 'acceptance')).toMatchObject({ code: 0 });
  await cosigner.kill();
  await cosigner.serve();
  expect(await submit('both.note', 'acceptance')).toMatchObject({ code: 0 });
  const { entries } = await readLog();
  const policy = parseSignedPolicy(readFileSync(cosigner.path('policy.note')));
  const { misconduct, state } = checkLog(emptyLog(policy), entries);
  expect(misconduct).toEqual([]);
  expect(state.fleets.get('first')?.accepted?.digest).toBe(digest(manifest));
  expect(await cosigner.stop()).toBe(0);
});

test('a store that was put back is refused, and so is a new log under the same key', async () => {
  cpSync(cosigner.path('store'), cosigner.path('older'), { recursive: true });
  await cosigner.serve();
  const operator = await cosigner.operator();
  await operator.submit('evidence', JSON.stringify(evidence(1_000_000)));
  await operator[Symbol.asyncDispose]();
  await cosigner.stop();
  rmSync(cosigner.path('store'), { recursive: true });
  const again = await cosigner.command('cosigner', 'init', '--config', cosigner.config, '--json');
  expect([again.code, JSON.parse(again.stdout).code]).toEqual([6, 'store_refused']);
  rmSync(cosigner.path('store'), { recursive: true });
  cpSync(cosigner.path('older'), cosigner.path('store'), { recursive: true });
  const served = await cosigner.command('cosigner', 'serve', '--config', cosigner.config);
  expect(served).toMatchObject({ code: 6, stderr: expect.stringContaining('restore the newest store') });
});
