/** What is known of this program: its version, and where it was built, the commit that it was made of. */

import { readFileSync } from 'node:fs';
import { HoldfastError, parseJson } from '../core/index.ts';

export interface Built {
  /** Commit of git, 40 or 64 hexadecimal digits; empty where nobody knows, or the sources were changed since. */
  readonly commit: string;
  /** SHA-256 of that commit's package-lock.json in hexadecimal; empty as above. */
  readonly lockfile: string;
  /** Time of that commit in milliseconds since 1970: no clock that is right tells an earlier one. */
  readonly time: number;
}

/** The time before which no clock is right that runs these sources: set with a release. */
const SOURCES_OF = Date.UTC(2026, 10, 20);

let known: Built | undefined;

/** From `build.json`, which the build writes beside the bundled command (scripts/build.ts); sources that run as they are have none. */
export function built(): Built {
  known ??= readBuilt();
  return known;
}

function readBuilt(): Built {
  let text: string;
  try {
    text = readFileSync(new URL('./build.json', import.meta.url), 'utf8');
  } catch {
    return { commit: '', lockfile: '', time: SOURCES_OF };
  }
  return parseBuilt(text);
}

/** @throws HoldfastError `usage` for what the build would not have written: half a program is none. */
export function parseBuilt(text: string): Built {
  try {
    const file = parseJson(text, 'bad_input').object(['commit', 'lockfile', 'time']);
    const hexadecimal = (name: 'commit' | 'lockfile') => {
      const value = file.required(name);
      if (value.value === '') return '';
      const digits = value.text(64);
      return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(digits) ? digits : value.fail('must be hexadecimal');
    };
    const time = file.required('time').integer(0) * 1000;
    return { commit: hexadecimal('commit'), lockfile: hexadecimal('lockfile'), time: Math.max(time, SOURCES_OF) };
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause;
    throw new HoldfastError('usage', `this program’s build.json is damaged; install it again (${cause.message})`, {
      cause,
    });
  }
}
