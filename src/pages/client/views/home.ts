/** The notes, and how their backup stands. */

import { button, element, icon, replace } from '../../common/index.ts';
import type { Account } from '../account.ts';
import type { Note } from '../device.ts';
import { card, field, form, notice, say, setWho, show, words } from '../ui.ts';

export interface HomeActions {
  readonly turnOn: () => void;
  readonly manage: () => void;
  /** Where another device has changed the backup. */
  readonly reopen: () => void;
}

export function homeView(account: Account, actions: HomeActions): void {
  const { device } = account;
  setWho(device.name);
  const list = element('ul', { class: 'notes' });
  const status = element('div', { class: 'card stack' });
  const input = element('textarea', { rows: 3, maxlength: 10_000 });
  const entry = field('A new note', input);
  const drawNotes = () =>
    replace(
      list,
      device.notes.map((note) => noteItem(note)),
    );
  const drawStatus = () => replace(status, element('h2', {}, 'Backup'), statusOf(account, actions));
  drawNotes();
  drawStatus();
  show(
    'Your notes',
    element(
      'div',
      { class: 'columns' },
      element(
        'div',
        { class: 'stack' },
        card(
          'Write',
          form(
            {
              submit: 'Keep this note',
              work: async (progress) => {
                const text = input.value.trim();
                if (text === '') {
                  input.focus();
                  return;
                }
                device.notes = [{ id: crypto.randomUUID(), text, writtenAt: Date.now() }, ...device.notes];
                input.value = '';
                drawNotes();
                if (device.backup) progress('Backing up');
                await account.save();
                drawStatus();
                say(device.backup ? 'Kept and backed up' : 'Kept on this device');
              },
              onError: ({ code }) => code === 'superseded' && button('Open my backup here', actions.reopen),
            },
            entry.row,
          ),
        ),
        device.notes.length === 0 && element('p', { class: 'hint' }, 'Nothing here yet.'),
        list,
      ),
      status,
    ),
  );
}

function noteItem({ text, writtenAt }: Note): HTMLElement {
  return element(
    'li',
    { class: 'card note' },
    element('p', { class: 'note-text' }, text),
    element('p', { class: 'hint' }, words.dateTime(writtenAt)),
  );
}

function statusOf({ device, ways }: Account, { turnOn, manage }: HomeActions): HTMLElement {
  const { backup } = device;
  if (!backup) {
    return element(
      'div',
      { class: 'stack' },
      notice(
        'warn',
        element('p', { class: 'strong' }, 'Your notes are on this device only'),
        element('p', {}, 'If it is lost, so are they.'),
      ),
      element('div', { class: 'buttons' }, button('Turn on backup', turnOn, { class: 'button button-primary' })),
    );
  }
  const few = ways.length < 2;
  return element(
    'div',
    { class: 'stack' },
    element(
      'p',
      {},
      element('span', { class: 'badge badge-good' }, icon('passed'), 'On'),
      ` Saved ${words.ago(backup.savedAt, Date.now())}`,
    ),
    element('p', {}, `${ways.length} ${few ? 'way leads' : 'ways lead'} to it.`),
    few && notice('warn', element('p', {}, 'Add a second way, such as a recovery code on paper. One is easily lost.')),
    element(
      'div',
      { class: 'buttons' },
      button('Backup and recovery', manage, few ? { class: 'button button-primary' } : {}),
    ),
  );
}
