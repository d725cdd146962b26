/** A trust anchor of the visitor's own: pasted, or chosen as a file. */

import { asHoldfastError } from '../../core/index.ts';
import { MAXIMUM_TRUST_ANCHOR, parseTrustAnchor, type TrustAnchor } from '../../trust/index.ts';
import { type Announcer, button, element } from '../common/index.ts';
import { TEXTS } from './texts.ts';

const { anchor: words } = TEXTS;

export class AnchorChoice {
  readonly element: HTMLElement;
  readonly #announcer: Announcer;
  readonly #onChange: () => void;
  readonly #text = element('textarea', {
    id: 'anchor-text',
    rows: 4,
    spellcheck: 'false',
    autocomplete: 'off',
    'aria-describedby': 'anchor-hint anchor-status',
  });
  readonly #file = element('input', { type: 'file', id: 'anchor-file', accept: '.json,application/json' });
  readonly #status = element('p', { id: 'anchor-status' });
  #anchor: TrustAnchor | undefined;
  #taken = '';
  /** The file that was chosen last, while it is being read. */
  #reading: Promise<void> | undefined;

  /** `onChange` is called when another anchor counts. */
  constructor(announcer: Announcer, onChange: () => void) {
    this.#announcer = announcer;
    this.#onChange = onChange;
    this.#text.addEventListener('change', () => this.#take(this.#text.value));
    this.#text.addEventListener('paste', () => queueMicrotask(() => this.#take(this.#text.value)));
    this.#file.addEventListener('change', () => this.#takeFile());
    this.element = element(
      'details',
      { class: 'card anchor' },
      element('summary', {}, words.heading),
      element('p', { id: 'anchor-hint' }, words.explain),
      element('div', { class: 'field' }, element('label', { for: 'anchor-text' }, words.paste), this.#text),
      element('div', { class: 'field' }, element('label', { for: 'anchor-file' }, words.file), this.#file),
      this.#status,
      button(words.clear, () => this.#clear()),
    );
  }

  /** Undefined: the site's own. */
  get anchor(): TrustAnchor | undefined {
    return this.#anchor;
  }

  #takeFile(): void {
    const [file] = this.#file.files ?? [];
    if (!file) return;
    const reading = readText(file).then((text) => {
      // Another one was chosen meanwhile, or none is wanted any more.
      if (reading !== this.#reading) return;
      this.#reading = undefined;
      this.#text.value = text.slice(0, MAXIMUM_TRUST_ANCHOR + 1);
      this.#take(text);
    });
    this.#reading = reading;
  }

  #clear(): void {
    this.#reading = undefined;
    this.#file.value = '';
    this.#text.value = '';
    this.#take('');
    this.#text.focus();
  }

  #take(text: string): void {
    if (text === this.#taken) return;
    this.#taken = text;
    this.#anchor = undefined;
    let message = '';
    let wrong = false;
    try {
      if (text.trim() !== '') {
        this.#anchor = parseTrustAnchor(text);
        message = words.used(this.#anchor.vault, this.#anchor.environment);
      }
    } catch (thrown) {
      wrong = true;
      message = `${words.wrong} ${asHoldfastError(thrown).message}.`;
    }
    if (wrong) this.#text.setAttribute('aria-invalid', 'true');
    else this.#text.removeAttribute('aria-invalid');
    this.#status.textContent = message;
    this.#status.className = wrong ? 'error' : 'good';
    if (message !== '') this.#announcer.say(message);
    this.#onChange();
  }

  /**
   * Whether what stands here can be used, once a file that was chosen is read. What is no trust anchor is shown to the person, and
   * nothing is put in its place.
   */
  async ready(): Promise<boolean> {
    while (this.#reading !== undefined) await this.#reading;
    this.#take(this.#text.value);
    const ready = this.#anchor !== undefined || this.#text.value.trim() === '';
    if (!ready) {
      this.element.setAttribute('open', '');
      this.#text.focus();
    }
    return ready;
  }
}

/** Of a file that is far too long, or cannot be read, something that is no trust anchor. */
async function readText(file: File): Promise<string> {
  const tooLong = 'x'.repeat(MAXIMUM_TRUST_ANCHOR + 1);
  return file.size > 4 * MAXIMUM_TRUST_ANCHOR ? tooLong : await file.text().catch(() => 'unreadable');
}
