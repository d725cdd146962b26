/** The parts that the views of the example are made of: pages, forms with progress and errors, fields for PINs. */

import { asHoldfastError, type HoldfastError } from '../../core/index.ts';
import { Announcer, byId, type Child, element, focusOn, icon, replace, wordsOf } from '../common/index.ts';
import { explain, LAST_TRIES, PIN_WEAK, STEPS, TRIES_HINT, triesLeft, waitText } from './texts.ts';

export const words = wordsOf('en-GB');

let announcer: Announcer | undefined;

export const say = (message: string): void => announcer?.say(message);

/** The frame around all views: what stays. */
export function frame(): void {
  const brand = element('p', { class: 'brand' }, icon('shield'), ' Keepsake');
  document.body.append(
    element('a', { class: 'skip', href: '#main' }, 'Skip to the content'),
    element(
      'header',
      { class: 'top' },
      element('div', { class: 'wrap top-row' }, brand, element('p', { id: 'who', class: 'who' })),
    ),
    element('main', { id: 'main', class: 'wrap' }),
    element(
      'footer',
      { class: 'wrap foot' },
      element(
        'p',
        {},
        'Keepsake is an example of an application whose backups Holdfast protects. Use it with invented notes only.',
      ),
    ),
  );
  announcer = new Announcer();
}

let shown = 0;

/**
 * Whether the person still has the view before them that shows now: what takes a while to load must not take another one away
 * that they have gone to meanwhile, with what they have typed there.
 */
export function stillHere(): () => boolean {
  const before = shown;
  return () => shown === before;
}

/** Shows a view; its heading gets the focus, so that those who hear the page know where they are. */
export function show(title: string, ...children: readonly Child[]): void {
  shown++;
  const heading = element('h1', {}, title);
  replace(byId('main', HTMLElement), heading, ...children);
  document.title = `${title} – Keepsake`;
  focusOn(heading);
  window.scrollTo(0, 0);
}

export function setWho(name: string | undefined): void {
  replace(byId('who', HTMLElement), name === undefined ? '' : `Signed in as ${name}`);
}

export function card(title: Child, ...children: readonly Child[]): HTMLElement {
  return element('section', { class: 'card stack' }, element('h2', {}, title), ...children);
}

export function notice(kind: 'good' | 'bad' | 'warn' | 'plain', ...children: readonly Child[]): HTMLElement {
  const sign = { good: 'passed', bad: 'failed', warn: 'warning', plain: 'stated' } as const;
  const look = kind === 'plain' ? 'notice' : `notice notice-${kind}`;
  return element('div', { class: look }, icon(sign[kind]), element('div', {}, ...children));
}

export interface FormOptions {
  readonly submit: string;
  readonly danger?: boolean;
  /** What stands beside the submit button. */
  readonly beside?: readonly Child[];
  /** What happens; its failure is explained in the form, which then can be sent again. */
  readonly work: (progress: (message: string) => void) => Promise<void>;
  /** More to show of a failure, such as the tries that are left. */
  readonly onError?: (error: HoldfastError) => Promise<Child> | Child;
}

/** A form that says what it is doing, and what went wrong. */
export function form(
  { submit, danger, beside, work, onError }: FormOptions,
  ...children: readonly Child[]
): HTMLFormElement {
  const button = element(
    'button',
    { type: 'submit', class: `button ${danger ? 'button-danger' : 'button-primary'}` },
    submit,
  );
  const errors = element('div', { role: 'alert', class: 'errors' });
  const progress = element('p', { class: 'progress', role: 'status' });
  const made = element(
    'form',
    { novalidate: true, class: 'stack' },
    ...children,
    errors,
    element('div', { class: 'buttons' }, button, ...(beside ?? [])),
    progress,
  );
  let busy = false;
  made.addEventListener('submit', (event) => {
    event.preventDefault();
    if (busy || button.getAttribute('aria-disabled') === 'true') return;
    busy = true;
    replace(errors);
    button.setAttribute('aria-disabled', 'true');
    const tell = (message: string) =>
      replace(progress, element('span', { class: 'spinner', 'aria-hidden': 'true' }), ` ${message} …`);
    const run = async () => {
      try {
        await work(tell);
      } catch (thrown) {
        const error = asHoldfastError(thrown);
        replace(errors, failure(error), await onError?.(error));
      } finally {
        busy = false;
        button.removeAttribute('aria-disabled');
        replace(progress);
      }
    };
    void run();
  });
  return made;
}

