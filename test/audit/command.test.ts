/** `holdfast audit` over HTTP, over a folder and over the copy that it keeps: lines for people, JSON, exit codes. */

import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AUDIT_STEPS, AUDIT_TEXTS } from '../../src/audit/index.ts';
import { serialiseNote, serialiseTrustAnchor } from '../../src/trust/index.ts';
import { run } from '../cli/run.ts';
import { NOW } from '../trust/manifests.ts';
import { AuditScene } from './scene.ts';

let scene: AuditScene;
let folder: string;
let server: Server | undefined;
const at = (name: string) => join(folder, name);

beforeEach(async () => {
  vi.spyOn(Date, 'now').mockReturnValue(NOW);
  folder = mkdtempSync(join(tmpdir(), 'audit-'));
  scene = await AuditScene.make();
  writeFileSync(at('client.json'), serialiseTrustAnchor(scene.anchor));
});
afterEach(() => {
  vi.restoreAllMocks();
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

/** The scene's files in a folder. */
function copied(name = 'site'): string {
  for (const [path, content] of scene.files) {
    mkdirSync(dirname(join(at(name), path)), { recursive: true });
    writeFileSync(join(at(name), path), content);
  }
  return at(name);
}

async function served(): Promise<string> {
  server = createServer((request, response) => {
    const found = scene.files.get(request.url!.slice(1));
    response.writeHead(found ? 200 : 404).end(found);
  });
  await new Promise<void>((resolve) => void server!.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('holdfast audit', () => {
  it('prints for each step what was checked, found and proven, and what not', async () => {
    const { code, out } = await run('audit', copied(), '--anchor', at('client.json'));
    expect(code).toBe(0);
    const words = out.replaceAll(/\s+/g, ' ');
    for (const id of AUDIT_STEPS) expect(words).toContain(AUDIT_TEXTS[id].title);
    expect(words).toContain(AUDIT_TEXTS.ceremony.provesNot);
    expect(words).toContain(
      'The operator states that these keys live in Example Tokens Vault 2. Nothing independent confirms it.',
    );
    expect(out).toContain('20 steps over 1 fleet: 16 checked, and right; 3 only stated; 1 not checked.');
    expect(out.split('\n').filter((line) => line.length > 120)).toEqual([]);
  });

  it('over HTTP keeps what it fetched, and finds the same in the copy', async () => {
    const site = await served();
    const first = await run(
      'audit',
      site,
      '--anchor',
      at('client.json'),
      '--json',
      '--keep',
      at('copy'),
      '--out',
      at('report.json'),
    );
    expect(first.code).toBe(0);
    server!.close();
    const again = await run('audit', at('copy'), '--anchor', at('client.json'), '--json', '--seen', at('report.json'));
    expect(again.code).toBe(0);
    const states = (text: string) =>
      (JSON.parse(text) as { steps: { id: string; state: string }[] }).steps.map(({ id, state }) => `${id} ${state}`);
    expect(states(again.out)).toEqual(
      states(first.out).map((each) => each.replace('history not_checked', 'history passed')),
    );
    expect(JSON.parse(readFileSync(at('report.json'), 'utf8'))).toMatchObject({
      format: 'holdfast/audit-report/v1',
      passed: true,
    });
  });

  it('takes a policy instead of an anchor, and says so where it has neither', async () => {
    writeFileSync(at('policy.note'), serialiseNote(scene.policy.note));
    const own = await run('audit', copied(), '--policy', at('policy.note'), '--brief');
    expect(own.out).toContain('1. Whom to believe [Checked, and right]');
    const theirs = await run('audit', copied(), '--brief');
    expect(theirs.code).toBe(0);
    expect(theirs.out).toContain('1. Whom to believe [Only stated]');
    const both = await run('audit', copied(), '--policy', at('policy.note'), '--anchor', at('client.json'));
    expect(both.code).toBe(2);
  });

  it('goes to the first source of the trust anchor where no site is named', async () => {
    const anchor = JSON.parse(readFileSync(at('client.json'), 'utf8')) as object;
    writeFileSync(at('served.json'), JSON.stringify({ ...anchor, sources: [await served()] }));
    const { code, out } = await run('audit', '--anchor', at('served.json'), '--brief');
    expect([code, out]).toEqual([0, expect.stringContaining('Audit of http://127.0.0.1:')]);
    expect((await run('audit')).code).toBe(2);
    expect((await run('audit', '--policy', at('policy.note'))).code).toBe(2);
  });

  it('ends with 6 where something is wrong, naming the step and what it may mean', async () => {
    const { sha256 } = scene.folder.evidence.statements[0]!;
    const site = copied();
    writeFileSync(join(site, `evidence/${sha256}.json`), '{}');
    const { code, out } = await run('audit', site, '--anchor', at('client.json'));
    expect(code).toBe(6);
    expect(out).toContain('14. Every statement is signed [FAILED: evidence_wrong]');
    expect(out).toContain('It means');
    expect(out).toContain('Something is wrong');
  });

  it('ends with 5 where the site is not reached, 9 for a bad file, 2 for neither address nor folder', async () => {
    const site = await served();
    await new Promise((resolve) => server!.close(resolve));
    expect((await run('audit', site, '--anchor', at('client.json'))).code).toBe(5);
    writeFileSync(at('bad.json'), '{}');
    expect((await run('audit', copied(), '--anchor', at('bad.json'))).code).toBe(9);
    expect((await run('audit', at('nowhere'))).code).toBe(2);
    writeFileSync(join(copied('broken'), 'trust/first'), 'nonsense');
    expect((await run('audit', at('broken'), '--anchor', at('client.json'), '--json')).code).toBe(9);
  });

  it('reads nothing outside of the folder that it was given', async () => {
    const site = copied();
    writeFileSync(at('secret'), 'outside');
    const { code, out } = await run('audit', site, '--anchor', at('client.json'), '--fleet', '../../secret', '--json');
    expect(code).toBe(6);
    expect(out).not.toContain('outside');
  });
});
