/** What `holdfast bundle` and `holdfast policy` show to people who approve, and what they refuse before anything is sent. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { diffLines, manifestLines } from '../../src/cli/bundle-text.ts';
import { moment } from '../../src/cli/options.ts';
import { policyLines } from '../../src/cli/policy-text.ts';
import { FileTrustStateStore } from '../../src/cli/trust-state.ts';
import { toBase64Url } from '../../src/core/index.ts';
import {
  parsePolicy,
  parseTrustAnchor,
  serialiseBundle,
  serialiseNote,
  serialisePolicy,
} from '../../src/trust/index.ts';
import {
  COSIGNER,
  digestOfManifest,
  OPERATOR,
  signBundle,
  signPolicy,
  TestLog,
  trustPolicy,
} from '../trust/fixture.ts';
import { bundleNode, DAY, deployment, NOW, retirement, revocation } from '../trust/manifests.ts';
import { run as runCommandLine } from './run.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cli-bundle-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
function put(name: string, content: string | Uint8Array): string {
  writeFileSync(at(name), content);
  return at(name);
}

/** Runs a command on the day of the tests' fixtures. */
async function run(...words: string[]) {
  vi.useFakeTimers({ now: NOW, toFake: ['Date'] });
  try {
    return await runCommandLine(...words);
  } finally {
    vi.useRealTimers();
  }
}

const json = ({ out }: { out: string }) => JSON.parse(out) as Record<string, never>;

describe('what a person sees of a bundle', () => {
  const members = (manifest: Parameters<typeof manifestLines>[0]) => manifestLines(manifest, 'd'.repeat(64)).join('\n');

  it('is everything that decides over it', () => {
    const shown = members(deployment({ authority: '-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n' }));
    for (const text of [
      ...['deploy of fleet first', 'vault family', 'production', 'serial 1', 'epoch 1', 'd'.repeat(64)],
      ...['2026-11-11T00:00:00Z until 2027-11-11T00:00:00Z', '10 in a row', '50 in a lifetime', '65536 KiB', '3 of 3'],
      ...['node-2, operator operator-2.example', 'token declared', 'https://node-3.vault.example:7443'],
      ...[1, 2, 3].flatMap((n) => Object.values(bundleNode(n).keys).map((key: Uint8Array) => toBase64Url(key))),
      ...['https://a.vault.example, https://b.vault.example', 'an authority of its own', 'e'.repeat(64)],
    ]) {
      expect(shown).toContain(text);
    }
    expect(members(retirement(deployment()))).toContain('successor  second, sunset 2027-02-19T00:00:00Z');
    const revoked = revocation({ fleet: 'first', serial: 3, digest: 'a'.repeat(64) });
    expect(members(revoked)).toContain(`revokes    ${'a'.repeat(64)}\nreason     a node’s keys left its token`);
  });

  it('is what changes, and first of all what gets weaker', () => {
    const weak = deployment({ serial: 2, previous: 'a'.repeat(64), policy: { ...deployment().policy, limit: 20 } });
    const lines = diffLines(deployment(), weak);
    expect(lines).toContain('  policy.limit');
    expect(lines).toContain('    - 10');
    expect(lines).toContain('    + 20');
    expect(lines.filter((line) => line.startsWith('WEAKER'))).toHaveLength(1);
    expect(diffLines(undefined, weak)[0]).toContain('the first');
    expect(diffLines(weak, weak)).toEqual(['Nothing has changed.']);
  });
});

describe('what a keyholder sees of a policy', () => {
  it('is every member, and each change', () => {
    const first = parsePolicy(serialisePolicy(trustPolicy()));
    const shown = policyLines(first).join('\n');
    for (const text of ['version 1', first.digest, COSIGNER.verifierKey, OPERATOR.verifierKey, 'quorum both']) {
      expect(shown).toContain(text);
    }
    const next = parsePolicy(serialisePolicy(trustPolicy({ version: 2, previous: first.digest, maxAge: 60 })));
    const changes = policyLines(next, first).join('\n').split('Changes from version 1:')[1]!;
    expect(changes).toContain('  maxAge\n    - 86400\n    + 60');
    expect(changes).not.toContain('graceAge');
  });

  it('has no characters that move text about', () => {
    const { tlog } = trustPolicy();
    const hidden = parsePolicy(serialisePolicy(trustPolicy({ tlog: `# harmless \u202e\u2066\n${tlog}` })));
    expect(policyLines(hidden).join('\n')).toContain('harmless \\u{202e}\\u{2066}');
  });
});

