/** `holdfast certificate` on a real token: authority, request, approval, certificate, what it says. */

import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PIN, type SoftHsm, softHsm } from '../token/fixture.ts';
import { run } from './run.ts';

let hsm: SoftHsm;
let folder: string;
const at = (name: string) => join(folder, name);
const onToken = () => ['--label', 'authority', '--pin-file', at('pin')];
const json = ({ out }: { out: string }) => JSON.parse(out) as Record<string, never>;

beforeAll(async () => {
  hsm = await softHsm('authority');
  folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-certificate-'));
  writeFileSync(at('pin'), `${PIN}\n`, { mode: 0o600 });
});
afterAll(() => {
  hsm.remove();
  rmSync(folder, { recursive: true });
});

const request = (name: string, ...more: string[]) =>
  run(
    'certificate',
    'request',
    ...['--fleet', 'main', '--role', 'node', '--name', name, '--host', `${name}.example`],
    ...more,
  );
const files = (name: string) => ['--key-out', at(`${name}.key`), '--out', at(`${name}.csr`)];

it('makes an authority and certifies what was asked for and approved', async () => {
  const made = await run(
    'certificate',
    'authority',
    ...onToken(),
    '--fleet',
    'main',
    '--out',
    at('authority.pem'),
    '--json',
  );
  expect([made.code, json(made).made, json(made).authority]).toEqual([0, true, true]);

  const asked = await request('node-1', ...files('node-1'), '--json');
  expect(asked.code).toBe(0);
  expect(statSync(at('node-1.key')).mode & 0o777).toBe(0o600);
  const { digest } = json(asked) as unknown as { digest: string };

  const issue = (...more: string[]) =>
    run('certificate', 'issue', at('node-1.csr'), ...onToken(), '--authority', at('authority.pem'), ...more);
  const unapproved = await issue('--out', at('node-1.pem'), '--approve', '0'.repeat(64));
  expect([unapproved.code, unapproved.error]).toEqual([7, expect.stringContaining('was not approved')]);
  const issued = await issue('--out', at('node-1.pem'), '--approve', digest, '--json');
  expect([issued.code, json(issued)]).toMatchObject([0, { role: 'node', name: 'node-1', fleet: 'main', renew: false }]);

  const certificate = new X509Certificate(readFileSync(at('node-1.pem')));
  expect(certificate.verify(new X509Certificate(readFileSync(at('authority.pem'))).publicKey)).toBe(true);
  const shown = await run('certificate', 'show', at('node-1.pem'));
  expect(shown.out).toContain('urn:holdfast:main:node:node-1');
  expect(shown.out).toContain('node-1.example');
  expect((await issue('--out', at('node-1.pem'), '--approve', digest)).error).toContain('exists already');
});

it('renews the authority’s certificate with the same key', async () => {
  const again = await run(
    'certificate',
    'authority',
    ...onToken(),
    '--fleet',
    'main',
    '--out',
    at('renewed.pem'),
    '--json',
  );
  expect([again.code, json(again).made]).toEqual([0, false]);
  const keys = ['authority.pem', 'renewed.pem'].map((name) =>
    new X509Certificate(readFileSync(at(name))).publicKey.export({ format: 'jwk' }),
  );
  expect(keys[1]).toEqual(keys[0]);
});

it('shows a request, with its digest, and tells what is none', async () => {
  await request('node-2', ...files('node-2'));
  const shown = await run('certificate', 'show', at('node-2.csr'));
  expect([shown.code, shown.out]).toEqual([0, expect.stringContaining('fleet main, role node, name node-2')]);
  writeFileSync(at('nonsense'), 'nonsense');
  for (const words of [
    ['show', at('nonsense')],
    ['issue', at('nonsense'), ...onToken(), '--authority', at('authority.pem'), '--out', at('x')],
  ]) {
    const { code, error } = await run('certificate', ...words);
    expect([code, error]).toEqual([9, expect.stringMatching(/not a PEM certificate|cannot be used/)]);
  }
});

it('does not write over a key, and knows its roles', async () => {
  await request('node-3', ...files('node-3'));
  const key = readFileSync(at('node-3.key'), 'utf8');
  expect((await request('node-3', ...files('node-3'))).code).toBe(2);
  expect(readFileSync(at('node-3.key'), 'utf8')).toBe(key);
  const wrong = await run('certificate', 'request', '--fleet', 'main', '--role', 'king', '--name', 'x', ...files('x'));
  expect([wrong.code, wrong.error]).toEqual([2, expect.stringContaining('--role must be one of')]);
});
