/** Turning the backup on: a PIN, then a recovery code, then perhaps a passkey. */

import { HoldfastError } from '../../../core/index.ts';
import { button, element } from '../../common/index.ts';
import type { Account } from '../account.ts';
import { PIN_RULES } from '../texts.ts';
import { card, checkNewPin, FieldError, field, form, notice, pinField, show, stepText, stillHere } from '../ui.ts';
import { newCodeView } from './code.ts';
import { serviceCard } from './service.ts';

/** The two fields of a new PIN; `read` throws an error that shows at the field. */
export function newPinFields() {
  const first = pinField('New PIN', PIN_RULES);
  const second = pinField('The same again');
  const read = (): string => {
    try {
      return checkNewPin(first.input, second.input);
    } catch (thrown) {
      if (!(thrown instanceof FieldError)) throw thrown;
      throw new HoldfastError('bad_input', thrown.message, { cause: thrown });
    }
  };
  return { rows: [first.row, second.row], read };
}

export async function setupView(account: Account, done: () => void): Promise<void> {
  const pin = newPinFields();
  const here = stillHere();
  const limit = await account.guesses();
  const service = await serviceCard(account);
  if (!here()) return;
  show(
    'Choose a PIN',
    element('p', { class: 'lead' }, 'With it you get your notes back on a new device.'),
    card(
      'Your PIN',
      form(
        {
          submit: 'Turn on backup',
          beside: [button('Not now', done)],
          work: async (progress) => {
            const chosen = pin.read();
            account.onStep = (step) => progress(stepText(step));
            await account.turnOn(chosen);
            codeStep(account, done);
          },
        },
        ...pin.rows,
        notice(
          'warn',
          element('p', { class: 'strong' }, 'Nobody can reset it'),
          element(
            'p',
            {},
            `Not we, and not the people who run the vault. After ${limit} wrong PINs in a row the vault gives it up for good. So you will get a second way next.`,
          ),
        ),
      ),
    ),
    service,
  );
}

function codeStep(account: Account, done: () => void): void {
  newCodeView({
    title: 'Your recovery code',
    intro: 'Your backup is on. This code opens it too, should you ever forget the PIN, or the vault be gone.',
    skip: { label: 'Skip for now', go: () => passkeyStep(account, done) },
    onConfirmed: async (code, progress) => {
      progress('Adding the code');
      await account.addCode(code);
      passkeyStep(account, done);
    },
  });
}

function passkeyStep(account: Account, done: () => void): void {
  show(
    'Add a passkey?',
    element(
      'p',
      { class: 'lead' },
      'Then your fingerprint, face or security key opens the backup, without typing anything.',
    ),
    card('A passkey for your backup', passkeyForm(account, done, [button('Not now', done)])),
  );
}

/** Asks for a name and makes a passkey. */
export function passkeyForm(
  account: Account,
  done: () => void | Promise<void>,
  beside: readonly Node[],
): HTMLFormElement {
  const input = element('input', { autocomplete: 'off', maxlength: 60 });
  input.value = 'This device';
  const name = field('Name', input, 'So that you know later which one it is.');
  return form(
    {
      submit: 'Add a passkey',
      beside,
      work: async (progress) => {
        progress('Follow your browser: it asks twice, once to make the passkey and once to use it');
        await account.addPasskey(input.value.trim() || 'Passkey');
        await done();
      },
    },
    name.row,
    notice(
      'plain',
      element(
        'p',
        {},
        'It never is the only way: a passkey can vanish with a device or an account. Your other ways stay.',
      ),
    ),
  );
}