describe('commands on files', () => {
  it('show and compare bundles of any form', async () => {
    const text = put('first.txt', serialiseBundle(deployment()));
    const second = deployment({
      serial: 2,
      previous: digestOfManifest(deployment()),
      nodes: [1, 2, 3].map((n) => bundleNode(n, `x${n}`)),
    });
    const note = put('second.note', serialiseNote(await signBundle(second, COSIGNER, OPERATOR)));
    const shown = await run('bundle', 'show', note);
    expect(shown).toMatchObject({ code: 0, error: '' });
    expect(shown.out).toContain('cosigner.example/bundle');
    expect(shown.out).toContain('not verified here');
    const diff = json(await run('bundle', 'diff', text, note, '--json'));
    expect(diff).toMatchObject({ code: 'ok', before: digestOfManifest(deployment()) });
    expect((diff.changes as unknown as { path: string }[]).map(({ path }) => path)).toContain('nodes.node-1.identity');
    expect((await run('bundle', 'show', put('none', 'nothing'))).code).toBe(9);
  });

  it('verify a trust set step by step, and say which one failed', async () => {
    const policy = await signPolicy(trustPolicy());
    const log = new TestLog(policy);
    await log.accept(deployment());
    const note = put('policy.note', serialiseNote(policy.note));
    const set = put('set.json', await log.trustSet());
    const passed = await run('bundle', 'verify', set, '--policy', note);
    expect(passed.code).toBe(0);
    expect(passed.out.match(/^\d\. .*: passed$/gm)).toHaveLength(7);
    const stale = put(
      'stale.json',
      await log.trustSet('first', { witnessed: { 'audit.example/w': NOW, 'university.example/w': NOW - 2 * DAY } }),
    );
    const failed = await run('bundle', 'verify', stale, '--policy', note);
    expect(failed.code).toBe(6);
    expect(failed.error.match(/: passed$/gm)).toHaveLength(3);
    expect(failed.error).toContain('step 4, fresh confirmations');
    expect(json(await run('bundle', 'verify', stale, '--policy', note, '--json'))).toMatchObject({
      code: 'log_stale',
      error: { details: { step: 4 } },
    });
  });

  /** Files with a policy, and two trust sets of one log. */
  async function twoSets() {
    const policy = await signPolicy(trustPolicy());
    const note = put('policy.note', serialiseNote(policy.note));
    const log = new TestLog(policy);
    await log.accept(deployment());
    const older = put('older.json', await log.trustSet());
    await log.append();
    const newer = put('newer.json', await log.trustSet());
    return { note, older, newer };
  }

  it('keep a trust state only where that is asked for, and never go back behind it', async () => {
    const { note, older, newer } = await twoSets();
    const verify = (set: string, ...words: string[]) =>
      run('bundle', 'verify', set, '--policy', note, '--json', ...words);
    expect((await verify(newer, '--state', at('state'))).code).toBe(0);
    expect(() => readFileSync(at('state'))).toThrow('ENOENT');
    expect((await verify(newer, '--state', at('state'), '--update-state')).code).toBe(0);
    expect(json(await verify(older, '--state', at('state'))).code).toBe('rolled_back');
    expect(json(await verify(newer, '--update-state')).code).toBe('usage');
    expect(json(await verify(newer, '--operation', 'steal')).code).toBe('usage');
    put('damaged', 'no state');
    expect(json(await verify(newer, '--state', at('damaged'))).code).toBe('trust_state_damaged');
  });

  it('take nothing back that another process has kept in the state meanwhile', async () => {
    const { note, older, newer } = await twoSets();
    const verify = (set: string, state: string) =>
      run('bundle', 'verify', set, '--policy', note, '--json', '--state', at(state), '--update-state');
    expect((await verify(newer, 'other')).code).toBe(0);
    const { compareAndSwap } = FileTrustStateStore.prototype;
    const swap = vi.spyOn(FileTrustStateStore.prototype, 'compareAndSwap');
    swap.mockImplementationOnce(async function (this: FileTrustStateStore, previous, next) {
      put('shared', readFileSync(at('other')));
      return compareAndSwap.call(this, previous, next);
    });
    try {
      expect(json(await verify(older, 'shared')).code).toBe('rolled_back');
      expect(swap).toHaveBeenCalledTimes(1);
    } finally {
      swap.mockRestore();
    }
    expect(readFileSync(at('shared'))).toEqual(readFileSync(at('other')));
  });

  it('write an anchor only of a policy that clients take', async () => {
    const anchor = (path: string) =>
      run('policy', 'anchor', path, '--source', 'https://log.example', '--out', at('client.json'), '--json');
    const unsigned = put('unsigned', serialisePolicy(trustPolicy()));
    expect(json(await anchor(unsigned)).code).toBe('policy_signatures');
    const unsafe = await signPolicy(trustPolicy({ graceAge: 90 * 86_400 }));
    expect(json(await anchor(put('unsafe', serialiseNote(unsafe.note)))).code).toBe('policy_unsafe');
    const signed = await signPolicy(trustPolicy());
    const path = put('signed', serialiseNote(signed.note));
    expect((await anchor(path)).code).toBe(0);
    expect(parseTrustAnchor(readFileSync(at('client.json'), 'utf8'))).toMatchObject({
      fleet: 'first',
      sources: ['https://log.example'],
    });
    expect(json(await anchor(path)).code).toBe('usage');
  });

  it('rotate only a policy that is in force', async () => {
    const rotate = (path: string) => run('policy', 'rotate', path, '--out', at('next'), '--json');
    expect(json(await rotate(put('unsigned', serialisePolicy(trustPolicy())))).code).toBe('policy_signatures');
    const signed = await signPolicy(trustPolicy());
    expect(json(await rotate(put('signed', serialiseNote(signed.note))))).toMatchObject({ code: 'ok', version: 2 });
  });
});

