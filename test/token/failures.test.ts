import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { createTokenKeys, openToken } from '../../src/token/index.ts';
import { Channel, type WorkerLike } from '../../src/token/pkcs11/channel.ts';
import { Connection } from '../../src/token/pkcs11/connection.ts';
import { CK, type Cryptoki, initialiseModule, loadModule } from '../../src/token/pkcs11/cryptoki.ts';
import { tokenError } from '../../src/token/pkcs11/errors.ts';
import type { BatchReply, Request } from '../../src/token/pkcs11/messages.ts';
import { WorkerPool } from '../../src/token/pkcs11/pool.ts';
import { altered, ckr, PIN, type SoftHsm, secret, softHsm } from './fixture.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
  await createTokenKeys(hsm.options());
});
afterAll(() => hsm.remove());

describe('return values', () => {
  it.each([
    ['CKR_DEVICE_REMOVED', 'token_removed'],
    ['CKR_TOKEN_NOT_PRESENT', 'token_removed'],
    ['CKR_PIN_INCORRECT', 'token_pin_incorrect'],
    ['CKR_PIN_LOCKED', 'token_pin_locked'],
    ['CKR_GENERAL_ERROR', 'token_failed'],
    ['CKR_VENDOR_DEFINED', 'token_failed'],
  ])('%s becomes %s, with operation and name', (name, code) => {
    expect(tokenError(ckr(name), 'sign')).toMatchObject({ code, details: { operation: 'sign', ckr: name } });
  });

  it('an error that is none becomes token_failed', () => {
    expect(tokenError(new TypeError('odd'), 'sign')).toMatchObject({ code: 'token_failed', details: { ckr: null } });
  });
});

describe('initialising', () => {
  it('asks for the module’s own locking', () => {
    const calls: unknown[] = [];
    initialiseModule({ C_Initialize: (options) => calls.push(options) });
    expect(calls).toEqual([{ flags: CK.CKF_OS_LOCKING_OK }]);
  });

  it('accepts that another thread was first, and nothing else', () => {
    const throwing = (code: number) => ({
      C_Initialize: () => {
        throw Object.assign(new Error('refused'), { code });
      },
    });
    initialiseModule(throwing(CK.CKR_CRYPTOKI_ALREADY_INITIALIZED));
    expect(() => initialiseModule(throwing(CK.CKR_GENERAL_ERROR))).toThrow('refused');
  });
});

