import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { COSIGNER_SETTINGS, loadCosignerConfiguration, variableOf } from '../../src/configuration/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'configuration-'));
const right = {
  policy: 'policy.note',
  name: 'cosigner.example',
  token: { module: '/usr/lib/pkcs11.so', label: 'cosigner', pinFile: 'pin' },
  journal: 'journal',
  store: { directory: 'store' },
  files: { directory: 'files' },
  tls: { certificate: 'public.pem', key: 'public.key' },
  submission: { authorityName: 'family', authority: 'ca.pem', certificate: 'c.pem', key: 'c.key' },
  approvers: ['anna', 'bela'],
};
let files = 0;
function load(content: unknown, environment: Record<string, string> = {}) {
  const file = join(folder, `${++files}.json`);
  writeFileSync(file, JSON.stringify(content));
  return loadCosignerConfiguration({ file, environment });
}

test('a file with what is required has safe defaults, and paths beside it', () => {
  const configuration = load(right);
  expect(configuration).toMatchObject({
    policy: join(folder, 'policy.note'),
    submission: { listen: { host: '127.0.0.1', port: 8445 }, authorityName: 'family' },
    metrics: { host: '127.0.0.1' },
    approvers: ['anna', 'bela'],
    rules: { maximumValidity: 400 * 86_400_000 },
    rateLimit: { requests: 600 },
  });
  expect(Object.isFrozen(configuration)).toBe(true);
  expect(load(right, { HOLDFAST_COSIGNER_RATE_LIMIT_REQUESTS: '0' }).rateLimit).toBeUndefined();
});

test('signing without a person has to be asked for', () => {
  expect(load({ ...right, approvers: ['none'] }).approvers).toBeUndefined();
  for (const approvers of [[], ['none', 'anna']]) {
    expect(() => load({ ...right, approvers })).toThrow(/approvers/);
  }
});

test.each<[string, unknown, RegExp]>([
  ['an unknown name', { ...right, polciy: 'x' }, /unknown member/],
  ['no token', { ...right, token: { module: '/x' } }, /which token/],
  ['two sources of the PIN', { ...right, token: { ...right.token, pinEnvironment: 'PIN' } }, /only one/],
  ['plain HTTP to the world', { ...right, tls: {}, listen: { plainHttp: true } }, /loopback/],
  ['no certificate', { ...right, tls: {} }, /tls\.certificate/],
  ['a port that is none', { ...right, listen: { port: 65_536 } }, /listen\.port/],
  ['a window that never ends', { ...right, rules: { maximumValidity: 1e15 } }, /maximumValidity/],
])('%s is refused', (_what, content, message) => {
  expect(() => load(content)).toThrow(
    expect.objectContaining({ code: 'usage', message: expect.stringMatching(message) }),
  );
});

test('every setting has a variable of its own, and an unknown variable is refused', () => {
  const variables = COSIGNER_SETTINGS.map(({ path }) => variableOf('HOLDFAST_COSIGNER', path));
  expect(new Set(variables).size).toBe(variables.length);
  expect(() => load(right, { HOLDFAST_COSIGNER_POLCIY: 'x' })).toThrow(/unknown/);
});
