/** How fast a token is at what a node asks of it. Writes to the token's anchors: measure only a token in no other use. */

import { createECDH } from 'node:crypto';
import { p256_oprf } from '@noble/curves/nist.js';
import { utf8 } from '../core/index.ts';
import type { Token } from './port.ts';

export interface Rate {
  readonly operation: 'sign' | 'ecdh' | 'hmac' | 'evaluate' | 'anchor_write';
  /** Calls under way at any time. */
  readonly concurrency: number;
  readonly perSecond: number;
  /** Median time of one call, in microseconds, waiting included. */
  readonly medianMicroseconds: number;
}

export interface MeasureOptions {
  /** Calls of each operation; default 200. */
  readonly calls?: number;
  /** Writes of an anchor, which wear hardware; default as many as calls. */
  readonly anchorWrites?: number;
  /** Default 8. */
  readonly concurrency?: number;
}

/** Rates of each operation, one after the other. Takes about a second on a software token. */
export async function measureToken(token: Token, options: MeasureOptions = {}): Promise<Rate[]> {
  const calls = options.calls ?? 200;
  const concurrency = options.concurrency ?? 8;
  const message = utf8('measured');
  const point = Uint8Array.from(createECDH('prime256v1').generateKeys());
  const { blinded } = p256_oprf.oprf.blind(message);
  const operations: readonly [Rate['operation'], number, () => Promise<unknown>][] = [
    ['sign', concurrency, () => token.sign(message)],
    ['ecdh', concurrency, () => token.deriveSession(point)],
    ['hmac', concurrency, () => token.anchorMac(message)],
    ['evaluate', concurrency, () => token.evaluate(message, blinded)],
    // A node writes one anchor after the other.
    ['anchor_write', 1, () => token.writeAnchor(message)],
  ];
  const rates: Rate[] = [];
  for (const [operation, width, call] of operations) {
    const count = operation === 'anchor_write' ? (options.anchorWrites ?? calls) : calls;
    rates.push({ operation, concurrency: width, ...(await measure(call, count, width)) });
  }
  return rates;
}

async function measure(call: () => Promise<unknown>, calls: number, concurrency: number) {
  await call();
  const times: number[] = [];
  let left = calls;
  const lane = async () => {
    while (left-- > 0) {
      const begun = performance.now();
      await call();
      times.push(performance.now() - begun);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: concurrency }, lane));
  const seconds = (performance.now() - begun) / 1000;
  times.sort((a, b) => a - b);
  return {
    perSecond: Math.round(calls / seconds),
    medianMicroseconds: Math.round((times[Math.floor(times.length / 2)] ?? 0) * 1000),
  };
}
