/** The example application's account by itself, without its page: changes to a backup that are under way at the same time. */

import { afterEach, expect, test, vi } from 'vitest';
import type { Status } from '../../src/client/index.ts';
import { Account } from '../../src/pages/client/account.ts';
import { Device } from '../../src/pages/client/device.ts';
import * as recovery from '../../src/recovery/index.ts';
import { anchorOf, serialiseTrustAnchor } from '../../src/trust/index.ts';
import { scene } from '../trust/verify/scene.ts';

// To see when it is begun to add a code.
vi.mock('../../src/recovery/index.ts', async (original) => {
  const real = await original<typeof recovery>();
  return { ...real, addRecoveryCode: vi.fn(real.addRecoveryCode) };
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

/** The application's server: keeps backups, and lets a test hold the next one that is sent. */
class Server {
  readonly files = new Map<string, Uint8Array>();
  #anchor = '';
  #held: { readonly reached: () => void; readonly until: Promise<void> } | undefined;

  static async start(): Promise<Server> {
    const server = new Server();
    const { policy } = await scene();
    server.#anchor = serialiseTrustAnchor(anchorOf(policy, ['https://cosigner.example']));
    vi.stubGlobal('fetch', (path: string, init: RequestInit) => server.#answer(path, init));
    return server;
  }

  /** Holds the next backup until `release`; `reached` is done once it is here. */
  hold(): { readonly reached: Promise<void>; readonly release: () => void } {
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    this.#held = { reached: reached.resolve, until: release.promise };
    return { reached: reached.promise, release: release.resolve };
  }

  async #answer(path: string, { method = 'GET', body }: RequestInit): Promise<Response> {
    if (path.endsWith('/configuration')) return Response.json({ anchor: this.#anchor });
    const id = /backups\/(.+)$/.exec(path)?.[1];
    if (id === undefined) {
      return Response.json({ backups: [...this.files.keys()].map((one) => ({ id: one, savedAt: 1, size: 1 })) });
    }
    if (method === 'GET') return new Response(this.files.get(id)!.slice());
    const held = this.#held;
    this.#held = undefined;
    held?.reached();
    await held?.until;
    this.files.set(id, body as Uint8Array);
    return new Response(undefined, { status: 204 });
  }
}

/** Somebody on a new device whose backup is on; the vault keeps one record. */
async function enrolled(): Promise<Account> {
  const stored = new Map<string, string>();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
  });
  const account = await Account.open(Device.create('nina'));
  const status = { state: 'active', generation: 1 } as Status;
  vi.spyOn(account.vault, 'status').mockResolvedValue(status);
  type Enrolment = Awaited<ReturnType<typeof account.vault.enrol>>;
  vi.spyOn(account.vault, 'enrol').mockResolvedValue({ fleet: 'first' } as Enrolment);
  await account.turnOn('493027');
  return account;
}

test('a note whose backup is slow takes nothing back that is added meanwhile', async () => {
  const server = await Server.start();
  const account = await enrolled();
  account.device.notes = [{ id: '1', text: 'the slow one', writtenAt: 1 }];
  const { reached, release } = server.hold();
  const saved = account.save();
  await reached;
  const code = account.prepareCode();
  const added = account.addCode(code);
  // Begun at once, it is done before the slow one; else it waits for that.
  if (vi.mocked(recovery.addRecoveryCode).mock.calls.length > 0) await added;
  release();
  await Promise.all([saved, added]);

  const [file] = [...server.files.values()];
  expect(server.files.size).toBe(1);
  const way = { kind: 'recovery-code', code } as const;
  const { identity } = await recovery.openWith((await recovery.methodsIn(file!))!, way);
  expect(new TextDecoder().decode(await recovery.decryptBackup(file!, identity))).toContain('the slow one');
  expect(account.ways.map(({ kind }) => kind)).toEqual(['pin', 'recovery-code']);
});

test('what fails keeps nothing else from being done', async () => {
  const server = await Server.start();
  const account = await enrolled();
  const lost = account.save();
  server.files.clear();
  server.files.set('0123456789abcdef', new Uint8Array());
  const [saved, added] = await Promise.allSettled([lost, account.addCode(account.prepareCode())]);
  expect(saved).toMatchObject({ status: 'rejected', reason: { code: 'superseded' } });
  expect(added.status).toBe('fulfilled');
});
