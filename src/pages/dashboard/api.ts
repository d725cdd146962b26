/** The operator's API of the coordinator that serves this page. */

import type { HistoryView, Overview, Range } from '../../dashboard/index.ts';

/** What became of a request. `elsewhere`: nobody answered, or not as the API does. */
export type Answer<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused' }
  | { readonly kind: 'wait'; readonly seconds: number }
  | { readonly kind: 'elsewhere' };

/** Milliseconds for an answer. */
const DEADLINE = 10_000;

export const getOverview = (): Promise<Answer<Overview>> => ask('./v1/operator/overview');
export const getHistory = (range: Range): Promise<Answer<HistoryView>> => ask(`./v1/operator/history?range=${range}`);

export function signIn(credential: string): Promise<Answer<undefined>> {
  const body = JSON.stringify({ credential });
  return ask('./v1/operator/session', { method: 'POST', body, headers: { 'content-type': 'application/json' } });
}

export const signOut = (): Promise<Answer<undefined>> => ask('./v1/operator/session', { method: 'DELETE' });

async function ask<T>(address: string, options: RequestInit = {}): Promise<Answer<T>> {
  try {
    const response = await fetch(address, {
      ...options,
      cache: 'no-store',
      credentials: 'same-origin',
      redirect: 'error',
      signal: AbortSignal.timeout(DEADLINE),
    });
    if (response.status === 204) return { kind: 'ok', value: undefined as T };
    if (response.ok) return { kind: 'ok', value: (await response.json()) as T };
    if (response.status === 429) {
      return { kind: 'wait', seconds: Number(response.headers.get('retry-after') ?? 60) || 60 };
    }
    return response.status === 401 || response.status === 400 ? { kind: 'refused' } : { kind: 'elsewhere' };
  } catch {
    return { kind: 'elsewhere' };
  }
}
