/** `holdfast token probe` and `bench`: what they find of different tokens, and that they leave nothing behind. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { examineToken, type TokenReport } from '../../src/token/index.ts';
import { findObjects, loadModule } from '../../src/token/pkcs11/cryptoki.ts';
import { holdfast } from '../fleet/launcher.ts';
import { connect, PIN, type SoftHsm, secret, softHsm } from '../token/fixture.ts';
import { buildFaultyModule, FaultControl } from './faulty-module.ts';
import { makeSoftokn } from './softokn.ts';

let hsm: SoftHsm;
let pinFile: string;
let control: FaultControl;
let shim: string;
let environment: Record<string, string>;
let before: string[];

beforeAll(async () => {
  hsm = await softHsm();
  const directory = mkdtempSync(join(tmpdir(), 'probe-'));
  pinFile = join(directory, 'pin');
  writeFileSync(pinFile, PIN, { mode: 0o600 });
  shim = buildFaultyModule(directory);
  control = new FaultControl(join(directory, 'control'));
  process.env.FAULTY_MODULE = hsm.module;
  process.env.FAULTY_CONTROL = control.path;
  environment = { SOFTHSM2_CONF: process.env.SOFTHSM2_CONF! };
});
afterAll(() => hsm.remove());

/** Handles of all token objects, from a session that looks past the code under test. */
function objects(): string[] {
  const connection = connect(hsm);
  try {
    return connection.run('count', true, (session) =>
      findObjects(loadModule(hsm.module), session, []).map((object) => object.toString('hex')),
    );
  } finally {
    connection.close();
  }
}
beforeEach(() => {
  control.clear();
  before = objects();
});
afterEach(() => {
  control.clear();
  // Handles are numbers of SoftHSM's own: how many there are is what counts.
  expect(objects()).toHaveLength(before.length);
});

const words = (...more: string[]) => ['token', ...more, '--label', hsm.label, '--pin-file', pinFile];
const step = (report: TokenReport, title: string) => report.findings.find((finding) => finding.step.startsWith(title));

test('SoftHSM suits both roles; each step is said, and the speed of each operation', async () => {
  const { code, stdout } = await holdfast([...words('probe'), '--json'], { environment });
  expect(code).toBe(0);
  const report = JSON.parse(stdout.toString('utf8')) as TokenReport;
  expect(report.verdicts).toEqual({
    node: { suitable: true, reasons: [] },
    signer: { suitable: true, reasons: [] },
  });
  expect(report.profile).toEqual({ ecdhPoint: 'raw', ecdsa: 'digest', prf: 'hmac-generic', anchor: 'label' });
  expect(report.algorithms).toEqual(['Ed25519', 'P-256']);
  expect(report.left).toEqual([]);
  for (const title of ['RFC 9497', 'RFC 9180', 'keys stay on the token', 'anchors are kept']) {
    expect(step(report, title)).toMatchObject({ works: true });
  }
  expect(step(report, 'data object, new value')).toMatchObject({ works: false, detail: 'CKR_ATTRIBUTE_READ_ONLY' });
  const operations = ['sign', 'ecdh', 'hmac', 'evaluate', 'anchor_write'];
  expect(report.rates.map(({ operation, workers }) => [workers, operation])).toEqual([
    ...operations.map((operation) => [1, operation]),
    ...operations.map((operation) => [4, operation]),
  ]);
  expect(report.rates.every(({ perSecond }) => perSecond > 0)).toBe(true);
});

test('for people there is a table, and whether anything was left', async () => {
  const { code, stdout } = await holdfast(words('probe', '--require', 'node'), { environment });
  expect(code).toBe(0);
  expect(stdout.toString('utf8')).toMatch(
    /Vault node: suitable\nSigner: suitable\n(.*\n)*Nothing was left on the token/,
  );
});

