/**
 * Makes the tokens of a new fleet's other parties, all in this process: SoftHSM reads one configuration per process, so they
 * are made in one folder and then moved, each to its owner's. Children would take several times as long to start.
 */

import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, Secret, utf8 } from '../core/index.ts';
import { initialiseToken, openSigningToken, writeSoftHsmConfiguration } from '../token/index.ts';
import type { SigningToken } from '../token/port.ts';
import { randomPin, write } from './files.ts';
import type { FleetFolder } from './folder.ts';

export class TokenWorkshop {
  readonly module: string;
  readonly #folder: FleetFolder;
  readonly #path: string;
  readonly #owners: { readonly name: string; readonly token: string }[] = [];
  #last: Promise<unknown> = Promise.resolve();

  /** @param useSoftHsm sets SOFTHSM2_CONF of this process. */
  constructor(folder: FleetFolder, module: string, useSoftHsm: (configuration: string) => void) {
    this.module = module;
    this.#folder = folder;
    this.#path = join(folder.path, 'tokens-in-the-making');
    useSoftHsm(writeSoftHsmConfiguration(this.#path));
  }

  /**
   * A new token named like its owner's folder, which is made, with PINs of its own in it. One after the other: which is new shows
   * in the folder of all. @throws HoldfastError `token_*`.
   */
  make(name: string): Promise<{ readonly label: string; readonly pin: Secret }> {
    const made = this.#last.then(() => this.#make(name));
    this.#last = made.catch(() => {});
    return made;
  }

  async #make(name: string): Promise<{ readonly label: string; readonly pin: Secret }> {
    const own = this.#folder.of(name);
    await mkdir(own, { recursive: true, mode: 0o700 });
    const [soPin, pin] = [randomPin(), randomPin()];
    await write(join(own, 'so-pin'), `${soPin}\n`, 0o600);
    await write(join(own, 'pin'), `${pin}\n`, 0o600);
    const before = new Set(await this.#tokens());
    const pins = { soPin: new Secret(utf8(soPin)), userPin: new Secret(utf8(pin)) };
    await initialiseToken({ module: this.module, label: name, ...pins });
    const [token, ...others] = (await this.#tokens()).filter((entry) => !before.has(entry));
    if (token === undefined || others.length > 0) {
      throw new HoldfastError(
        'token_failed',
        'SoftHSM made no token, or several; see that nothing else uses this folder',
      );
    }
    this.#owners.push({ name, token });
    return { label: name, pin: new Secret(utf8(pin)) };
  }

  /** The same, open for signing keys. Close it before `deliver`. */
  async open(name: string): Promise<SigningToken> {
    const { label, pin } = await this.make(name);
    return await openSigningToken({ module: this.module, label, pin });
  }

  /** Moves each token to its owner, when none is open any more. */
  async deliver(): Promise<void> {
    for (const { name, token } of this.#owners) {
      this.#folder.softHsm(name);
      await rename(join(this.#path, 'tokens', token), join(this.#folder.of(name), 'token', 'tokens', token));
    }
    await rm(this.#path, { recursive: true });
  }

  #tokens(): Promise<string[]> {
    return readdir(join(this.#path, 'tokens'));
  }
}
