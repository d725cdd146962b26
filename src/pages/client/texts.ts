/** Every sentence of the example application, in one place. */

import type { ClientStep } from '../../client/index.ts';
import type { ErrorCode } from '../../core/index.ts';

export const STEPS: Readonly<Record<ClientStep, string>> = {
  status: 'Asking the vault where your record stands',
  stretch: 'Making your PIN costly to guess',
  open: 'Opening a place in the vault',
  stage: 'Putting your key in, in pieces for each node',
  activate: 'Switching it on',
  attempt: 'Trying your PIN with the vault',
  confirm: 'Confirming that it was right',
  delete: 'Deleting your record',
  waiting: 'Waiting for the vault',
};

export interface Explanation {
  readonly title: string;
  readonly text: string;
  /** Whether nothing is lost and the same may be tried again. */
  readonly mild?: boolean;
}

const EXPLAINED: Partial<Record<ErrorCode, Explanation>> = {
  wrong_pin: { title: 'That PIN is wrong', text: 'Nothing else has changed.' },
  waiting: {
    title: 'Too early for another try',
    text: 'After wrong PINs the vault makes everyone wait. Nothing was counted.',
    mild: true,
  },
  spent: {
    title: 'No tries are left',
    text: 'The vault will not take this PIN any more, not even the right one. A recovery code or passkey still opens your backup.',
  },
  destroyed: {
    title: 'The vault has no record of yours',
    text: 'It was deleted, or destroyed after too many wrong PINs. A recovery code or passkey still opens your backup.',
  },
  not_found: { title: 'Nothing is there', text: 'The vault has no record of yours, or the backup has no such way.' },
  superseded: {
    title: 'Changed on another device',
    text: 'The PIN, the key or the ways to your backup were changed elsewhere. Open it here once; then this device goes on with what is new. What you wrote stays.',
    mild: true,
  },
  no_majority: {
    title: 'The vault cannot be reached',
    text: 'Too few of its nodes answered. Nothing was counted and nothing is lost; try again in a while.',
    mild: true,
  },
  rate_limited: {
    title: 'Too many requests',
    text: 'Perhaps several of your devices use the vault at once. Nothing is lost; try again in a minute.',
    mild: true,
  },
  recovery_code_wrong: {
    title: 'This code is for another backup',
    text: 'You typed it correctly, but it does not open this backup.',
  },
  passkey_wrong: { title: 'This passkey does not open the backup', text: 'Choose another passkey or another way.' },
  passkey_unsupported: {
    title: 'This passkey cannot protect a backup',
    text: 'Your browser, or the place that keeps your passkeys, lacks what is needed (the PRF extension). Use another one, or another way. If it appears among your passkeys, you can delete it there.',
  },
  passkey_alone: {
    title: 'A passkey cannot be the only way',
    text: 'Passkeys get lost with a device, an account or a change of provider, without anybody’s fault. Keep your PIN or a recovery code beside it.',
  },
  last_method: {
    title: 'This is the last way to your backup',
    text: 'Without it nobody could open your backup again, not even you. Add another way first, or turn the backup off.',
  },
  owner_required: {
    title: 'The vault still holds your old PIN',
    text: 'This service does not replace a PIN that is forgotten while its record stands. Your notes are safe on this device; use your recovery code or passkey until then.',
  },
  cancelled: {
    title: 'Nothing was done',
    text: 'It was declined, took too long, or that passkey is not on this device.',
    mild: true,
  },
  not_ready: {
    title: 'The application’s server cannot be reached',
    text: 'Check your connection and try again.',
    mild: true,
  },
  untrusted: {
    title: 'Something did not verify',
    text: 'What came back is not what your way leads to. Somebody may have changed it. Do not go on with this backup; tell the people who run this service.',
  },
};

const UNVERIFIED: Explanation = {
  title: 'The vault could not be verified',
  text: 'A check of the service failed, so nothing was sent to it. There is no way around this: wait, or ask the people who run it.',
};

const OTHER: Explanation = { title: 'That did not work', text: '' };

/** What to tell a person. `exit` is the error's exit code: 6 is everything that did not verify. */
export function explain(code: ErrorCode, exit: number, message: string): Explanation {
  const found = EXPLAINED[code];
  if (found) return found;
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
  return exit === 6 ? { ...UNVERIFIED, text: `${UNVERIFIED.text} (${sentence})` } : { ...OTHER, text: sentence };
}

export const triesLeft = (left: number, of: number): string => {
  if (left === 0) return 'No tries left';
  if (left === 1) return 'One try left';
  return left === of ? `${left} tries` : `${left} of ${of} tries left`;
};

export const TRIES_HINT = 'The right PIN gives all tries back.';
export const LAST_TRIES =
  'After the last one the vault locks this way for good. If you are not sure, use another way: it costs nothing.';
export const waitText = (duration: string): string => `You can try again in ${duration}.`;

export const PIN_RULES = 'At least six digits, or a longer password. Not a birthday, not 123456.';
export const PIN_WEAK: Readonly<Record<'short' | 'simple' | 'differ', string>> = {
  short: 'Use at least six characters.',
  simple: 'This one is among the first that anybody would try. Choose another.',
  differ: 'The two are not the same.',
};

export const CODE_HINT =
  'Upper or lower case, with or without gaps. Type ? for a character that you cannot read. Up to four mistakes are put right.';
export const codeCount = (count: number): string => `${count} of 64 characters`;

export const REMOVE_ONLY =
  'From now on new backups no longer list it. But whoever has it together with an older copy of your backup can still open that copy, and, because the key stays the same, every later backup too.';
export const REMOVE_AND_RENEW =
  'Your backup gets a new key. What you remove opens nothing that is saved from now on, and the copy on this app’s server is replaced. Copies that somebody took before stay as they are: nobody can call them back.';

export const ABOUT_WAYS =
  'Each of these opens your backup by itself, on any device. Keep at least two, in different places.';
export const WAYS = {
  pin: { title: 'PIN', text: 'Kept by the vault, which counts wrong guesses.' },
  'recovery-code': {
    title: 'Recovery code',
    text: 'On paper. Works without the vault, and without any device of yours.',
  },
  passkey: { title: 'Passkey', text: 'Your fingerprint, face or security key. Never the only way.' },
} as const;