/** Set on a field whose content is refused before anything is sent. */
export class FieldError extends Error {
  readonly input: HTMLElement;
  constructor(input: HTMLElement, message: string) {
    super(message);
    this.input = input;
  }
}

function failure(error: HoldfastError): HTMLElement {
  if (error.cause instanceof FieldError) {
    const { input, message } = error.cause;
    input.setAttribute('aria-invalid', 'true');
    input.focus();
    input.addEventListener('input', () => input.removeAttribute('aria-invalid'), { once: true });
    return element('p', { class: 'error' }, message);
  }
  const { title, text, mild } = explain(error.code, error.exitCode, error.message);
  return notice(mild ? 'warn' : 'bad', element('p', { class: 'strong' }, title), text !== '' && element('p', {}, text));
}

export interface Field<E extends HTMLElement = HTMLInputElement> {
  readonly row: HTMLElement;
  readonly input: E;
}

let fields = 0;

export function field<E extends HTMLElement>(
  label: string,
  input: E,
  hint?: string,
  ...after: readonly Child[]
): Field<E> {
  const id = `field-${++fields}`;
  input.id = id;
  const described = hint !== undefined && element('p', { id: `${id}-hint`, class: 'hint' }, hint);
  if (described) input.setAttribute('aria-describedby', described.id);
  return {
    input,
    row: element('div', { class: 'field' }, element('label', { for: id }, label), described, input, ...after),
  };
}

/** A hidden entry that can be shown. */
export function pinField(label: string, hint?: string): Field {
  const input = element('input', {
    type: 'password',
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: 'false',
    class: 'pin',
  });
  const eye = element('button', { type: 'button', class: 'button quiet', 'aria-pressed': 'false' }, 'Show');
  eye.addEventListener('click', () => {
    const hidden = input.type === 'password';
    input.type = hidden ? 'text' : 'password';
    eye.setAttribute('aria-pressed', String(hidden));
  });
  const made = field(label, input, hint);
  const row = element('div', { class: 'pin-row' });
  input.replaceWith(row);
  row.append(input, eye);
  eye.setAttribute('aria-label', `Show ${label.toLowerCase()}`);
  return made;
}

const SEQUENCES = '01234567890 09876543210';

/** The new PIN in two fields. @throws with the field that is wrong. */
export function checkNewPin(first: HTMLInputElement, second: HTMLInputElement): string {
  const pin = first.value;
  const plain = pin.replaceAll(' ', '');
  if ([...plain].length < 6) throw new FieldError(first, PIN_WEAK.short);
  if (/^(.)\1*$/u.test(plain) || SEQUENCES.includes(plain)) throw new FieldError(first, PIN_WEAK.simple);
  if (second.value !== pin) throw new FieldError(second, PIN_WEAK.differ);
  return pin;
}

export function stepText(step: keyof typeof STEPS): string {
  return STEPS[step];
}

/** Tries as dots and words, the wait as it runs down. */
export function tries(left: number, of: number, nextAttemptAt = 0): HTMLElement {
  const dots = Array.from({ length: of }, (_, i) => element('span', { class: i < left ? 'dot' : 'dot dot-used' }));
  const waiting = element('p', { class: 'strong wait' });
  const shown = element(
    'div',
    { class: left <= 3 ? 'tries tries-few' : 'tries' },
    element(
      'p',
      {},
      element('span', { class: 'dots', 'aria-hidden': 'true' }, dots),
      ' ',
      element('span', { class: 'strong' }, triesLeft(left, of)),
    ),
    left > 0 && left < of && element('p', { class: 'hint' }, left <= 3 ? LAST_TRIES : TRIES_HINT),
    left > 0 && waiting,
  );
  const tick = () => {
    const rest = nextAttemptAt - Date.now();
    replace(waiting, rest > 0 ? waitText(words.duration(Math.ceil(rest / 1000) * 1000)) : '');
    if (rest > 0) setTimeout(tick, Math.min(1000, rest));
  };
  if (left > 0) tick();
  return shown;
}
