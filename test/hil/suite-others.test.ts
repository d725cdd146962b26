/** The suite for hardware (`npm run test:hil`) on modules of others that every machine can have. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { initialiseToken } from '../../src/token/index.ts';
import { cleanEnvironment, holdfast } from '../fleet/launcher.ts';
import { secret } from '../token/fixture.ts';
import { buildFaultyModule, FaultControl } from './faulty-module.ts';
import { findKryoptic, findRemoting, unless } from './modules.ts';
import { findSoftokn, makeSoftokn } from './softokn.ts';
import { expectPassed, hil, PIN, pinFile, softHsm } from './suite-run.ts';

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
