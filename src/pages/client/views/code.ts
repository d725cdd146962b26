/** Recovery codes: shown once, confirmed from paper, and entered with mistakes put right. */

import { HoldfastError, systemRandom } from '../../../core/index.ts';
import {
  newRecoveryCode,
  type ReadRecoveryCode,
  type RecoveryCode,
  readRecoveryCode,
} from '../../../recovery/index.ts';
import { button, type Child, element, icon } from '../../common/index.ts';
import { CODE_HINT, codeCount } from '../texts.ts';
import { card, type Field, FieldError, field, form, notice, show } from '../ui.ts';

const GROUPS_TO_CONFIRM = 2;

export interface NewCodeOptions {
  readonly title: string;
  readonly intro: string;
  readonly skip?: { readonly label: string; readonly go: () => void };
  /** With the code that the person has on paper. */
  readonly onConfirmed: (code: RecoveryCode, progress: (message: string) => void) => Promise<void>;
}

/** Shows a new code; it is not shown again once the person goes on. */
export function newCodeView(options: NewCodeOptions): void {
  const code = newRecoveryCode();
  const groups = code.groups();
  const { title, intro, skip } = options;
  show(
    title,
    element('p', { class: 'lead' }, intro),
    element(
      'section',
      { class: 'card code-card', 'aria-label': 'Your recovery code' },
      element(
        'ol',
        { class: 'code', translate: 'no' },
        groups.map((group, i) =>
          element('li', {}, element('span', { class: 'code-number', 'aria-hidden': 'true' }, i + 1), group),
        ),
      ),
      element(
        'p',
        { class: 'hint' },
        'The letters B, I and O and the digit 1 never occur. A zero is always the digit.',
      ),
    ),
    element(
      'ul',
      { class: 'ticks ticks-plain' },
      element('li', {}, icon('log'), 'Write it on paper, or print it. Keep it away from your devices.'),
      element('li', {}, icon('warning'), 'Anybody who has it and a copy of your backup can read your notes.'),
      element('li', {}, icon('clock'), 'It is shown this once. You can make another one at any time.'),
    ),
    element(
      'div',
      { class: 'buttons' },
      button('I have written it down', () => confirmView(code, options), { class: 'button button-primary' }),
      button('Print', () => window.print()),
      skip && button(skip.label, skip.go),
    ),
  );
}

function confirmView(code: RecoveryCode, options: NewCodeOptions): void {
  const groups = code.groups();
  // Not the first, which is the code's name and may stand elsewhere.
  const asked = new Set<number>();
  while (asked.size < GROUPS_TO_CONFIRM) asked.add(1 + (systemRandom(1)[0]! % (groups.length - 1)));
  const places = [...asked].sort((a, b) => a - b);
  const inputs = places.map((place) => {
    const input = element('input', {
      autocomplete: 'off',
      autocapitalize: 'characters',
      spellcheck: 'false',
      maxlength: 8,
      class: 'mono short',
    });
    return { place, ...field(`Group ${place + 1}`, input) };
  });
  show(
    'Check your paper',
    element('p', { class: 'lead' }, 'Type these two groups of four from what you wrote, not from memory.'),
    card(
      'From your paper',
      form(
        {
          submit: 'Confirm',
          beside: [button('Start again with another code', () => newCodeView(options))],
          work: async (progress) => {
            for (const { place, input } of inputs) {
              if (input.value.replace(/[\s-]/g, '').toUpperCase() !== groups[place]) {
                refuse(input, `Group ${place + 1} is not that. Look at your paper again.`);
              }
            }
            await options.onConfirmed(code, progress);
          },
        },
        ...inputs.map(({ row }) => row),
      ),
    ),
  );
}

/** @throws HoldfastError that shows at the field. */
export function refuse(input: HTMLElement, message: string): never {
  throw new HoldfastError('bad_input', message, { cause: new FieldError(input, message) });
}

export interface CodeEntry extends Field<HTMLTextAreaElement> {
  /** @throws HoldfastError that shows at the field. */
  read(): ReadRecoveryCode;
}

/** A field for a whole code, which counts what is there. */
export function codeEntry(): CodeEntry {
  const input = element('textarea', {
    rows: 4,
    autocomplete: 'off',
    autocapitalize: 'characters',
    spellcheck: 'false',
    class: 'mono code-entry',
  });
  const counter = element('p', { class: 'hint' }, codeCount(0));
  input.addEventListener('input', () => {
    counter.textContent = codeCount([...input.value.replace(/[\s\p{Pd}]/gu, '')].length);
  });
  const made = field('Recovery code', input, CODE_HINT, counter);
  return {
    ...made,
    read: () => {
      try {
        return readRecoveryCode(input.value);
      } catch (thrown) {
        const { details } = thrown as HoldfastError;
        const count = details.characters;
        return refuse(
          input,
          count === 64
            ? 'More than four characters are wrong, which cannot be put right. Compare it with your paper, group by group; type ? for what you cannot read.'
            : `A recovery code has 64 characters; ${String(count)} were typed. Look for a group that is missing or double.`,
        );
      }
    },
  };
}

/** What was put right, so that the paper can be corrected; nothing where nothing was. */
export function correctionNotice({ code, corrected, extra }: ReadRecoveryCode): Child {
  if (corrected.length + extra === 0) return undefined;
  const groups = code.groups();
  const wrong = [...new Set(corrected.map((place) => place >> 2))];
  const list = wrong.map((group) =>
    element('li', {}, `Group ${group + 1} is `, element('strong', { class: 'mono' }, groups[group])),
  );
  return notice(
    'warn',
    element(
      'p',
      { class: 'strong' },
      corrected.length + extra === 1
        ? 'One mistake was put right'
        : `${corrected.length + extra} mistakes were put right`,
    ),
    element('p', {}, 'It worked all the same. If your paper says something else, correct it:'),
    list.length > 0 && element('ul', {}, list),
    extra > 0 && element('p', {}, 'One character was too many.'),
  );
}
