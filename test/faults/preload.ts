/**
 * Loaded into the processes of a fleet under test (`node --import`): lets a test kill a vault node at a named point of
 * its group commit, and move its clock. It obeys files in the node's own folder and does nothing else anywhere.
 */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

/** Points of one group commit, in their order (docs/protocol.md, section 7). */
export type KillPoint = 'before-store' | 'before-anchor' | 'during-anchor' | 'after-anchor' | 'after-signing';

const words = process.argv;
const at = words.indexOf('--config');
if (isMainThread && words[2] === 'node' && words[3] === 'run' && at > 0) await obey(dirname(words[at + 1]!));

async function obey(folder: string): Promise<void> {
  const { Pkcs11Token } = await import('../../src/token/pkcs11/token.ts');
  const killFile = join(folder, 'kill-at');
  /** The file goes first: the node that is started next must live. */
  const wanted = () => (existsSync(killFile) ? readFileSync(killFile, 'utf8') : undefined);
  const reached = (point: KillPoint): void => {
    if (wanted() !== point) return;
    rmSync(killFile);
    process.kill(process.pid, 'SIGKILL');
  };
  const { anchorMac, anchorThenSign, sign, writeAnchor } = Pkcs11Token.prototype;
  // The MAC of a batch is made just before it is stored, and its anchor written just after.
  Pkcs11Token.prototype.anchorMac = async function (message) {
    const mac = await anchorMac.call(this, message);
    reached('before-store');
    return mac;
  };
  Pkcs11Token.prototype.writeAnchor = async function (value) {
    reached('before-anchor');
    const written = writeAnchor.call(this, value);
    // The token's thread has the request; whether it began, or finished, is left to chance.
    setImmediate(() => reached('during-anchor'));
    await written;
    reached('after-anchor');
  };
  Pkcs11Token.prototype.anchorThenSign = async function (value, message) {
    if (wanted() === 'after-anchor') {
      // Between the two, which in one turn of the token cannot be met.
      await this.writeAnchor(value);
      return this.sign(message);
    }
    reached('before-anchor');
    const signed = anchorThenSign.call(this, value, message);
    setImmediate(() => reached('during-anchor'));
    const signature = await signed;
    reached('after-signing');
    return signature;
  };
  Pkcs11Token.prototype.sign = async function (message) {
    const signature = await sign.call(this, message);
    reached('after-signing');
    return signature;
  };
  const clockFile = join(folder, 'clock-offset');
  const { now } = Date;
  Date.now = () => now() + (existsSync(clockFile) ? Number(readFileSync(clockFile, 'utf8')) : 0);
}
