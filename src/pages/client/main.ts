/** The example application: which view follows which. */

import { asHoldfastError } from '../../core/index.ts';
import { button, type Child, element } from '../common/index.ts';
import { Account } from './account.ts';
import { Device } from './device.ts';
import { explain } from './texts.ts';
import { frame, notice, show, stillHere } from './ui.ts';
import { homeView } from './views/home.ts';
import { restoreView, unlockView } from './views/restore.ts';
import { setupView } from './views/setup.ts';
import { startView } from './views/start.ts';
import { setPin, waysView } from './views/ways.ts';

/** Shows why a view could not be shown, with a way to try again; nothing to those who have gone elsewhere meanwhile. */
async function guarded(work: () => Promise<void>, back?: () => void): Promise<void> {
  const here = stillHere();
  await work().catch((thrown: unknown) => {
    if (!here()) return;
    const { code, exitCode, message } = asHoldfastError(thrown);
    const { title, text } = explain(code, exitCode, message);
    show(
      title,
      notice('bad', element('p', {}, text)),
      element(
        'div',
        { class: 'buttons' },
        button('Try again', () => void guarded(work, back)),
        back && button('Back', back),
      ),
    );
  });
}

function home(account: Account): void {
  homeView(account, {
    turnOn: () =>
      void guarded(
        () => setupView(account, () => home(account)),
        () => home(account),
      ),
    manage: () => void ways(account),
    reopen: () => {
      const saved = () =>
        guarded(
          async () => {
            const here = stillHere();
            await account.save();
            if (here()) home(account);
          },
          () => home(account),
        );
      void guarded(
        () => unlockView(account, 'Your backup was changed on another device.', saved, () => home(account)),
        () => home(account),
      );
    },
  });
}

function ways(account: Account, remark?: Child): Promise<void> {
  const again = (more?: Child) => ways(account, more);
  return guarded(
    () => waysView(account, { home: () => home(account), again }, remark),
    () => home(account),
  );
}

/** After signing in: the notes, or what a new device can restore. */
async function enter(account: Account): Promise<void> {
  if (account.device.backup) {
    home(account);
    return;
  }
  const backups = await account.find();
  if (backups.length === 0) {
    home(account);
    return;
  }
  restoreView(account, backups, {
    without: () => home(account),
    restored: (kind, remark) => {
      const restored = notice('good', element('p', { class: 'strong' }, 'Your notes are back on this device.'));
      if (kind === 'pin') home(account);
      else forgotten(account, [restored, remark]);
    },
  });
}

/** Who did not use the PIN may have forgotten it. */
function forgotten(account: Account, remark: Child): void {
  const hasPin = account.ways.some(({ kind }) => kind === 'pin');
  show(
    'Restored',
    remark,
    element('p', { class: 'lead' }, hasPin ? 'Do you still know your PIN?' : 'Your backup has no PIN.'),
    element(
      'div',
      { class: 'buttons' },
      button(hasPin ? 'Yes, go to my notes' : 'Go to my notes', () => home(account), {
        class: 'button button-primary',
      }),
      button(hasPin ? 'No, set a new one' : 'Set a PIN', () => setPin(account, (more) => ways(account, more))),
    ),
  );
}

frame();
const device = Device.load();
if (device) void guarded(async () => await enter(await Account.open(device)));
else startView(enter);
