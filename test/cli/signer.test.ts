/** `holdfast signer` on a real token: keys for a role, what is on a token, signing by hand, journals. */

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { approverOf } from '../../src/cli/approval.ts';
import { parseNote, parseVerifierKey, verifyNote } from '../../src/trust/index.ts';
import { bundle, policyText } from '../signer/texts.ts';
import { PIN, type SoftHsm, softHsm } from '../token/fixture.ts';
import { run } from './run.ts';

let hsm: SoftHsm;
let folder: string;
let pinFile: string;
beforeAll(async () => {
  hsm = await softHsm('signer');
  folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-signer-'));
  pinFile = file('pin', `${PIN}\n`);
});
afterAll(() => {
  hsm.remove();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  vi.unstubAllEnvs();
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
}

const onToken = () => ['--label', 'signer', '--pin-file', pinFile];
const json = ({ out }: { out: string }) => JSON.parse(out) as Record<string, never>;
const digest = (text: string) => createHash('sha256').update(text).digest('hex');

describe('holdfast signer keys', () => {
  const cosigner = () => [
    ...['signer', 'keys', '--role', 'cosigner', '--name', 'cosigner.example'],
    ...['--origin', 'log.example/family/production', ...onToken()],
  ];

  it('makes a role’s keys once, and lists the same after that', async () => {
    const first = await run(...cosigner(), '--json');
    expect(first.code).toBe(0);
    const { keys, made } = json(first) as unknown as {
      keys: { purpose: string; name: string; algorithm: string; verifierKey: string }[];
      made: string[];
    };
    expect(made).toEqual(['bundle', 'roster', 'checkpoint', 'plexi']);
    expect(keys.map(({ purpose, name }) => [purpose, name])).toEqual([
      ['bundle', 'cosigner.example/bundle'],
      ['roster', 'cosigner.example/roster'],
      ['checkpoint', 'log.example/family/production'],
      ['plexi', 'cosigner.example/plexi'],
    ]);
    for (const { name, verifierKey } of keys) {
      expect(parseVerifierKey(verifierKey)).toMatchObject({ name, type: 'ed25519' });
    }
    const again = json(await run(...cosigner(), '--json'));
    expect(again).toMatchObject({ made: [], keys });
    const shown = json(await run('signer', 'show', ...onToken(), '--json')) as unknown as { keys: typeof keys };
    expect(shown.keys).toHaveLength(4);
    expect(new Set(shown.keys.map((key) => key.verifierKey))).toEqual(new Set(keys.map((key) => key.verifierKey)));
  });

  it('prints vkeys for people, of type 0x04 for a witness', async () => {
    const { code, out } = await run('signer', 'keys', '--role', 'witness', '--name', 'witness.example/1', ...onToken());
    expect(code).toBe(0);
    const vkey = /witness\.example\/1\+[0-9a-f]{8}\+\S+/.exec(out)?.[0];
    expect(parseVerifierKey(vkey!).type).toBe('cosignature');
    expect(out).toContain('1 of 1 made now');
  });

  it.each([
    ['an unknown role', ['--role', 'king', '--name', 'x.example'], '--role must be one of'],
    ['a cosigner without origin', ['--role', 'cosigner', '--name', 'x.example'], 'origin'],
    ['a name with a plus', ['--role', 'operator', '--name', 'a+b'], 'without spaces and plus'],
  ])('is wrong usage with %s, and touches no token', async (_, words, message) => {
    const { code, error } = await run('signer', 'keys', ...words, ...onToken());
    expect(code).toBe(2);
    expect(error).toContain(message);
  });

  it('wants one token and one source of its PIN', async () => {
    const role = ['signer', 'keys', '--role', 'operator', '--name', 'x.example'];
    expect(await run(...role, '--pin-file', pinFile)).toMatchObject({ code: 2 });
    const two = await run(...role, ...onToken(), '--pin-environment', 'HOLDFAST_TEST_PIN');
    expect(two).toMatchObject({ code: 2, error: expect.stringContaining('use one of') });
  });

  it('takes the PIN from an environment variable, with a warning, and from a credential', async () => {
    vi.stubEnv('HOLDFAST_TEST_PIN', PIN);
    vi.stubEnv('CREDENTIALS_DIRECTORY', folder);
    const fromVariable = await run('signer', 'show', '--label', 'signer', '--pin-environment', 'HOLDFAST_TEST_PIN');
    expect(fromVariable).toMatchObject({ code: 0, error: expect.stringContaining('warning') });
    expect(fromVariable.error + fromVariable.out).not.toContain(PIN);
    expect(await run('signer', 'show', '--label', 'signer', '--pin-credential', 'pin')).toMatchObject({ code: 0 });
  });

  it('ends with 7 for a wrong PIN', async () => {
    const wrong = file('wrong-pin', 'wrong-pin-99\n');
    const { code, error } = await run('signer', 'show', '--label', 'signer', '--pin-file', wrong);
    expect(code).toBe(7);
    expect(error).not.toContain('wrong-pin-99');
  });
});

describe('holdfast signer sign', () => {
  const names = ['--vault', 'family', '--environment', 'production'];
  const sign = (path: string, journal: string, ...more: string[]) =>
    run('signer', 'sign', path, ...names, '--journal', join(folder, journal), ...onToken(), '--json', ...more);
  const operator = ['--purpose', 'bundle', '--name', 'operator.example/bundle'];

  it('signs an approved text, and the journal says so', async () => {
    const made = await run(
      'signer',
      'keys',
      '--role',
      'operator',
      '--name',
      'operator.example',
      ...onToken(),
      '--json',
    );
    const { keys } = json(made) as unknown as { keys: { verifierKey: string }[] };
    const text = bundle();
    const signed = await sign(file('bundle', text), 'a', ...operator, '--approve', digest(text));
    expect(signed.code).toBe(0);
    const { signature } = json(signed) as unknown as { signature: string };
    const note = `${text}\n${signature}\n`;
    expect(verifyNote(parseNote(note), [parseVerifierKey(keys[0]!.verifierKey)])).toHaveLength(1);
    // A note that has a signature already is signed as its text.
    const second = await sign(file('note', note), 'a', ...operator, '--approve', digest(text));
    expect(json(second)).toMatchObject({ signature });
    const verified = json(await run('signer', 'journal', 'verify', join(folder, 'a'), '--json'));
    expect(verified).toMatchObject({ entries: 2, torn: 0 });
    expect(Object.keys(verified.signatures!)[0]).toMatch(/^bundle by operator\.example\/bundle\+[0-9a-f]{8}$/);
  });

  it('signs nothing that was not approved, is of another vault, or of another purpose', async () => {
    const path = file('bundle-2', bundle());
    expect(json(await sign(path, 'b', ...operator, '--approve', '0'.repeat(64)))).toMatchObject({
      code: 'not_approved',
      exitCode: 7,
    });
    const elsewhere = await run(
      ...['signer', 'sign', path, '--vault', 'other', '--environment', 'production', ...operator, ...onToken()],
      ...['--journal', join(folder, 'b'), '--approve', digest(bundle()), '--json'],
    );
    expect(json(elsewhere)).toMatchObject({ code: 'signing_refused', exitCode: 7 });
    const policy = file('policy', policyText());
    expect(json(await sign(policy, 'b', ...operator, '--approve', digest(policyText())))).toMatchObject({
      code: 'signing_refused',
    });
    expect(json(await sign(path, 'b', ...operator))).toMatchObject({ code: 'usage' });
    expect(json(await run('signer', 'journal', 'verify', join(folder, 'b'), '--json'))).toMatchObject({ entries: 0 });
  });

  it('signs a trust policy with a policy key, into a file that it never replaces', async () => {
    await run('signer', 'keys', '--role', 'policy', '--name', 'anna.example', ...onToken());
    const text = policyText();
    const out = join(folder, 'line');
    const words = ['--purpose', 'policy', '--name', 'anna.example/policy', '--approve', digest(text), '--out', out];
    const path = file('policy-2', text);
    expect((await sign(path, 'c', ...words)).code).toBe(0);
    expect(readFileSync(out, 'utf8')).toMatch(/^— anna\.example\/policy \S+\n$/);
    expect((await sign(path, 'c', ...words)).code).toBe(2);
  });
});

describe('approval at the terminal', () => {
  const request = { purpose: 'bundle', key: 'k', digest: 'abcdef01'.padEnd(64, '0'), lines: ['line one'] } as const;
  const person = (typed: string) => {
    const input = Object.assign(new PassThrough(), { isTTY: true });
    const output = new PassThrough();
    input.write(`${typed}\n`);
    return { input, output };
  };

  it('shows the text and takes the digest’s first digits', async () => {
    const streams = person('abcdef01');
    await approverOf({}, new AbortController().signal, streams).approve(request);
    expect(String(streams.output.read())).toContain('line one\n');
  });

  it('refuses anything else, and ends with an interruption', async () => {
    const approving = approverOf({}, new AbortController().signal, person('abcdef02')).approve(request);
    await expect(approving).rejects.toMatchObject({ code: 'not_approved' });
    const aborted = AbortSignal.abort();
    await expect(approverOf({}, aborted, person('abcdef01')).approve(request)).rejects.toMatchObject({
      code: 'cancelled',
    });
  });
});

describe('holdfast signer journal verify', () => {
  it('ends with 6 and names the line where a journal was changed, with 2 where there is none', async () => {
    const changed = readFileSync(join(folder, 'a'), 'utf8').replace('serial 1', 'serial 2');
    const { code, out } = await run('signer', 'journal', 'verify', file('changed', changed), '--json');
    expect(code).toBe(6);
    expect(JSON.parse(out)).toMatchObject({ code: 'journal_damaged', error: { details: { line: 3 } } });
    expect(await run('signer', 'journal', 'verify', join(folder, 'none'))).toMatchObject({ code: 2 });
  });

  it('tells of a torn end', async () => {
    const torn = readFileSync(join(folder, 'a'), 'utf8').slice(0, -3);
    const { code, out } = await run('signer', 'journal', 'verify', file('torn', torn));
    expect(code).toBe(0);
    expect(out).toContain('1 signatures');
    expect(out).toContain('did not end');
  });
});
