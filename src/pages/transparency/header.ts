/** What stands around the page: its head with the site, ways within the page, its foot. */

import { type Child, element, icon } from '../common/index.ts';
import type { CheckedSite } from './site.ts';
import { TEXTS } from './texts.ts';

export function header({ address }: CheckedSite): HTMLElement {
  const { sections } = TEXTS;
  const links = Object.entries(sections).map(([id, title]) =>
    element('li', {}, element('a', { href: `#${id}` }, title)),
  );
  return element(
    'header',
    { class: 'top' },
    element('a', { class: 'skip', href: '#main' }, TEXTS.skip),
    element(
      'div',
      { class: 'wrap top-line' },
      element('p', { class: 'brand' }, icon('shield'), element('strong', {}, TEXTS.product), ' ', TEXTS.name),
      element('nav', { 'aria-label': TEXTS.navigation }, element('ul', { class: 'links' }, links)),
      element('p', { class: 'site' }, `${TEXTS.hero.site}: `, element('code', {}, address)),
    ),
  );
}

/** The page's promise, the way to check it, and what the page is not. */
export function hero(site: CheckedSite, start: HTMLElement): HTMLElement {
  const { hero: words } = TEXTS;
  return element(
    'div',
    { class: 'hero' },
    element(
      'div',
      { class: 'wrap' },
      element('h1', {}, words.heading),
      element('p', { class: 'lead' }, words.lead),
      element(
        'div',
        { class: 'hero-action' },
        start,
        element('p', { class: 'hint', id: 'start-hint' }, words.buttonHint),
      ),
      notice(
        'warn',
        element(
          'p',
          {},
          element('strong', {}, site.own ? words.warning : words.otherWarning(location.host)),
          ' ',
          element('a', { href: '#about' }, words.warningMore),
        ),
      ),
    ),
  );
}

const ICONS = { good: 'passed', bad: 'failed', warn: 'warning', info: 'stated' } as const;

export function notice(kind: keyof typeof ICONS, ...children: readonly Child[]): HTMLElement {
  const looks = kind === 'info' ? 'notice' : `notice notice-${kind}`;
  return element('div', { class: looks }, icon(ICONS[kind]), element('div', {}, children));
}

/** A part of the page with a heading that names it. */
export function section(id: string, heading: string, ...children: readonly Child[]): HTMLElement {
  return element(
    'section',
    { id, 'aria-labelledby': `${id}-heading` },
    element('h2', { id: `${id}-heading`, tabindex: -1 }, heading),
    children,
  );
}

/** Names and what belongs to them. */
export function facts(rows: readonly (readonly [string, Child])[]): HTMLElement {
  return element(
    'dl',
    { class: 'facts' },
    rows.map(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]),
  );
}

/** A fingerprint as people compare it: in groups, and whole when it is copied. */
export function fingerprint(digest: string): HTMLElement {
  return element('code', { class: 'fingerprint' }, digest);
}
