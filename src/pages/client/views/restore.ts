/** A new device: the backup that is there, and the ways to open it. */

import { asHoldfastError, type HoldfastError } from '../../../core/index.ts';
import type { RecoveryMethod, Way } from '../../../recovery/index.ts';
import { button, type Child, element, type IconName, icon, replace } from '../../common/index.ts';
import { type Account, type FoundBackup, readBackup } from '../account.ts';
import { WAYS } from '../texts.ts';
import { card, field, form, notice, pinField, say, setWho, show, stepText, stillHere, tries, words } from '../ui.ts';
import { codeEntry, correctionNotice } from './code.ts';

const ICONS: Readonly<Record<RecoveryMethod['kind'], IconName>> = {
  pin: 'chip',
  'recovery-code': 'log',
  passkey: 'key',
};

export interface RestoreActions {
  /** With what a person should see of it. */
  readonly restored: (kind: RecoveryMethod['kind'], remark: Child) => void;
  readonly without: () => void;
}

export function restoreView(account: Account, backups: readonly FoundBackup[], actions: RestoreActions): void {
  setWho(account.device.name);
  const [newest] = backups;
  const ways = [...new Map(backups.flatMap((one) => one.ways).map((way) => [way.id.join(), way])).values()];
  const panel = element('div', { class: 'panel' });
  const latest: Latest = { choice: 0 };
  const choices = ways.map((way) => choice(account, backups, way, { panel, latest, ...actions }));
  show(
    'Welcome back',
    element(
      'p',
      { class: 'lead' },
      newest?.savedAt === undefined
        ? 'Here is your backup.'
        : `Your backup was saved ${words.ago(newest.savedAt, Date.now())}.`,
      ' How do you want to open it?',
    ),
    element('div', { class: 'choices' }, choices),
    panel,
    element(
      'div',
      { class: 'buttons' },
      button('Use a backup file instead', () =>
        fileView(account, actions, () => restoreView(account, backups, actions)),
      ),
      button('Start without it', actions.without),
    ),
  );
}

/** Which choice was the last, of how many: another one may still be loading. */
interface Latest {
  choice: number;
}

function choice(
  account: Account,
  backups: readonly FoundBackup[],
  way: RecoveryMethod,
  { panel, latest, ...actions }: RestoreActions & { readonly panel: HTMLElement; readonly latest: Latest },
): HTMLElement {
  const { title } = WAYS[way.kind];
  const name = { pin: title, 'recovery-code': `${title} ${way.label}…`, passkey: `${title}: ${way.label}` }[way.kind];
  const open = () => {
    for (const one of panel.parentElement?.querySelectorAll('.choice') ?? [])
      one.setAttribute('aria-expanded', String(one === made));
    const made2 = { pin: pinPanel, 'recovery-code': codePanel, passkey: passkeyPanel }[way.kind];
    const mine = ++latest.choice;
    void Promise.resolve(made2(account, backups, way, actions)).then((content) => {
      if (mine !== latest.choice) return;
      replace(panel, content);
      panel.querySelector<HTMLElement>('input, textarea, button')?.focus();
    });
  };
  const made = button([icon(ICONS[way.kind]), element('span', {}, element('span', { class: 'strong' }, name))], open, {
    class: 'button choice',
    'aria-expanded': 'false',
  });
  return made;
}

/** The tries that are left, or why they are not known. */
export async function triesOf(account: Account): Promise<Child> {
  try {
    const [status, limit] = [await account.status(), await account.guesses()];
    if (status.state === 'none' || status.state === 'destroyed') {
      return notice('warn', element('p', {}, 'The vault has no record of yours any more. Use another way.'));
    }
    return tries(status.attemptsLeft, limit, status.nextAttemptAt);
  } catch (thrown) {
    const { message } = asHoldfastError(thrown);
    return notice('warn', element('p', {}, 'How many tries are left is not known: '), element('p', {}, `${message}.`));
  }
}

async function pinPanel(
  account: Account,
  backups: readonly FoundBackup[],
  _way: RecoveryMethod,
  { restored }: RestoreActions,
) {
  const { row, input } = pinField('PIN');
  const left = element('div', {}, await triesOf(account));
  return card(
    'Your PIN',
    form(
      {
        submit: 'Open my backup',
        work: async (progress) => {
          account.onStep = (step) => progress(stepText(step));
          const identity = await account.identityByPin(input.value);
          progress('Decrypting');
          await account.restore(backups, { kind: 'identity', identity });
          restored('pin', account.isTakenOver && takenOverNotice());
        },
        onError: async () => {
          input.select();
          replace(left, await triesOf(account));
          say(left.textContent ?? '');
          return undefined;
        },
      },
      row,
      left,
    ),
  );
}

