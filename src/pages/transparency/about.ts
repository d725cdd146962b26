/** What the page says of itself: where it comes from, its own hash, and how to do without it. */

import { bytesToHex, sha256 } from '../../core/index.ts';
import { element } from '../common/index.ts';
import { fingerprint, notice, section } from './header.ts';
import { TEXTS } from './texts.ts';

/** Bytes of a page that is hashed. */
const MAXIMUM = 1_000_000;

export function about(site: string): HTMLElement {
  const { about: words } = TEXTS;
  const hash = element('span', {}, words.hashing);
  void ownHash().then(
    (digest) => hash.replaceChildren(fingerprint(digest)),
    () => hash.replaceChildren(words.hashFailed),
  );
  const [command, elsewhere, compare] = words.ways;
  const way = (text: readonly [string, string], ...more: readonly Node[]) =>
    element('li', {}, element('h3', {}, text[0]), element('p', {}, text[1]), more);
  return section(
    'about',
    TEXTS.about.heading,
    element(
      'div',
      { class: 'card stack' },
      notice('warn', element('p', {}, element('strong', {}, words.cannot), ' ', words.why)),
      element(
        'ol',
        { class: 'ways' },
        way(command, element('p', {}, element('code', { class: 'command' }, words.command(site)))),
        way(elsewhere),
        way(compare, element('p', {}, `${words.hash}: `, hash), element('p', { class: 'hint' }, words.hashNote)),
      ),
      element('p', { class: 'hint' }, words.privacy),
    ),
  );
}

/** SHA-256 of this page's one HTML file as it is served now, in hexadecimal. It pins all else by hashes. */
async function ownHash(): Promise<string> {
  const address = new URL(location.href);
  const response = await fetch(`${address.origin}${address.pathname}`, { cache: 'no-cache', credentials: 'omit' });
  const body = new Uint8Array(await response.arrayBuffer());
  if (!response.ok || body.length > MAXIMUM) throw new Error('the page cannot be read');
  return bytesToHex(sha256(body));
}
