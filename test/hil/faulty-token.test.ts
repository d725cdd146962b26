/**
 * One node of five has a token that fails in every way a device can: by a module between its process and SoftHSM (shim).
 * The node says so, ends where only that helps, never answers what is wrong, and serves again when the device does.
 */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { VaultClient } from '../../src/client/index.ts';
import { findSoftHsm, REFUSED_PIN_FILE } from '../../src/token/index.ts';
import { codeOf, FaultFleet, failure, PIN, recovers, until, WRONG } from '../faults/fault-fleet.ts';
import { buildFaultyModule, FaultControl } from './faulty-module.ts';

/** PKCS#11 v2.40, section 3.6. */
const CKR = {
  GENERAL_ERROR: 0x5,
  DEVICE_REMOVED: 0x32,
  PIN_INCORRECT: 0xa0,
  PIN_LOCKED: 0xa4,
  SESSION_HANDLE_INVALID: 0xb3,
};
const CKM = { SHA256_HMAC: 0x251, ECDSA: 0x1041 };
const CKA_VALUE = 0x11;
/** Whatever a node asks of its token while it serves. */
const SERVING = ['C_SignInit', 'C_DeriveKey', 'C_GetAttributeValue', 'C_SetAttributeValue', 'C_GetTokenInfo'];

const configure = (of: FaultFleet, token: { module?: string; timeoutMilliseconds: number }) =>
  of.edit(of.folder.configuration('node-5'), (content) => void Object.assign(content.token as object, token));

let fleet: FaultFleet;
let control: FaultControl;
let logged = 0;

beforeAll(async () => {
  process.env.FAULTY_MODULE = findSoftHsm()!;
  fleet = await FaultFleet.launch((down) => {
    const directory = dirname(down.folder.path);
    control = new FaultControl(join(directory, 'faults'));
    process.env.FAULTY_CONTROL = control.path;
    const module = buildFaultyModule(directory);
    // A call that is only slow must not count as one that hangs.
    configure(down, { module, timeoutMilliseconds: 120_000 });
  });
});
beforeEach(async () => {
  control.clear();
  await fleet.start(1, 2, 3, 4, 5);
  logged = fleet.log('node-5').length;
});
afterAll(async () => {
  control.clear();
  await fleet[Symbol.asyncDispose]();
});

const log = () => fleet.log('node-5').slice(logged);
const isReady = async () => (await fleet.process('node-5')).ready;
const isDone = () => until('the fault was done', () => control.done > 0);

/**
 * Recovers until the fault was done: node 5 need not have any part in one recovery, and may take its parts of several in one batch,
 * where it or its coordinator was slow for a moment.
 */
async function recoversUntilDone(client: VaultClient): Promise<void> {
  do expect(await recovers(client)).toBe(true);
  while (control.done === 0);
}

/** Only what node 5 answers makes a majority with nodes 3 and 4. */
async function needed<T>(body: () => Promise<T>): Promise<T> {
  await fleet.kill(1, 2);
  try {
    return await body();
  } finally {
    await fleet.start(1, 2);
  }
}

test('a device that is removed: the node is unready and ends, the others go on; with it back the node serves', async () => {
  const client = await fleet.enrolled('removed');
  const pid = fleet.pid('node-5');
  control.set(...SERVING.map((name) => `${name} 1 0 return ${CKR.DEVICE_REMOVED}`));
  expect(await recovers(client)).toBe(true);
  await until('it says so', () => /"event":"token fails","code":"token_removed"/.test(log()));
  expect(await isReady()).toBe(false);
  await until('it ends', () => /"event":"fatal","code":"token_removed"/.test(log()));
  expect(await recovers(client)).toBe(true);
  control.clear();
  await fleet.untilAnew(new Map([['node-5', pid]]));
  expect(await needed(() => recovers(client))).toBe(true);
});

test('a session that is lost is opened again, and nobody notices', async () => {
  const client = await fleet.enrolled('session');
  const pid = fleet.pid('node-5');
  await needed(async () => {
    for (const name of ['C_SignInit', 'C_DeriveKey']) {
      control.set(`${name} 1 1 return ${CKR.SESSION_HANDLE_INVALID}`);
      expect(await recovers(client)).toBe(true);
      await isDone();
    }
  });
  expect(fleet.pid('node-5')).toBe(pid);
  expect(log()).not.toContain('token fails');
});

test('a device with an error for a while is unready for as long, and not restarted', async () => {
  const client = await fleet.enrolled('for-a-while');
  const pid = fleet.pid('node-5');
  control.set(`C_SignInit 1 4 return ${CKR.GENERAL_ERROR}`);
  for (let i = 0; i < 2; i++) expect(await recovers(client)).toBe(true);
  await until('it says so', () => /"event":"token fails","code":"token_failed"/.test(log()));
  await until('it says that it is over', () => log().includes('"event":"token works again"'));
  expect(await needed(() => recovers(client))).toBe(true);
  expect(fleet.pid('node-5')).toBe(pid);
});