test.each(['probe', 'bench'])('%s, interrupted, leaves nothing behind', async (command) => {
  // With a key on the token, which a process that just ended would leave there: it waits there until it is interrupted.
  control.set('C_GetAttributeValue 1 1 wait 0x163');
  const { code } = await holdfast(words(command, '--module', shim), {
    environment: { ...environment, FAULTY_MODULE: hsm.module, FAULTY_CONTROL: control.path },
    onStart: (child) => {
      const watch = setInterval(() => {
        if (control.done === 0) return;
        child.kill('SIGINT');
        control.clear();
        clearInterval(watch);
      }, 5);
      child.once('exit', () => clearInterval(watch));
    },
  });
  expect(code).toBe(130);
});

test('what a probe that was killed has left is told of, and swept away when asked', async () => {
  // It stops while it changes its first anchor, an object on the token.
  control.set('C_SetAttributeValue 1 1 hang');
  await holdfast(words('probe', '--module', shim), {
    environment: { ...environment, FAULTY_MODULE: hsm.module, FAULTY_CONTROL: control.path },
    onStart: (child) => {
      const watch = setInterval(() => control.done > 0 && child.kill('SIGKILL'), 5);
      child.once('exit', () => clearInterval(watch));
    },
  });
  const left = objects().length - before.length;
  expect(left).toBeGreaterThan(0);
  const seen = await examineToken({ module: hsm.module, label: hsm.label, pin: secret(PIN) });
  expect(seen).toMatchObject({ others: [expect.stringMatching(/^probe-[0-9a-f]{16}$/)], swept: 0, left: [] });
  expect(seen.advice.join()).toContain('--sweep');
  expect(objects()).toHaveLength(before.length + left);
  const { stdout } = await holdfast([...words('probe'), '--sweep', '--json'], { environment });
  expect(JSON.parse(stdout.toString('utf8'))).toMatchObject({ others: seen.others, swept: left, left: [] });
});

test.each([
  ['C_DeriveKey 1 0 return 0x70', 'ECDH on P-256', /ECDH/],
  ['C_SetAttributeValue 1 0 return 0x1b', 'data object, new label', undefined],
  ['C_Sign 1 0 flip 0x1041', 'ECDSA on P-256', /ECDSA/],
  ['C_DeriveKey 4 0 return 0x5', 'opened with', /ECDH|CKR_GENERAL_ERROR/],
] as const)('a token with the fault %s is told, and cleaned up', async (rule, title, reason) => {
  control.set(rule);
  const report = await examineToken({ module: shim, label: hsm.label, pin: secret(PIN) });
  expect(step(report, title)).toMatchObject({ works: false });
  expect(report.verdicts.node.suitable).toBe(reason === undefined);
  if (reason) expect(report.verdicts.node.reasons.join()).toMatch(reason);
  if (!reason) expect(report.profile?.anchor).toBe('replace');
  expect(report.left).toEqual([]);
});

test('NSS softokn suits neither role: its keys can leave it', async () => {
  const nss = makeSoftokn(PIN);
  const { module, moduleParameters, slot } = nss;
  const report = await examineToken({ module, moduleParameters, slot, pin: secret(PIN) });
  expect(report.verdicts.node.suitable).toBe(false);
  expect(report.verdicts.signer.suitable).toBe(false);
  expect(step(report, 'keys stay on the token')).toMatchObject({
    works: false,
    detail: expect.stringContaining('wrap'),
  });
  expect(report.left).toEqual([]);
  nss.remove();
});

test('a token of which a call never returns: the command says so and ends, although its thread cannot', async () => {
  control.set('C_DeriveKey 3 1 hang');
  const { code, stderr } = await holdfast(words('probe', '--module', shim), {
    environment: { ...environment, FAULTY_MODULE: hsm.module, FAULTY_CONTROL: control.path },
  });
  // By SIGKILL, which has no code.
  expect(code).toBeNull();
  expect(stderr).toMatch(/did not answer .* in time/);
});

test('what is required and missing ends the command with its own code', async () => {
  control.set('C_DeriveKey 1 0 return 0x70');
  const { code, stdout } = await holdfast(words('probe', '--module', shim, '--require', 'node', '--json'), {
    environment: { ...environment, FAULTY_MODULE: hsm.module, FAULTY_CONTROL: control.path },
  });
  expect(code).toBe(6);
  expect(JSON.parse(stdout.toString('utf8'))).toMatchObject({ code: 'token_unsuitable' });
});
