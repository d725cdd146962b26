/**
 * Telling somebody: one POST of JSON for the alerts that began and ended, tried again until it was taken, at least once.
 * With a secret it carries an HMAC (RFC 2104) over time and body, so that the receiver can tell it from a stranger's.
 */

import { randomBytes } from 'node:crypto';
import { bytesToHex, type Clock, concatBytes, HoldfastError, hmacSha256, systemClock, utf8 } from '../../core/index.ts';
import type { Fetcher } from '../replay/index.ts';
import { alertOf } from './alert-book.ts';
import type { StoredAlert } from './store.ts';

export interface WebhookOptions {
  readonly url: URL;
  /** 16 bytes or more. */
  readonly secret: Uint8Array | undefined;
  readonly fetcher: Pick<Fetcher, 'post'>;
  readonly clock?: Clock;
  /** Milliseconds for one try. */
  readonly timeout?: number;
  /** Milliseconds before each further try of one look. */
  readonly pauses?: readonly number[];
}

const PAUSES = [1000, 4000, 15_000];
const TIMEOUT = 10_000;
const MAXIMUM_ANSWER = 64 * 1024;
/** Alerts in one message. */
const MAXIMUM_ALERTS = 100;

/**
 * Tells of all alerts that were not delivered yet.
 * @returns the alerts with what is left to tell; those that ended and were told of are gone.
 * @throws HoldfastError `not_ready` where no try was taken.
 */
export async function deliver(
  options: WebhookOptions,
  origin: string,
  alerts: readonly StoredAlert[],
  signal?: AbortSignal,
): Promise<readonly StoredAlert[]> {
  const due = alerts.filter(({ delivered }) => !delivered).slice(0, MAXIMUM_ALERTS);
  if (due.length === 0) return alerts;
  const { clock = systemClock } = options;
  const body = utf8(
    JSON.stringify({
      type: 'holdfast/monitor-alerts/v1',
      // The same in every try, so that a receiver can drop what it has.
      id: randomBytes(16).toString('hex'),
      time: new Date(clock.now()).toISOString(),
      origin,
      alerts: due.map((alert) => ({ ...alertOf(alert), state: alert.resolved ? 'resolved' : 'raised' })),
    }),
  );
  await sendWithRetries(options, body, signal);
  const told = new Set(due);
  return alerts.flatMap((alert) => {
    if (!told.has(alert)) return [alert];
    return alert.resolved ? [] : [{ ...alert, delivered: true }];
  });
}

async function sendWithRetries(
  options: WebhookOptions,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { clock = systemClock, pauses = PAUSES } = options;
  for (let attempt = 0; ; attempt++) {
    try {
      await sendOnce(options, body, signal);
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const pause = pauses[attempt];
      if (pause === undefined || !(error instanceof HoldfastError)) throw error;
      await clock.sleep(pause, signal);
    }
  }
}

async function sendOnce(options: WebhookOptions, body: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
  const { url, secret, fetcher, clock = systemClock, timeout = TIMEOUT } = options;
  const headers = {
    'content-type': 'application/json',
    ...(secret && { 'holdfast-signature': signatureOf(secret, Math.floor(clock.now() / 1000), body) }),
  };
  const { status } = await fetcher.post(url, body, headers, { maximumBytes: MAXIMUM_ANSWER, timeout, signal });
  if (status >= 200 && status < 300) return;
  throw new HoldfastError('not_ready', `the webhook at ${url.origin} answered with status ${status}`);
}

/** `t=<seconds since 1970>,v1=<hex HMAC-SHA256 of "<seconds>.<body>">`: a receiver refuses old times, so none is replayed. */
export function signatureOf(secret: Uint8Array, seconds: number, body: Uint8Array): string {
  return `t=${seconds},v1=${bytesToHex(hmacSha256(secret, concatBytes(utf8(`${seconds}.`), body)))}`;
}