test('a PIN that is locked: the node does not start and says why; the others go on', async () => {
  const client = await fleet.enrolled('locked');
  control.set(`C_Login 1 0 return ${CKR.PIN_LOCKED}`);
  fleet.signal('node-5', 'SIGKILL');
  await until('it says why', () => /PIN_LOCKED/.test(log()));
  expect(await recovers(client)).toBe(true);
  expect(await isReady()).toBe(false);
  control.clear();
  await fleet.untilServing(5);
  expect(await needed(() => recovers(client))).toBe(true);
});

test('a PIN that is refused is not tried again, however often the node is started', async () => {
  const client = await fleet.enrolled('refused');
  const marker = fleet.of(5, 'store', REFUSED_PIN_FILE);
  control.set(`C_Login 1 0 return ${CKR.PIN_INCORRECT}`);
  fleet.signal('node-5', 'SIGKILL');
  await until('it was started three times', () => log().split('is not asked again').length > 3);
  expect(control.done).toBe(1);
  expect(await isReady()).toBe(false);
  expect(await recovers(client)).toBe(true);
  expect(readFileSync(marker, 'utf8')).not.toContain(readFileSync(fleet.of(5, 'pin'), 'utf8').trim());
  control.clear();
  rmSync(marker);
  await fleet.untilServing(5);
  expect(await needed(() => recovers(client))).toBe(true);
});

test('a signature that is wrong does not get out', async () => {
  const client = await fleet.enrolled('signature');
  control.set(`C_Sign 1 0 flip ${CKM.ECDSA}`);
  expect(await recovers(client)).toBe(true);
  await until('it says so', () => /token fails|fatal/.test(log()));
  expect(log()).toContain('does not verify');
  expect(await recovers(client)).toBe(true);
  control.clear();
  await fleet.untilServing(5);
  expect(await needed(() => recovers(client))).toBe(true);
});

test('a product that is wrong for ever is never answered: no majority rather than a wrong PIN', async () => {
  const client = await fleet.enrolled('derived');
  await needed(async () => {
    control.set(`C_GetAttributeValue 1 0 flip ${CKA_VALUE}`);
    // Given up by the person, not by the clock: on a slow machine that could be before the device was asked.
    const tired = new AbortController();
    const patient = await fleet.client('derived', { patience: 300_000 });
    const code = codeOf(patient.recover(PIN, { signal: tired.signal }));
    await until('the device was asked again and again', () => control.done > 3);
    tired.abort();
    expect(['no_majority', 'not_ready', 'cancelled']).toContain(await code);
    control.clear();
    await fleet.untilServing(5);
    expect(await recovers(client)).toBe(true);
  });
});

test('one wrong bit anywhere in an operation changes no answer', async () => {
  const client = await fleet.enrolled('bit');
  await needed(async () => {
    for (const [name, type] of [
      ['C_GetAttributeValue', CKA_VALUE],
      ['C_Sign', CKM.SHA256_HMAC],
    ] as const) {
      // Each call that one recovery makes, until there are no more.
      let call = 1;
      for (; call < 20; call++) {
        control.set(`${name} ${call} 1 flip ${type}`);
        expect([name, call, await codeOf(client.recover(PIN))]).toEqual([name, call, 'ok']);
        // A token whose answers contradict each other may have been given up meanwhile.
        await fleet.untilServing(5);
        if (control.done === 0) break;
      }
      expect(call).toBeGreaterThan(3);
    }
  });
  expect(await failure(client.recover(WRONG))).toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 9 } });
});

test('a call that never returns: the node is unready, its process is replaced, and serves when the device does', async () => {
  const client = await fleet.enrolled('hung');
  const restart = async (timeoutMilliseconds: number) => {
    configure(fleet, { timeoutMilliseconds });
    await fleet.kill(5);
    await fleet.start(5);
  };
  await restart(2000);
  for (const name of ['C_DeriveKey', 'C_Sign', 'C_SetAttributeValue']) {
    const pid = fleet.pid('node-5');
    logged = fleet.log('node-5').length;
    control.set(`${name} 1 0 hang`);
    await recoversUntilDone(client);
    await until(`${name}: it says so`, () => /"event":"fatal"/.test(log()));
    expect(await recovers(client)).toBe(true);
    await until(`${name}: its process ends`, () => !existsSync(`/proc/${pid}`));
    control.clear();
    await fleet.untilAnew(new Map([['node-5', pid]]));
  }
  await restart(120_000);
  expect(await needed(() => recovers(client))).toBe(true);
});

test('a module that crashes takes only its own process with it', async () => {
  const client = await fleet.enrolled('crash');
  for (const name of ['C_DeriveKey', 'C_SetAttributeValue', 'C_Sign']) {
    const pid = fleet.pid('node-5');
    control.set(`${name} 2 1 crash`);
    await recoversUntilDone(client);
    await fleet.untilAnew(new Map([['node-5', pid]]));
  }
  expect(await needed(() => recovers(client))).toBe(true);
});
