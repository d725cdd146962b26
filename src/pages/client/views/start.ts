/** The first view of a device: who the person is. */

import { type Child, element, icon } from '../../common/index.ts';
import { Account } from '../account.ts';
import { Device } from '../device.ts';
import { card, field, form, notice, setWho, show } from '../ui.ts';
import { refuse } from './code.ts';

const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/;

export function startView(onSignedIn: (account: Account) => Promise<void>): void {
  setWho(undefined);
  const input = element('input', {
    autocomplete: 'username',
    autocapitalize: 'none',
    spellcheck: 'false',
    maxlength: 32,
  });
  const name = field('Your name', input, 'Lower-case letters, digits and hyphens.');
  const points: readonly Child[] = [
    'Your backup is encrypted on this device. Neither this application’s server nor the vault can read it.',
    'A new phone and a short PIN are enough to get your notes back.',
    'A short PIN is enough because the vault counts wrong ones, and stops.',
  ].map((text) => element('li', {}, icon('passed'), text));
  show(
    'Notes that only you can read',
    element(
      'p',
      { class: 'lead' },
      'Keepsake keeps what you write on your devices, and a backup that opens for nobody else.',
    ),
    element('ul', { class: 'ticks' }, points),
    card(
      'Sign in',
      form(
        {
          submit: 'Continue',
          work: async (progress) => {
            const text = input.value.trim();
            if (!NAME.test(text)) refuse(input, 'Use up to 32 lower-case letters, digits and hyphens.');
            progress('Looking for your notes');
            await onSignedIn(await Account.open(Device.create(text)));
          },
        },
        name.row,
      ),
      notice(
        'plain',
        element('p', {}, 'In this example any name will do. A real application asks for more than a name.'),
      ),
    ),
  );
}