describe('opening', () => {
  it('with a wrong PIN is refused, and says nothing of the PIN', async () => {
    const wrong = { ...hsm.options(), pin: secret('wrong-pin-99'), workers: 2 };
    const error = await openToken(wrong).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'token_pin_incorrect', details: { ckr: 'CKR_PIN_INCORRECT' } });
    expect(JSON.stringify(error) + String((error as Error).stack)).not.toContain('wrong-pin-99');
    const token = await openToken(hsm.options());
    await token.close();
  });

  it.each([
    ['CKR_PIN_INCORRECT', 'token_pin_incorrect'],
    ['CKR_PIN_LOCKED', 'token_pin_locked'],
  ])('never tries a PIN again after %s', (name, code) => {
    let tries = 0;
    const module = altered(loadModule(hsm.module), {
      C_Login: () => {
        tries++;
        throw ckr(name);
      },
    });
    const connection = new Connection(module, hsm.module, { label: hsm.label }, utf8(PIN));
    for (let i = 0; i < 3; i++) {
      expect(() => connection.run('sign', true, () => 1)).toThrow(expect.objectContaining({ code }));
    }
    expect(tries).toBe(1);
  });

  it('without a token that fits says so', async () => {
    await expect(openToken({ ...hsm.options(), label: 'none' })).rejects.toMatchObject({ code: 'token_removed' });
    await expect(openToken({ ...hsm.options(), serial: '00' })).rejects.toMatchObject({ code: 'token_removed' });
  });

  it('without a module says so', async () => {
    await expect(openToken({ ...hsm.options(), module: '/nowhere.so' })).rejects.toMatchObject({ code: 'usage' });
    const noModule = join(import.meta.dirname, 'failures.test.ts');
    await expect(openToken({ ...hsm.options(), module: noModule })).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('a lost session', () => {
  /** A connection whose `body` fails with `name` the first `times` times, and how often the session was opened. */
  function losing(name: string, times: number) {
    const real = loadModule(hsm.module);
    const count = { opened: 0, ran: 0, reopened: 0 };
    const module: Cryptoki = altered(real, {
      C_OpenSession: (slot, flags) => {
        count.opened++;
        return real.C_OpenSession(slot, flags);
      },
    });
    const connection = new Connection(module, hsm.module, { label: hsm.label }, utf8(PIN));
    connection.onReopen(() => count.reopened++);
    const run = (idempotent: boolean) =>
      connection.run('sign', idempotent, () => {
        if (count.ran++ < times) throw ckr(name);
        return 'done';
      });
    return { run, count, connection };
  }

  it.each(['CKR_SESSION_HANDLE_INVALID', 'CKR_DEVICE_REMOVED', 'CKR_GENERAL_ERROR', 'CKR_USER_NOT_LOGGED_IN'])(
    'by %s is opened again once, for what may be repeated',
    (name) => {
      const { run, count, connection } = losing(name, 1);
      expect(run(true)).toBe('done');
      expect(count).toEqual({ opened: 2, ran: 2, reopened: 2 });
      connection.close();
    },
  );

  it('is not tried a third time, and serves the next call from a new session', () => {
    const { run, count, connection } = losing('CKR_DEVICE_REMOVED', 2);
    expect(() => run(true)).toThrow(expect.objectContaining({ code: 'token_removed' }));
    expect(run(true)).toBe('done');
    expect(count).toEqual({ opened: 3, ran: 3, reopened: 3 });
    connection.close();
  });

  it('is never hidden from a write', () => {
    const { run, count, connection } = losing('CKR_GENERAL_ERROR', 1);
    expect(() => run(false)).toThrow(expect.objectContaining({ code: 'token_failed' }));
    expect(count.ran).toBe(1);
    connection.close();
  });

  it('is not suspected for a plain refusal', () => {
    const { run, count, connection } = losing('CKR_TEMPLATE_INCONSISTENT', 1);
    expect(() => run(true)).toThrow(expect.objectContaining({ code: 'token_failed' }));
    expect(count).toEqual({ opened: 1, ran: 1, reopened: 1 });
    connection.close();
  });
});

describe('the channel to a worker', () => {
  let sent: Request[][];
  let receive: (reply: BatchReply) => void;
  let exit: (code: number) => void;
  let worker: WorkerLike;
  beforeEach(() => {
    sent = [];
    worker = {
      postMessage: (requests) => sent.push([...requests]),
      on: (event: string, listener: unknown) => {
        if (event === 'message') receive = listener as typeof receive;
        if (event === 'exit') exit = listener as typeof exit;
      },
      unref: () => undefined,
    };
  });
  const reply = (...outputs: unknown[]): BatchReply => ({
    replies: outputs.map((output) => ({ output })),
    timings: [],
  });
  const settled = () => new Promise<void>((resolve) => queueMicrotask(resolve));

  it('sends together what was asked while a batch was under way', async () => {
    const channel = new Channel(worker, 1000, () => undefined);
    const first = channel.call('readAnchors', {});
    await settled();
    const later = [1, 2, 3].map(() => channel.call('readAnchors', {}));
    await settled();
    expect(sent.map((batch) => batch.length)).toEqual([1]);
    receive(reply(['a']));
    expect(sent.map((batch) => batch.length)).toEqual([1, 3]);
    receive(reply(['b'], ['c'], ['d']));
    expect(await Promise.all([first, ...later])).toEqual([['a'], ['b'], ['c'], ['d']]);
  });

  it('is unusable once a call never returned', async () => {
    const channel = new Channel(worker, 5, () => undefined);
    const hanging = channel.call('readAnchors', {});
    await expect(hanging).rejects.toMatchObject({ code: 'token_failed', details: { operation: 'readAnchors' } });
    await expect(channel.call('readAnchors', {})).rejects.toMatchObject({ code: 'token_failed' });
    expect(sent).toHaveLength(1);
    expect(channel.hung).toBe(true);
    await channel.close(false); // does not wait for it
  });

  it('does not count the time for which this process stood still, and the token with it', async () => {
    const channel = new Channel(worker, 400, () => undefined);
    const call = channel.call('readAnchors', {});
    await settled();
    // As where the machine is paused: the answer comes a while after it goes on, and by then the time would long be over.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1600);
    setTimeout(() => receive(reply(['a'])), 20);
    expect(await call).toEqual(['a']);
    // What never answers while it runs is found all the same.
    await expect(channel.call('readAnchors', {})).rejects.toMatchObject({ code: 'token_failed' });
    expect(channel.hung).toBe(true);
  });

  it('rejects what waits when the thread dies', async () => {
    const channel = new Channel(worker, 1000, () => undefined);
    const waiting = channel.call('readAnchors', {});
    exit(1);
    await expect(waiting).rejects.toMatchObject({ code: 'token_failed' });
  });

  it('rejects a request that the batch’s reply forgot', async () => {
    const channel = new Channel(worker, 1000, () => undefined);
    const calls = [channel.call('readAnchors', {}), channel.call('readAnchors', {})];
    await settled();
    receive(reply(['a']));
    expect(await calls[0]).toEqual(['a']);
    await expect(calls[1]).rejects.toMatchObject({ code: 'token_failed' });
  });

  it('rejects an opening that never returns', async () => {
    const token = openToken({ ...hsm.options(), timeout: 20 }, () => worker);
    await expect(token).rejects.toMatchObject({ code: 'token_failed', details: { milliseconds: 20 } });
  });
});

/** Answers every request at once until `hang` is called; then never again. */
function scripted(answers: Partial<Record<Request['operation'], unknown>>) {
  let hung = false;
  let receive: (reply: BatchReply) => void = () => undefined;
  let exit: (code: number) => void = () => undefined;
  const finalized: boolean[] = [];
  const worker: WorkerLike = {
    postMessage: (requests) => {
      if (hung) return;
      const replies = requests.map((request) => ({ output: answers[request.operation] }));
      queueMicrotask(() => receive({ replies, timings: [] }));
      for (const request of requests) {
        if (request.operation !== 'close') continue;
        finalized.push(request.finalize);
        queueMicrotask(() => exit(0));
      }
    },
    on: (event: string, listener: unknown) => {
      if (event === 'message') receive = listener as typeof receive;
      if (event === 'exit') exit = listener as typeof exit;
    },
    unref: () => undefined,
  };
  return {
    worker,
    finalized,
    hang: () => {
      hung = true;
    },
  };
}

it('one hung worker makes the token unusable; closing neither waits for it nor finalizes under it', async () => {
  const workers = [scripted({ open: {} }), scripted({ open: {} })];
  let next = 0;
  const { pool } = await WorkerPool.open({ ...hsm.options(), workers: 2, timeout: 5 }, () => workers[next++]!.worker);
  workers[0]!.hang();
  const hanging = pool.callFirst('readAnchors', {});
  await expect(hanging).rejects.toMatchObject({ code: 'token_failed', details: { milliseconds: 5 } });
  for (const call of [() => pool.call('readAnchors', {}), () => pool.callFirst('readAnchors', {})]) {
    await expect(call()).rejects.toMatchObject({ code: 'token_failed', details: { operation: 'readAnchors' } });
  }
  await pool.close();
  expect(workers.map((each) => each.finalized)).toEqual([[], [false]]);
});

// Last: it takes the token away.
describe('a token folder that disappears', () => {
  it('makes calls reject or answer rightly, never crash, and a new opening fail', async () => {
    const token = await openToken(hsm.options());
    await token.writeAnchor(utf8('before'));
    rmSync(join(hsm.directory, 'tokens'), { recursive: true });
    const write = await token.writeAnchor(utf8('after')).then(
      () => 'written',
      (error: { code: string }) => error.code,
    );
    expect(['token_failed', 'token_removed', 'token_unsuitable']).toContain(write);
    const read = await token.readAnchors().then(
      () => 'read',
      (error: { code: string }) => error.code,
    );
    expect(['token_failed', 'token_removed', 'token_unsuitable']).toContain(read);
    await token.close();
    await expect(openToken(hsm.options())).rejects.toMatchObject({
      code: expect.stringMatching(/^token_(failed|removed)$/),
      details: expect.objectContaining({ operation: 'open' }),
    });
  });
});
