/** Making what a page shows, of text only: nothing here reads HTML, so nothing that is shown can become a script. */

export type Child = Node | string | number | false | undefined | readonly Child[];

/** `true` sets an attribute without a value; `undefined` and `false` leave it out. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** Attributes that make a browser run or load something of what they hold. */
const REFUSED = /^(on|style$|srcdoc$|srcset$|formaction$|ping$)/i;
const ADDRESSES = /^(href|src)$/i;

/**
 * An element with its attributes and children. Listeners are added by `addEventListener`.
 * @throws TypeError for an attribute that can hold a script or style, and for an address that is not http, https or blob.
 */
export function element<N extends keyof HTMLElementTagNameMap>(
  name: N,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[N] {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) setAttribute(made, attribute, value);
  append(made, children);
  return made;
}

function setAttribute(target: Element, name: string, value: string | number | boolean | undefined): void {
  if (value === undefined || value === false) return;
  if (REFUSED.test(name)) throw new TypeError(`${name} is not set by text`);
  if (ADDRESSES.test(name) && !isSafeAddress(String(value))) throw new TypeError('this is no address of a page');
  target.setAttribute(name, value === true ? '' : String(value));
}

/** Whether a link may have this address, whoever wrote it. */
export function isSafeAddress(address: string): boolean {
  try {
    return ['http:', 'https:', 'blob:'].includes(new URL(address, document.baseURI).protocol);
  } catch {
    return false;
  }
}

/** Adds children, flattened, without the empty ones. */
export function append(parent: Node, children: readonly Child[]): void {
  for (const child of children) {
    if (child === undefined || child === false) continue;
    if (typeof child === 'object' && !(child instanceof Node)) append(parent, child);
    else parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces all that `parent` holds. */
export function replace(parent: Element, ...children: readonly Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** The element with this id. @throws Error where the page has none of this type: a mistake of ours. */
export function byId<T extends Element>(id: string, type: abstract new (...words: never[]) => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} ${id}`);
  return found;
}

/** A button with the theme's look. */
export function button(
  label: Child,
  onClick: () => void,
  attributes: Attributes & { readonly class?: string } = {},
): HTMLButtonElement {
  const made = element('button', { type: 'button', class: 'button', ...attributes }, label);
  made.addEventListener('click', onClick);
  return made;
}

/** Puts the focus on a heading or region that is not in the order of tabs, as after a change of view. */
export function focusOn(target: HTMLElement): void {
  if (!target.hasAttribute('tabindex')) target.tabIndex = -1;
  target.focus();
}

/** Tells people who hear the page what has happened. The region stays in the page and is read politely. */
export class Announcer {
  readonly #region: HTMLElement;

  constructor(parent: Element = document.body) {
    this.#region = element('div', { class: 'visually-hidden', role: 'status', 'aria-live': 'polite' });
    parent.append(this.#region);
  }

  say(message: string): void {
    // The same words twice are read twice only if the region changes in between.
    this.#region.textContent = this.#region.textContent === message ? `${message}\u00a0` : message;
  }
}

/** Hands a file to the person. */
export function download(name: string, content: string | Uint8Array<ArrayBuffer>, type: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = element('a', { href: address, download: name });
  link.click();
  // The browser has begun to read it by the next task; a minute is for slow ones.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
