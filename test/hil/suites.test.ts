/** The suite for hardware (`npm run test:hil`) on modules that every machine can have. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { findSoftHsm, initialiseToken, readInventory, writeSoftHsmConfiguration } from '../../src/token/index.ts';
import { cleanEnvironment, holdfast } from '../fleet/launcher.ts';
import { secret } from '../token/fixture.ts';
import { buildFaultyModule, FaultControl } from './faulty-module.ts';
import { findKryoptic, findRemoting, unless } from './modules.ts';
import { findSoftokn, makeSoftokn } from './softokn.ts';

const PIN = '4711-user';
const script = resolve(import.meta.dirname, '../../scripts/hil.ts');

function pinFile(): string {
  const path = join(mkdtempSync(join(tmpdir(), 'pin-')), 'pin');
  writeFileSync(path, PIN, { mode: 0o600 });
  return path;
}

interface Run {
  readonly code: number | null;
  readonly output: string;
  readonly junit: string;
}

async function hil(words: readonly string[], environment: Readonly<Record<string, string>>): Promise<Run> {
  const report = join(mkdtempSync(join(tmpdir(), 'hil-')), 'junit.xml');
  const child = spawn(process.execPath, [script, ...words, '--junit', report], {
    // Not this run's own workers: it is a run by itself.
    env: { ...cleanEnvironment(environment), VITEST: '', VITEST_POOL_ID: '', VITEST_WORKER_ID: '', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pieces: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => pieces.push(piece));
  const [code] = (await once(child, 'close')) as [number | null];
  const output = Buffer.concat(pieces).toString('utf8');
  return { code, output, junit: existsSync(report) ? readFileSync(report, 'utf8') : '' };
}

/** All passed, and as many as there are at least. */
function expectPassed({ code, output, junit }: Run, atLeast: number): void {
  const [, passed, failed] = /(\d+) passed, (\d+) failed/.exec(output) ?? [];
  expect([code, failed], output.slice(-6000)).toEqual([0, '0']);
  expect(Number(passed)).toBeGreaterThanOrEqual(atLeast);
  expect(junit).toMatch(/<testsuites .*failures="0"/);
}

/** A SoftHSM with so many tokens, and the numbers of their slots. */
async function softHsm(count: number): Promise<{ module: string; configuration: string; slots: number[] }> {
  const module = findSoftHsm()!;
  const configuration = writeSoftHsmConfiguration(mkdtempSync(join(tmpdir(), 'hsm-')));
  process.env.SOFTHSM2_CONF = configuration;
  for (let i = 1; i <= count; i++) {
    await initialiseToken({ module, label: `slot-${i}`, soPin: secret('officer-1'), userPin: secret(PIN) });
  }
  const { slots } = await readInventory({ module });
  return { module, configuration, slots: slots.flatMap(({ number, token }) => (token ? [number] : [])) };
}

test('SoftHSM: five slots as five nodes, destructive steps included', async () => {
  const { module, configuration, slots } = await softHsm(5);
  const run = await hil(
    ['--module', module, '--slots', slots.join(','), '--pin-file', pinFile(), '--allow-destructive'],
    { SOFTHSM2_CONF: configuration },
  );
  expectPassed(run, 250);
  expect(run.output).toContain('5 nodes: any minority may be down');
  expect(run.output).toContain('refuses a wrong PIN');
  // Nothing is left but the tokens.
  process.env.SOFTHSM2_CONF = configuration;
  const pin = secret(PIN);
  for (const slot of slots) {
    const inventory = await readInventory({ module, login: { slot, pin } });
    expect(inventory.slots.find(({ number }) => number === slot)?.token?.objects).toEqual([]);
  }
});

test.runIf(findSoftokn())(
  `NSS softokn, with what it gets wrong put right by the shim${unless(findSoftokn(), 'libnss3')}`,
  async () => {
    const nss = makeSoftokn(PIN);
    const directory = mkdtempSync(join(tmpdir(), 'shim-'));
    const module = buildFaultyModule(directory);
    const control = new FaultControl(join(directory, 'control'));
    // It does not say that keys were made on it (CKA_LOCAL), and wraps keys that are not extractable (CKR_KEY_UNEXTRACTABLE).
    control.set('C_GetAttributeValue 1 0 set 0x163 1', `C_WrapKey 1 0 return ${0x6a}`);
    const run = await hil(
      ['--module', module, '--module-parameters', nss.moduleParameters, '--slot', '2', '--pin-file', pinFile()],
      { FAULTY_MODULE: nss.module, FAULTY_CONTROL: control.path },
    );
    expectPassed(run, 50);
    nss.remove();
  },
);

test.runIf(findKryoptic())(`Kryoptic, as it is${unless(findKryoptic(), 'Kryoptic')}`, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'kryoptic-'));
  const configuration = join(directory, 'kryoptic.conf');
  writeFileSync(configuration, `[[slots]]\nslot = 1\ndbtype = "sqlite"\ndbargs = "${join(directory, 'token.sql')}"\n`);
  process.env.KRYOPTIC_CONF = configuration;
  const module = findKryoptic()!;
  await initialiseToken({ module, label: 'kryoptic', soPin: secret('12345678'), userPin: secret(PIN) });
  const run = await hil(['--module', module, '--slot', '1', '--pin-file', pinFile()], { KRYOPTIC_CONF: configuration });
  expectPassed(run, 50);
});

test.runIf(findRemoting())(
  `SoftHSM in another process, through p11-kit${unless(findRemoting(), 'p11-kit')}`,
  async () => {
    const { module, configuration } = await softHsm(1);
    const socket = join(mkdtempSync(join(tmpdir(), 'p')), 's');
    const server = spawn('p11-kit', ['server', '-f', '-n', socket, '--provider', module, 'pkcs11:'], {
      env: { ...cleanEnvironment(), SOFTHSM2_CONF: configuration },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(server.stdout, 'data');
      const environment = { P11_KIT_SERVER_ADDRESS: `unix:path=${socket}` };
      const probe = [
        'token',
        'probe',
        '--module',
        findRemoting()!,
        '--label',
        'slot-1',
        '--pin-file',
        pinFile(),
        '--json',
      ];
      const { code, stdout } = await holdfast(probe, { environment });
      expect(code).toBe(0);
      const { verdicts, left, algorithms } = JSON.parse(stdout.toString('utf8'));
      expect(left).toEqual([]);
      expect(verdicts.signer.suitable).toBe(true);
      expect(algorithms).toContain('P-256');
      // p11-kit 0.24 does not carry the parameters of CKM_ECDH1_DERIVE; a newer one may, and then all has to work.
      if (!verdicts.node.suitable) expect(verdicts.node.reasons.join()).toMatch(/ECDH/);
      else
        expectPassed(
          await hil(['--module', findRemoting()!, '--slot', '17', '--pin-file', pinFile()], environment),
          50,
        );
    } finally {
      server.kill();
    }
  },
);

test.each([
  [[], /name a PKCS#11 module/],
  [['--module', script, '--slot', '1'], /no file with the PIN/],
  [['--module', script, '--slots', '1,1', '--pin-file', script], /each slot once/],
  [['--module', script, '--slot', 'x', '--pin-file', script], /by their numbers/],
])('wrong usage is told before anything is touched: %j', async (words, problem) => {
  const { code, output } = await hil(words, {});
  expect(code).toBe(2);
  expect(output).toMatch(problem);
});
