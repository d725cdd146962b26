/** What a user token can allow: one word in its `scope` claim (RFC 8693 section 4.2) for each operation. */

import { HoldfastError } from '../core/index.ts';

export const OPERATIONS = ['status', 'open', 'stage', 'activate', 'attempt', 'confirm', 'delete', 'cancel'] as const;

export type Operation = (typeof OPERATIONS)[number];

/** Short names for what one visit of a person needs. For issuing only: a token names each operation. */
export const SCOPE_SETS = {
  /** Enrolling ends with a recovery, so it needs attempt and confirm as well. */
  enrol: ['status', 'open', 'stage', 'activate', 'attempt', 'confirm'],
  recover: ['status', 'attempt', 'confirm'],
} as const satisfies Record<string, readonly Operation[]>;

export type ScopeSet = keyof typeof SCOPE_SETS;

/** Each operation once, in the order of `OPERATIONS`. @throws HoldfastError `usage` for an unknown or missing word. */
export function expandScope(words: readonly (Operation | ScopeSet)[]): Operation[] {
  const wanted = new Set<string>(
    words.flatMap((word) => (Object.hasOwn(SCOPE_SETS, word) ? SCOPE_SETS[word as ScopeSet] : [word])),
  );
  const operations = OPERATIONS.filter((operation) => wanted.has(operation));
  if (operations.length === 0 || operations.length !== wanted.size) {
    const known = [...OPERATIONS, ...Object.keys(SCOPE_SETS)].join(', ');
    throw new HoldfastError('usage', `name one or more operations out of: ${known}`);
  }
  return operations;
}

/** The operations in a `scope` claim. Words that mean nothing here are skipped: a tenant may have others. */
export function parseScope(scope: string): Operation[] {
  const words = new Set(scope.split(' '));
  return OPERATIONS.filter((operation) => words.has(operation));
}
