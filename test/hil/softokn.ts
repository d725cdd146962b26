/** NSS softokn (Debian libnss3) as a second module of independent origin: a database in a folder of its own. */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pkcs11js from 'pkcs11js';

const PLACES = ['/usr/lib/x86_64-linux-gnu/libsoftokn3.so', '/usr/lib/aarch64-linux-gnu/libsoftokn3.so'];

export interface Softokn {
  readonly module: string;
  /** Text for C_Initialize. */
  readonly moduleParameters: string;
  /** Slot 1 holds session objects only, slot 2 the database. */
  readonly slot: number;
  readonly label: string;
  remove(): void;
}

export const findSoftokn = (): string | undefined => PLACES.find((path) => existsSync(path));

/** A database whose PIN is set: softokn has no security officer of its own, but an empty PIN before the first one. */
export function makeSoftokn(pin: string): Softokn {
  const module = findSoftokn();
  if (module === undefined) throw new Error('these tests need NSS softokn: install the package libnss3');
  const directory = mkdtempSync(join(tmpdir(), 'nss-'));
  // Else every object is encrypted under a key that took 10,000 rounds of PBKDF2, for each attribute anew.
  process.env.NSS_MAX_MP_PBE_ITERATION_COUNT = '1';
  const moduleParameters = `configdir='sql:${directory}'`;
  const nss = new pkcs11js.PKCS11();
  nss.load(module);
  nss.C_Initialize({ flags: pkcs11js.CKF_OS_LOCKING_OK, libraryParameters: `${moduleParameters} ` });
  const slot = nss.C_GetSlotList(true)[1]!;
  const session = nss.C_OpenSession(slot, pkcs11js.CKF_SERIAL_SESSION | pkcs11js.CKF_RW_SESSION);
  nss.C_Login(session, pkcs11js.CKU_SO, '');
  nss.C_InitPIN(session, pin);
  nss.C_Logout(session);
  nss.C_CloseSession(session);
  nss.C_Finalize();
  return {
    module,
    moduleParameters,
    slot: slot.readUIntLE(0, 6),
    label: 'NSS Certificate DB',
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
