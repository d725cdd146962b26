/** The ways to the backup: what there is, adding and removing, a new PIN, a new key, the end. */

import { asHoldfastError } from '../../../core/index.ts';
import type { RecoveryMethod } from '../../../recovery/index.ts';
import { button, type Child, download, element, icon } from '../../common/index.ts';
import type { Account } from '../account.ts';
import { ABOUT_WAYS, explain, REMOVE_AND_RENEW, REMOVE_ONLY, WAYS } from '../texts.ts';
import { card, form, notice, pinField, setWho, show, stepText, stillHere, words } from '../ui.ts';
import { newCodeView } from './code.ts';
import { triesOf, unlockView } from './restore.ts';
import { serviceCard } from './service.ts';
import { newPinFields, passkeyForm } from './setup.ts';

export interface WaysActions {
  readonly home: () => void;
  /** Shows this view again, with a remark on top. Done once it shows: what led here must not be begun once more meanwhile. */
  readonly again: (remark?: Child) => Promise<void>;
}

const titleOf = ({ kind, label }: RecoveryMethod): string =>
  ({
    pin: WAYS.pin.title,
    'recovery-code': `${WAYS['recovery-code'].title} ${label}…`,
    passkey: `${WAYS.passkey.title}: ${label}`,
  })[kind];

export async function waysView(account: Account, actions: WaysActions, remark?: Child): Promise<void> {
  setWho(account.device.name);
  const { ways } = account;
  const { home, again } = actions;
  const hasPin = ways.some(({ kind }) => kind === 'pin');
  const here = stillHere();
  const service = await serviceCard(account).catch(failureNotice);
  const withKey = (why: string, go: () => void) =>
    account.isUnlocked ? go() : void unlockView(account, why, go, () => void again());
  const items = await Promise.all(ways.map(async (way) => await wayItem(account, way, actions)));
  if (!here()) return;
  show(
    'Backup and recovery',
    remark,
    element('p', { class: 'lead' }, ABOUT_WAYS),
    element('ul', { class: 'ways' }, items),
    ways.length < 2 &&
      notice('warn', element('p', {}, 'There is only one way. Add a recovery code, so that forgetting is no loss.')),
    element(
      'div',
      { class: 'buttons' },
      button(
        'Add a recovery code',
        () => withKey('Before a code is added, open your backup once.', () => addCode(account, again)),
        {
          class: 'button button-primary',
        },
      ),
      button('Add a passkey', () =>
        withKey('Before a passkey is added, open your backup once.', () => addPasskey(account, again)),
      ),
      !hasPin &&
        button('Set a PIN', () => withKey('Before a PIN is set, open your backup once.', () => setPin(account, again))),
    ),
    card(
      'Your backup file',
      element(
        'p',
        {},
        'A copy for a stick or a drawer. It opens with any of the ways above, and with the free program age.',
      ),
      element(
        'div',
        { class: 'buttons' },
        button(
          [icon('download'), 'Save a copy'],
          () => void account.file().then((file) => download('keepsake.age', file.slice(), 'application/octet-stream')),
        ),
      ),
    ),
    service,
    card(
      'Turn the backup off',
      element(
        'p',
        {},
        'Deletes the key in the vault and the copies on this application’s server. Your notes stay on this device.',
      ),
      element(
        'div',
        { class: 'buttons' },
        button('Turn off and delete', () => turnOff(account, actions), { class: 'button button-danger' }),
      ),
    ),
    element('div', { class: 'buttons' }, button('Back to my notes', home)),
  );
}

async function wayItem(account: Account, way: RecoveryMethod, actions: WaysActions): Promise<HTMLElement> {
  const title = titleOf(way);
  const more = (text: string) => element('span', { class: 'visually-hidden' }, ` ${text}`);
  return element(
    'li',
    { class: 'card way' },
    element(
      'div',
      { class: 'way-icon' },
      icon(({ pin: 'chip', 'recovery-code': 'log', passkey: 'key' } as const)[way.kind]),
    ),
    element(
      'div',
      { class: 'way-text' },
      element('h2', {}, title),
      element('p', { class: 'hint' }, `${WAYS[way.kind].text} Added on ${words.date(way.addedAt)}.`),
      way.kind === 'pin' && (await triesOf(account)),
    ),
    element(
      'div',
      { class: 'buttons way-actions' },
      way.kind === 'pin' && button('Change', () => changePin(account, actions.again)),
      button(['Remove', more(title)], () => removeView(account, way, actions)),
    ),
  );
}

function addCode(account: Account, again: WaysActions['again']): void {
  newCodeView({
    title: 'A recovery code',
    intro: 'It opens your backup by itself. Other codes that you have stay valid.',
    skip: { label: 'Cancel', go: () => void again() },
    onConfirmed: async (code, progress) => {
      progress('Adding the code');
      await account.addCode(code);
      await again(notice('good', element('p', {}, `The code that begins with ${code.name} opens your backup now.`)));
    },
  });
}

function addPasskey(account: Account, again: WaysActions['again']): void {
  const done = () => again(notice('good', element('p', {}, 'The passkey opens your backup now. It was tried.')));
  show(
    'A passkey',
    card('A passkey for your backup', passkeyForm(account, done, [button('Cancel', () => void again())])),
  );
}

