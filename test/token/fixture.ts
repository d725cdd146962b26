/** A SoftHSM token in a folder of its own. One per test file: the module's state belongs to the process. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret, utf8 } from '../../src/core/index.ts';
import { findSoftHsm, initialiseToken, type TokenOptions, writeSoftHsmConfiguration } from '../../src/token/index.ts';
import { Connection } from '../../src/token/pkcs11/connection.ts';
import { type Cryptoki, loadModule } from '../../src/token/pkcs11/cryptoki.ts';

export const PIN = '4711-user';
export const secret = (text: string) => new Secret(utf8(text));

/** A session in this thread, to look at the token past the code under test. */
export function connect(hsm: SoftHsm, module: Cryptoki = loadModule(hsm.module)): Connection {
  const connection = new Connection(module, hsm.module, { label: hsm.label }, utf8(PIN));
  connection.open();
  return connection;
}

/** The module with some of its functions replaced; `this` is the real module in each. */
export function altered(module: Cryptoki, changes: Partial<Cryptoki>): Cryptoki {
  return new Proxy(module, {
    get: (target, name) => {
      const change = changes[name as keyof Cryptoki] as unknown;
      const found = change ?? target[name as keyof Cryptoki];
      return typeof found === 'function' ? found.bind(target) : found;
    },
  });
}

/** An error as the module's binding throws it. */
export const ckr = (name: string) => new Error(`${name}:1`);

export interface SoftHsm {
  readonly directory: string;
  readonly module: string;
  readonly label: string;
  readonly serial: string;
  /** Options to open a node's part of the token. */
  options(node?: string): TokenOptions;
  remove(): void;
}

export async function softHsm(label = 'test'): Promise<SoftHsm> {
  const module = findSoftHsm();
  if (!module) throw new Error('these tests need SoftHSM 2: install the package softhsm2');
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-token-'));
  process.env.SOFTHSM2_CONF = writeSoftHsmConfiguration(directory);
  const { serial } = await initialiseToken({ module, label, soPin: secret('officer-1'), userPin: secret(PIN) });
  return {
    directory,
    module,
    label,
    serial,
    // On a crowded machine a worker alone may take longer to start than a token may take for a batch.
    options: (node = 'node-1') => ({ module, label, pin: secret(PIN), fleet: 'fleet', node, timeout: 60_000 }),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