/** Nobody can tell here whether it was the person. */
const takenOverNotice = (): Child =>
  notice(
    'warn',
    element(
      'p',
      {},
      'This PIN was set without the one before it. If that was not you, somebody else may read what you back up from now on: change the key, under the ways to your backup.',
    ),
  );

async function codePanel(
  account: Account,
  backups: readonly FoundBackup[],
  way: RecoveryMethod,
  { restored }: RestoreActions,
) {
  const entry = codeEntry();
  return card(
    `Your recovery code, which begins with ${way.label}`,
    form(
      {
        submit: 'Open my backup',
        work: async (progress) => {
          const read = entry.read();
          progress('Decrypting');
          await account.restore(backups, { kind: 'recovery-code', code: read.code });
          restored('recovery-code', correctionNotice(read));
        },
        onError: namesOf,
      },
      entry.row,
    ),
  );
}

/** Which code it would have to be. */
export function namesOf({ code, details }: HoldfastError): Child {
  if (code !== 'recovery_code_wrong' || !Array.isArray(details.names)) return undefined;
  return element(
    'p',
    { class: 'hint' },
    `You typed the code that begins with ${String(details.entered)}; this backup’s begins with ${details.names.join(' or ')}.`,
  );
}

async function passkeyPanel(
  account: Account,
  backups: readonly FoundBackup[],
  way: RecoveryMethod,
  { restored }: RestoreActions,
) {
  return card(
    `Passkey: ${way.label}`,
    form({
      submit: 'Use this passkey',
      work: async (progress) => {
        progress('Follow your browser');
        await account.restore(backups, { kind: 'passkey', id: way.id });
        restored('passkey', undefined);
      },
    }),
  );
}

/** The key again, by the PIN or any other way, before the ways are changed. */
export async function unlockView(
  account: Account,
  why: string,
  done: () => void | Promise<void>,
  back: () => void,
): Promise<void> {
  const open = async (way: Way) => {
    await account.unlock(way);
    await done();
  };
  const { row, input } = pinField('PIN');
  const entry = codeEntry();
  const here = stillHere();
  const left = element('div', {}, await triesOf(account));
  if (!here()) return;
  const kinds = account.ways.map(({ kind }) => kind);
  const passkeys = account.ways.filter(({ kind }) => kind === 'passkey');
  show(
    'Is it you?',
    element('p', { class: 'lead' }, why),
    kinds.includes('pin') &&
      card(
        'With your PIN',
        form(
          {
            submit: 'Continue',
            work: async (progress) => {
              account.onStep = (step) => progress(stepText(step));
              await open({ kind: 'identity', identity: await account.identityByPin(input.value) });
            },
            onError: async () => {
              replace(left, await triesOf(account));
              return undefined;
            },
          },
          row,
          left,
        ),
      ),
    passkeys.map((way) =>
      card(
        `With the passkey ${way.label}`,
        form({ submit: 'Use this passkey', work: async () => await open({ kind: 'passkey', id: way.id }) }),
      ),
    ),
    kinds.includes('recovery-code') &&
      element(
        'details',
        { class: 'card' },
        element('summary', {}, 'With a recovery code'),
        form(
          {
            submit: 'Continue',
            work: async () => await open({ kind: 'recovery-code', code: entry.read().code }),
            onError: namesOf,
          },
          entry.row,
        ),
      ),
    element('div', { class: 'buttons' }, button('Back', back)),
  );
}

function fileView(account: Account, actions: RestoreActions, back: () => void): void {
  const input = element('input', { type: 'file', accept: '.age' });
  const file = field('Backup file', input, 'Ends in .age. It is read here and sent nowhere.');
  show(
    'Open a backup file',
    card(
      'Your file',
      form(
        {
          submit: 'Open it',
          beside: [button('Back', back)],
          work: async () => {
            const [chosen] = input.files ?? [];
            if (!chosen) {
              input.focus();
              return;
            }
            const found = await readBackup(new Uint8Array(await chosen.arrayBuffer()), chosen.lastModified);
            restoreView(account, [found], actions);
          },
        },
        file.row,
      ),
    ),
  );
}
