/** Settings of witness and monitor: what is read, and what is refused with words that help. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Environment, loadMonitorConfiguration, loadWitnessConfiguration } from '../../src/configuration/index.ts';
import { HoldfastError } from '../../src/core/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'configuration-'));
let files = 0;
function write(content: unknown): string {
  const path = join(folder, `${++files}.json`);
  writeFileSync(path, JSON.stringify(content));
  return path;
}
const inFolder = (name: string) => join(folder, name);

/** The refusal's words; its code must be `usage`. */
function refusal(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'usage') return error.message;
    throw error;
  }
  throw new Error('was accepted');
}

const witness = {
  name: 'witness.example/w1',
  policies: ['policy'],
  token: { module: '/usr/lib/pkcs11.so', label: 'witness', pinFile: 'pin' },
  journal: 'journal',
  store: { directory: 'state' },
  listen: { host: '127.0.0.1', plainHttp: true },
};
const loadWitness = (changes: object = {}, environment: Environment = {}) =>
  loadWitnessConfiguration({ file: write({ ...witness, ...changes }), environment });

describe('a witness’s configuration', () => {
  it('has defaults, and paths relative to its file', () => {
    expect(loadWitness()).toMatchObject({
      name: 'witness.example/w1',
      audit: false,
      logs: [],
      policies: [inFolder('policy')],
      authority: undefined,
      token: { module: '/usr/lib/pkcs11.so', label: 'witness', pin: { file: inFolder('pin') }, timeout: 10_000 },
      journal: inFolder('journal'),
      store: { directory: inFolder('state') },
      listen: { host: '127.0.0.1', port: 8446 },
      metrics: { host: '127.0.0.1', port: 9466 },
      tls: undefined,
      refreshSeconds: 60,
      rateLimit: { requests: 120, windowMilliseconds: 60_000 },
    });
  });

  it('takes logs of any kind, from the environment too', () => {
    const logs = [{ origin: 'log.example', keys: ['log.example+01234567+AAAA'] }];
    expect(loadWitness({ policies: [], logs })).toMatchObject({ logs, policies: [] });
    const environment = {
      HOLDFAST_WITNESS_LOGS: JSON.stringify(logs),
      HOLDFAST_WITNESS_POLICIES: '/a/policy, /b/policy',
      HOLDFAST_WITNESS_REFRESH_SECONDS: '0',
    };
    expect(loadWitness({}, environment)).toMatchObject({
      logs,
      policies: ['/a/policy', '/b/policy'],
      refreshSeconds: 0,
    });
  });

  it.each<[string, object, RegExp]>([
    ['no log', { policies: [] }, /set policies, or logs/],
    ['an audit of a log without rules', { audit: true, logs: [{ origin: 'a', keys: ['k'] }] }, /needs the rules/],
    ['an origin twice', { logs: ['a', 'a'].map((origin) => ({ origin, keys: ['k'] })) }, /twice/],
    ['a log without keys', { logs: [{ origin: 'a', keys: [] }] }, /1 to 16/],
    ['no token', { token: { module: '/m.so' } }, /say which token/],
    ['two sources of the PIN', { token: { module: '/m', label: 'l', pinFile: 'p', pinEnvironment: 'P' } }, /only one/],
    ['plain HTTP for everybody', { listen: { host: '0.0.0.0', plainHttp: true } }, /for loopback/],
    ['no certificate', { listen: {} }, /tls.certificate/],
    ['a misspelt setting', { polices: ['policy'] }, /the configuration file .*\.json: .*polices/],
  ])('is refused with %s', (_what, changes, words) => {
    expect(refusal(() => loadWitness(changes))).toMatch(words);
  });
});

const monitor = { policy: 'policy', store: { directory: 'seen' }, evidenceDirectory: 'proof' };
const loadMonitor = (changes: object = {}, environment: Environment = {}) =>
  loadMonitorConfiguration({ file: write({ ...monitor, ...changes }), environment });

describe('a monitor’s configuration', () => {
  it('has defaults, and paths relative to its file', () => {
    expect(loadMonitor()).toEqual({
      policy: inFolder('policy'),
      url: undefined,
      vantages: [],
      authority: undefined,
      store: { directory: inFolder('seen') },
      evidenceDirectory: inFolder('proof'),
      journal: undefined,
      plexi: undefined,
      interval: 300,
      unacceptedAfter: 86_400,
      withheldAfter: 900,
      evidence: { fetch: true, maximumBytes: 67_108_864, interval: 86_400, origins: [] },
      webhook: undefined,
      metrics: { host: '127.0.0.1', port: 9467 },
      timeout: 10_000,
      logLevel: 'info',
    });
  });

  it('has places to look from, and whom to tell', () => {
    const vantages = [{ name: 'mirror', kind: 'log', url: 'https://mirror.example' }];
    const webhook = { url: 'https://alerts.example', secretFile: 'secret' };
    expect(loadMonitor({ vantages, webhook })).toMatchObject({
      vantages,
      webhook: { url: 'https://alerts.example', secretFile: inFolder('secret') },
    });
  });

  it.each<[string, object, RegExp]>([
    ['a secret without a webhook', { webhook: { secretFile: 'secret' } }, /webhook\.url/],
    ['a place of no known kind', { vantages: [{ name: 'a', kind: 'other', url: 'https://a' }] }, /one of log, witness/],
    ['a place twice', { vantages: ['a', 'a'].map((name) => ({ name, kind: 'log', url: 'https://a' })) }, /twice/],
    ['no folder', { store: {} }, /store\.directory is missing/],
    ['no pause', { interval: 0 }, /1 to 86400/],
  ])('is refused with %s', (_what, changes, words) => {
    expect(refusal(() => loadMonitor(changes))).toMatch(words);
  });
});
