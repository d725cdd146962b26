/** The commands of docs/audit.md, run as they stand there over a site on loopback: they agree with `holdfast audit`. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AUDIT_STEPS, AUDIT_TEXTS } from '../../../src/audit/index.ts';
import { AuditScene } from '../../audit/scene.ts';
import { NOW } from '../../trust/manifests.ts';

const document = readFileSync(new URL('../../../docs/audit.md', import.meta.url), 'utf8');

interface Block {
  readonly language: string;
  /** What it needs that a machine may not have. */
  readonly needs: string | undefined;
  readonly text: string;
  /** The last heading before it, such as `14. Every statement is signed`. */
  readonly heading: string;
}

function readBlocks(): Block[] {
  let heading = '';
  return [...document.matchAll(/^### (.*)$|^```(\w+)(?: (\w+))?\n([\s\S]*?)^```$/gm)].flatMap((match) => {
    const [, title, language, needs, text] = match;
    if (title !== undefined) heading = title;
    return language === undefined ? [] : [{ language, needs, text: text!, heading }];
  });
}

const blocks = readBlocks();

const has = (command: string) => {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'pipe' });
    return true;
  } catch {
    return false;
  }
};

/** The program of the document, built; or why not. */
function buildCheck(folder: string): string | undefined {
  const [program] = blocks.filter(({ language }) => language === 'go');
  mkdirSync(join(folder, 'check'));
  writeFileSync(join(folder, 'check', 'main.go'), program!.text);
  // The version that test/interop/formats has fetched already.
  const modules = new URL('../formats/', import.meta.url);
  const version = /golang\.org\/x\/mod (v\S+)/.exec(readFileSync(new URL('go.mod', modules), 'utf8'))![1];
  const sums = readFileSync(new URL('go.sum', modules), 'utf8');
  writeFileSync(join(folder, 'check', 'go.mod'), `module check\n\ngo 1.25.0\n\nrequire golang.org/x/mod ${version}\n`);
  writeFileSync(join(folder, 'check', 'go.sum'), sums);
  try {
    execFileSync('go', ['build', '-o', join(folder, 'check', 'check'), '.'], {
      cwd: join(folder, 'check'),
      stdio: 'pipe',
      timeout: 280_000,
    });
    return undefined;
  } catch (error) {
    // Slow is not missing: nothing is left out for that.
    if ((error as NodeJS.ErrnoException).code === 'ETIMEDOUT') throw error;
    return String((error as { stderr?: Buffer }).stderr ?? error)
      .trim()
      .split('\n')
      .at(-1);
  }
}

const missing = ['bash', 'curl', 'jq', 'openssl', 'xxd'].filter((command) => !has(command));
const work = mkdtempSync(join(tmpdir(), 'audit-document-'));
const noGo = has('go') ? buildCheck(work) : 'there is no go command';
const left = blocks.filter(({ needs }) => needs !== undefined && !(needs === 'cosign' && has('cosign')));
for (const reason of [
  ...missing.map((command) => `there is no ${command}`),
  ...(noGo === undefined ? [] : [`step 5 needs Go (${noGo})`]),
])
  process.stdout.write(`Skipped: ${reason}, so the commands of docs/audit.md are not run.\n`);
for (const { needs, heading } of left)
  process.stdout.write(`Not run of docs/audit.md: ${heading}, which needs ${needs}.\n`);

let scene: AuditScene;
let server: Server;
let site: string;

beforeAll(async () => {
  scene = await AuditScene.make();
  server = createServer((request, response) => {
    const found = scene.files.get(request.url!.slice(1));
    response.writeHead(found ? 200 : 404).end(found);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  site = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** Runs all blocks as one script; the last block that began tells where it ended. */
function runDocument(): Promise<{ code: number; out: string; last: string }> {
  const folder = mkdtempSync(join(work, 'run-'));
  const script = blocks
    .filter((block) => block.language === 'sh' && !left.includes(block))
    .map(({ heading, text }) => `echo ${JSON.stringify(`### ${heading}`)}\n${text}`)
    .join('\n');
  symlinkSync(join(work, 'check'), join(folder, 'check'));
  writeFileSync(join(folder, 'script'), `set -euo pipefail\n${script}\n`);
  const environment = { ...process.env, SITE: site, NOW: new Date(NOW).toISOString() };
  return new Promise((resolve) => {
    execFile(
      'bash',
      ['script'],
      { cwd: folder, env: environment, timeout: 280_000, maxBuffer: 2 ** 24 },
      (error, stdout, stderr) => {
        const last = [...stdout.matchAll(/^### (.*)$/gm)].at(-1)?.[1] ?? '';
        resolve({ code: error ? Number(error.code ?? 1) : 0, out: `${stdout}${stderr}`, last });
      },
    );
  });
}

describe('docs/audit.md', () => {
  it('has the steps of the audit with their numbers and titles', () => {
    const headings = [...document.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual(AUDIT_STEPS.map((id, i) => `${i + 1}. ${AUDIT_TEXTS[id].title}`));
  });

  describe.runIf(missing.length === 0 && noGo === undefined)('its commands', () => {
    it('pass over a site that is in order', async () => {
      const { code, out, last } = await runDocument();
      expect(`${code} ${out.match(/FAILED.*/)?.[0] ?? ''}`).toBe('0 ');
      expect(last).toBe('20. A second view, for other tools');
      for (const found of [
        'right: 2 keepers',
        `right: all ${scene.log.entries.length} entries`,
        'right: not expired',
        'right: in force',
        'right: no class is claimed that needs proof',
        'right: about this bundle',
        'right: nobody else has signed',
        'right: ceremony - by ceremony.example/ceremony',
        'right: node-2 answered for this fleet',
        'right: Bela, witness',
        'right: node-3 has reported',
        'right: signed by the key that the policy names',
      ])
        expect(out).toContain(found);
    });

    it.each([
      ['an entry of the log', 5, () => flip(`tile/entries/000.p/${scene.log.entries.length}`)],
      ['the bundle', 8, () => replace('trust/first', /\\"limit\\":10/, '\\"limit\\":11')],
      ['the evidence manifest', 12, () => flip(`evidence/${scene.folder.manifest.evidence.sha256}.json`)],
      ['a statement', 14, () => flip(`evidence/${scene.folder.evidence.statements[1]!.sha256}.json`)],
      [
        'the Plexi view',
        20,
        () => replace('namespaces/family.production.first/audits/1', /"digest":"..../, '"digest":"0000'),
      ],
    ] as const)('stop where %s was tampered with, at step %d', async (_what, step, tamper) => {
      const before = new Map(scene.files);
      tamper();
      const { code, last } = await runDocument();
      for (const [path, content] of before) scene.files.set(path, content);
      expect(code).not.toBe(0);
      expect(last).toMatch(new RegExp(`^${step}\\. `));
    });
  });
});

function flip(path: string): void {
  const bytes = scene.files.get(path)!;
  const at = Math.floor(bytes.length / 2);
  scene.files.set(path, bytes.with(at, bytes[at]! ^ 1));
}

function replace(path: string, from: RegExp, to: string): void {
  const before = new TextDecoder().decode(scene.files.get(path));
  scene.files.set(path, new TextEncoder().encode(before.replace(from, to)));
}
