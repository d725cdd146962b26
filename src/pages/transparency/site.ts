/** Which site the page is about: the one named in its address, or by who hosts it, or the folder that it was served from. */

import { HoldfastError } from '../../core/index.ts';

export interface CheckedSite {
  /** Without a slash at its end. */
  readonly address: string;
  /** Whether the page itself was served by that site's origin. */
  readonly own: boolean;
}

/**
 * @param page the page's own address. Its query may name a site: `?site=https://log.example`.
 * @param named what the page's meta element `holdfast-site` says; empty for nothing.
 * @throws HoldfastError `usage` for an address that is none, or that a page of this origin may not read.
 */
export function siteOf(page: string, named = ''): CheckedSite {
  const here = new URL(page);
  const wanted = here.searchParams.get('site') ?? (named === '' ? '.' : named);
  const site = URL.canParse(wanted, here.href) ? new URL(wanted, here.href) : undefined;
  const own = site?.origin === here.origin;
  if (!site || (site.protocol !== 'https:' && !own) || site.username !== '' || site.password !== '') {
    throw new HoldfastError('usage', 'the site must be an address that begins with https://');
  }
  return { address: `${site.origin}${site.pathname}`.replace(/\/+$/, ''), own };
}