describe('what is refused before anything is read or sent', () => {
  const refusedAs = async (...words: string[]) => {
    const { code, out } = await run(...words, '--json');
    return `${code} ${(JSON.parse(out) as { code: string }).code}`;
  };

  it('is a proposal that goes nowhere, or comes from nowhere', async () => {
    expect(await refusedAs('bundle', 'propose', '--anchor', 'x')).toBe('2 usage');
    expect(await refusedAs('bundle', 'propose', '--out', at('p'))).toBe('2 usage');
    expect(await refusedAs('bundle', 'propose', '--out', at('p'), '--anchor', 'x', '--policy', 'y')).toBe('2 usage');
    expect(await refusedAs('bundle', 'propose', '--out', at('p'), '--fleet', 'x', '--draft', 'y')).toBe('2 usage');
    expect(await refusedAs('bundle', 'propose', '--out', at('p'), '--anchor', 'x', '--evidence', 'y')).toBe('2 usage');
    expect(await refusedAs('bundle', 'retire', '--out', at('p'), '--successor', 's', '--sunset', 'soon')).toBe(
      '2 usage',
    );
  });

  it('is a cosigner without certificate, and a signature without approval', async () => {
    expect(await refusedAs('bundle', 'cosign')).toBe('2 usage');
    expect(await refusedAs('bundle', 'cosign', '--cosigner', 'https://127.0.0.1:1')).toBe('2 usage');
    const signed = put('signed', serialiseNote((await signPolicy(trustPolicy())).note));
    const sign = [
      'policy',
      'sign',
      signed,
      '--name',
      'anna.example/policy',
      '--label',
      'anna',
      '--journal',
      at('journal'),
    ];
    expect(await refusedAs(...sign, '--approve', 'abc')).toBe('2 usage');
  });

  it('is a time in any other form', () => {
    expect(moment('2027-01-31T00:00:00Z')).toBe(Date.UTC(2027, 0, 31));
    for (const bad of ['2027-01-31', '2027-02-30T00:00:00Z', '2027-01-31T00:00:00.000Z', 'tomorrow', '']) {
      expect(() => moment(bad)).toThrow('It must be a time');
    }
  });
});
