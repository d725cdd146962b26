/** What this browser remembers of a site's log between two checks: its size and fingerprint, to see that its past stays. */

import type { AuditReport, SeenLog } from '../../audit/index.ts';
import { asHoldfastError, parseJson } from '../../core/index.ts';

export interface Memory {
  readonly seen: SeenLog;
  /** When it was seen, in milliseconds since 1970. */
  readonly at: number;
}

const keyOf = (site: string) => `holdfast/seen/v1 ${site}`;

/** What was seen at the last check; undefined where nothing is remembered, or it cannot be read. */
export function recall(site: string): Memory | undefined {
  try {
    const text = localStorage.getItem(keyOf(site));
    if (text === null || text.length > 4096) return undefined;
    const file = parseJson(text, 'bad_input').object(['origin', 'size', 'root', 'at']);
    const seen = {
      origin: file.required('origin').text(1024),
      size: file.required('size').integer(0),
      root: file.required('root').text(64),
    };
    if (!/^[0-9a-f]{64}$/.test(seen.root)) return undefined;
    return { seen, at: file.required('at').integer(0) };
  } catch (error) {
    // Storage may be forbidden, and nobody is kept from checking by that.
    return void asHoldfastError(error);
  }
}

/**
 * Keeps what a check has seen, never in place of something newer that it contradicts: another tab may have checked the same log
 * meanwhile, and what it has seen must not be forgotten for what this one saw before.
 */
export function remember(site: string, { seen, at, passed }: Pick<AuditReport, 'seen' | 'at' | 'passed'>): void {
  if (!seen || !passed) return;
  const known = recall(site)?.seen;
  if (known?.origin === seen.origin) {
    if (known.size > seen.size || (known.size === seen.size && known.root !== seen.root)) return;
  }
  try {
    localStorage.setItem(keyOf(site), JSON.stringify({ ...seen, at }));
  } catch (error) {
    void asHoldfastError(error);
  }
}
