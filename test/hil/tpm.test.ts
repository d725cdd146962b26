/** A TPM 2.0 (swtpm) through tpm2-pkcs11: what a token is told that can do little of what a node needs. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { examineToken, initialiseToken } from '../../src/token/index.ts';
import { until } from '../faults/fault-fleet.ts';
import { reservePorts } from '../ports.ts';
import { PIN, secret } from '../token/fixture.ts';
import { findTpm, unless } from './modules.ts';

const module = findTpm();
let tpm: ChildProcess | undefined;

beforeAll(async () => {
  if (module === undefined) return;
  const directory = mkdtempSync(join(tmpdir(), 'tpm-'));
  const [state, store] = [join(directory, 'state'), join(directory, 'store')];
  for (const folder of [state, store]) mkdirSync(folder);
  execFileSync('swtpm_setup', ['--tpm2', '--tpmstate', `dir://${state}`, '--overwrite'], { stdio: 'ignore' });
  const port = await reservePorts();
  const flags = ['--flags', 'not-need-init,startup-clear', '--tpmstate', `dir=${state}`];
  const listeners = ['--server', `type=tcp,port=${port}`, '--ctrl', `type=tcp,port=${port + 1}`];
  tpm = spawn('swtpm', ['socket', '--tpm2', ...flags, ...listeners], { stdio: 'ignore' });
  // By the control port: the other one takes one client in the emulator's life, and it is opened after this.
  await until('the TPM answers', () => answers(port + 1));
  const address = `swtpm:host=127.0.0.1,port=${port}`;
  Object.assign(process.env, { TPM2_PKCS11_TCTI: address, TPM2TOOLS_TCTI: address, TPM2_PKCS11_STORE: store });
  // What it refuses is what the test is about; its own words fill the screen.
  Object.assign(process.env, { TPM2_PKCS11_LOG_LEVEL: '0', TSS2_LOG: 'all+NONE' });
  await initialiseToken({ module, label: 'tpm', soPin: secret('officer-1'), userPin: secret(PIN) });
  // Without a resource manager nobody else takes back what a process left in the TPM.
  execFileSync('tpm2_flushcontext', ['-t']);
});
afterAll(() => {
  tpm?.kill();
});

/** CMD_GET_CAPABILITY of swtpm's control channel (swtpm_ioctls(3)). */
const GET_CAPABILITY = Uint8Array.of(0, 0, 0, 1);

/** Whether the emulator has begun to take commands, of either port. */
function answers(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(GET_CAPABILITY));
    socket.once('error', () => done(false)).once('close', () => done(false));
    socket.once('data', () => {
      done(true);
      socket.destroy();
    });
  });
}

test.runIf(module)(
  `a TPM is told to be no vault node’s token, and why${unless(module, 'swtpm with tpm2-pkcs11')}`,
  async () => {
    const report = await examineToken({ module: module!, label: 'tpm', pin: secret(PIN) });
    const works = (title: string) => report.findings.find(({ step }) => step.startsWith(title))?.works;
    expect(works('data object, new value')).toBe(true);
    expect(works('ECDH')).toBe(false);
    expect(report.verdicts.node.suitable).toBe(false);
    expect(report.verdicts.node.reasons.join()).toMatch(/ECDH on P-256/);
  },
);