/** Where the PIN was removed or forgotten: the same key under a new PIN. */
export function setPin(account: Account, again: WaysActions['again']): void {
  const pin = newPinFields();
  show(
    'Set a new PIN',
    element('p', { class: 'lead' }, 'Your backup stays as it is; from now on this PIN opens it.'),
    card(
      'Your new PIN',
      form(
        {
          submit: 'Set this PIN',
          beside: [button('Not now', () => void again())],
          work: async (progress) => {
            const chosen = pin.read();
            account.onStep = (step) => progress(stepText(step));
            await account.replacePin(chosen);
            await again(notice('good', element('p', {}, 'The new PIN is set, and was tried.')));
          },
        },
        ...pin.rows,
      ),
    ),
  );
}

function changePin(account: Account, again: WaysActions['again']): void {
  const old = pinField('PIN as it is now');
  const pin = newPinFields();
  show(
    'Change the PIN',
    card(
      'Your PIN',
      form(
        {
          submit: 'Change it',
          beside: [button('Cancel', () => void again())],
          work: async (progress) => {
            const chosen = pin.read();
            account.onStep = (step) => progress(stepText(step));
            await account.changePin(old.input.value, chosen);
            await again(notice('good', element('p', {}, 'The PIN is changed. The old one opens nothing any more.')));
          },
          onError: () => triesOf(account),
        },
        old.row,
        ...pin.rows,
      ),
    ),
  );
}

function removeView(account: Account, way: RecoveryMethod, actions: WaysActions): void {
  const { again } = actions;
  const title = titleOf(way);
  try {
    account.checkRemoval(way.id);
  } catch (thrown) {
    void again(failureNotice(thrown));
    return;
  }
  const isPin = way.kind === 'pin';
  const hasPin = account.ways.some(({ kind }) => kind === 'pin');
  const unlocked = async (go: () => void | Promise<void>) =>
    account.isUnlocked
      ? await go()
      : await unlockView(account, `Before “${title}” is removed, open your backup once.`, go, () => void again());
  show(
    `Remove “${title}”?`,
    element('p', { class: 'lead' }, 'Has somebody else got hold of it, or might they? Then change the key as well.'),
    hasPin &&
      card(
        'Remove it and change the key',
        element('p', {}, REMOVE_AND_RENEW),
        element(
          'p',
          {},
          'You get a new recovery code in place of those you have, and your passkeys are asked once each.',
        ),
        element(
          'div',
          { class: 'buttons' },
          button('Remove and change the key', () => void unlocked(() => renew(account, way, again)), {
            class: 'button button-primary',
          }),
        ),
      ),
    !isPin &&
      card(
        'Only remove it',
        element('p', {}, REMOVE_ONLY),
        form({
          submit: 'Only remove it',
          danger: true,
          work: async () => await unlocked(() => removeOnly(account, way, again)),
        }),
      ),
    element(
      'div',
      { class: 'buttons' },
      button('Keep it', () => void again()),
    ),
  );
}

async function removeOnly(account: Account, way: RecoveryMethod, again: WaysActions['again']): Promise<void> {
  const removed = () => again(notice('good', element('p', {}, `“${titleOf(way)}” is off the list.`)));
  await account.remove(way.id).then(removed, (thrown: unknown) => again(failureNotice(thrown)));
}

function failureNotice(thrown: unknown): HTMLElement {
  const { code, exitCode, message } = asHoldfastError(thrown);
  const { title, text } = explain(code, exitCode, message);
  return notice('bad', element('p', { class: 'strong' }, title), element('p', {}, text));
}

function renew(account: Account, way: RecoveryMethod, again: WaysActions['again']): void {
  newCodeView({
    title: 'Your new recovery code',
    intro: 'It takes the place of every code that you have. The key is changed once you have confirmed it.',
    skip: { label: 'Cancel', go: () => void again() },
    onConfirmed: async (code) => {
      const { row, input } = pinField('PIN');
      const isPin = way.kind === 'pin';
      show(
        'One last time, your PIN',
        element(
          'p',
          { class: 'lead' },
          isPin ? 'With it the vault deletes what it keeps for you.' : 'With it the vault takes the new key.',
        ),
        card(
          'Change the key',
          form(
            {
              submit: 'Change the key',
              beside: [button('Cancel', () => void again())],
              work: async (progress) => {
                account.onStep = (step) => progress(stepText(step));
                const dropped = await account.renew(way.id, input.value, code);
                const lost = dropped.map(({ label }) => label).join(', ');
                await again([
                  notice(
                    'good',
                    element(
                      'p',
                      {},
                      `The key is changed, and “${titleOf(way)}” opens nothing that is saved from now on.`,
                    ),
                  ),
                  lost !== '' &&
                    notice('warn', element('p', {}, `These passkeys were not at hand and were left out: ${lost}.`)),
                ]);
              },
              onError: () => triesOf(account),
            },
            row,
          ),
        ),
      );
    },
  });
}

function turnOff(account: Account, { again, home }: WaysActions): void {
  const hasPin = account.ways.some(({ kind }) => kind === 'pin');
  const { row, input } = pinField('PIN');
  show(
    'Turn the backup off?',
    element(
      'p',
      { class: 'lead' },
      'The key in the vault is deleted for good, and so are the copies on this application’s server.',
    ),
    card(
      'Turn off',
      form(
        {
          submit: 'Turn off and delete',
          danger: true,
          beside: [button('Keep it', () => void again())],
          work: async (progress) => {
            account.onStep = (step) => progress(stepText(step));
            await account.turnOff(input.value);
            home();
          },
          onError: () => triesOf(account),
        },
        hasPin && row,
        notice('warn', element('p', {}, 'Copies of the backup file that you saved yourself stay where they are.')),
      ),
    ),
  );
}
