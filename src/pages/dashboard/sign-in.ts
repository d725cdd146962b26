/** The form that asks for the operator's credential. */

import { append, button, element, focusOn, icon, replace } from '../common/index.ts';
import { signIn } from './api.ts';
import { TEXTS } from './texts.ts';

const { signIn: words } = TEXTS;

/** Shows the form in `parent` until somebody has signed in. @param notice why it is shown again, if it is. */
export function askForCredential(parent: HTMLElement, notice: string | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const field = element('input', {
    ...{ id: 'credential', name: 'credential', type: 'password', autocomplete: 'current-password' },
    ...{ autocapitalize: 'none', spellcheck: 'false', 'aria-describedby': 'credential-hint credential-error' },
  });
  const error = element('p', { id: 'credential-error', class: 'error', role: 'alert' });
  const submit = element('button', { type: 'submit', class: 'button button-primary' }, words.button);
  const heading = element('h1', {}, words.heading);
  const form = element(
    'form',
    { class: 'card sign-in', novalidate: true },
    element('p', { class: 'brand' }, icon('shield'), TEXTS.product),
    heading,
    element('p', {}, words.about),
    element(
      'div',
      { class: 'field' },
      element('label', { for: 'credential' }, words.label),
      field,
      element('p', { id: 'credential-hint', class: 'hint' }, words.hint),
      error,
    ),
    submit,
  );
  const fail = (message: string) => {
    error.textContent = message;
    field.setAttribute('aria-invalid', 'true');
    field.focus();
    field.select();
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (submit.getAttribute('aria-disabled') === 'true') return;
    const credential = field.value.trim();
    if (credential === '') return fail(words.empty);
    submit.setAttribute('aria-disabled', 'true');
    void signIn(credential).then((answer) => {
      submit.removeAttribute('aria-disabled');
      if (answer.kind === 'ok') {
        // Nothing of it stays in the page.
        field.value = '';
        return resolve();
      }
      if (answer.kind === 'wait') return fail(words.tooMany(answer.seconds));
      fail(answer.kind === 'refused' ? words.refused : words.failed);
    });
  });
  const main = element('main', { id: 'main', class: 'wrap centred' }, form);
  if (notice !== undefined) {
    form.before(element('p', { class: 'notice notice-warn', role: 'status' }, icon('clock'), notice));
  }
  replace(parent);
  append(parent, [main]);
  document.title = `${words.heading} – ${TEXTS.title} – ${TEXTS.product}`;
  if (notice === undefined) field.focus();
  else focusOn(heading);
  return promise;
}

/** The button that ends a session. */
export const signOutButton = (onClick: () => void): HTMLButtonElement => button(TEXTS.signOut, onClick);
