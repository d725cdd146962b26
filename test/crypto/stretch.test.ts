import { argon2Sync } from 'node:crypto';
import { argon2id as nobleArgon2id } from '@noble/hashes/argon2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, utf8 } from '../../src/core/index.ts';
import { stretchPin } from '../../src/crypto/index.ts';
import { nativeArgon2id, portableArgon2id } from '../../src/crypto/stretch.ts';

const salt = new Uint8Array(32).fill(7);
const small = { memoryKiB: 8, passes: 1, parallelism: 1 };

describe('stretchPin', () => {
  test('the runtime and the reference of these tests give the tag of RFC 9106 section 5.3', () => {
    const message = new Uint8Array(32).fill(1);
    const nonce = new Uint8Array(16).fill(2);
    const secret = new Uint8Array(8).fill(3);
    const associatedData = new Uint8Array(12).fill(4);
    const tag = '0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659';
    const native = argon2Sync('argon2id', {
      message,
      nonce,
      secret,
      associatedData,
      parallelism: 4,
      tagLength: 32,
      memory: 32,
      passes: 3,
    });
    expect(native.toString('hex')).toBe(tag);
    const noble = nobleArgon2id(message, nonce, {
      t: 3,
      m: 32,
      p: 4,
      key: secret,
      personalization: associatedData,
      dkLen: 32,
    });
    expect(bytesToHex(noble)).toBe(tag);
  });

  test('the portable and the native implementation agree with each other and with the reference', async () => {
    const parameters = fc
      .record({
        parallelism: fc.integer({ min: 1, max: 3 }),
        extra: fc.integer({ min: 0, max: 40 }),
        passes: fc.integer({ min: 1, max: 3 }),
      })
      .map(({ parallelism, extra, passes }) => ({ parallelism, passes, memoryKiB: 8 * parallelism + extra }));
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 80 });
    const salts = fc.uint8Array({ minLength: 32, maxLength: 32 });
    await fc.assert(
      fc.asyncProperty(bytes, salts, parameters, async (pin, someSalt, p) => {
        const noble = nobleArgon2id(pin, someSalt, { t: p.passes, m: p.memoryKiB, p: p.parallelism, dkLen: 32 });
        expect(bytesToHex(await portableArgon2id(pin, someSalt, p))).toBe(bytesToHex(noble));
        expect(bytesToHex(await nativeArgon2id!(pin, someSalt, p))).toBe(bytesToHex(noble));
        expect(bytesToHex(await stretchPin(pin, someSalt, p))).toBe(bytesToHex(noble));
      }),
      { numRuns: 25 },
    );
  });

  test('gives other bytes for another PIN or salt', async () => {
    const outputs = await Promise.all([
      stretchPin(utf8('1234'), salt, small),
      stretchPin(utf8('1235'), salt, small),
      stretchPin(utf8('1234'), new Uint8Array(32), small),
    ]);
    expect(outputs.every((output) => output.length === 32)).toBe(true);
    expect(new Set(outputs.map(bytesToHex)).size).toBe(3);
  });

  test.each([
    ['too little memory', { ...small, memoryKiB: 7 }],
    ['too little memory for its lanes', { memoryKiB: 15, passes: 1, parallelism: 2 }],
    ['too much memory', { ...small, memoryKiB: 2 ** 20 + 1 }],
    ['no pass', { ...small, passes: 0 }],
    ['passes without end', { ...small, passes: 101 }],
    ['no lane', { ...small, parallelism: 0 }],
    ['a fraction', { ...small, memoryKiB: 8.5 }],
    ['not a number', { ...small, passes: Number.NaN }],
  ])('refuses %s', async (_, parameters) => {
    await expect(stretchPin(utf8('1234'), salt, parameters)).rejects.toMatchObject({ code: 'bad_input' });
  });

  test('refuses an empty PIN and a salt of another length', async () => {
    await expect(stretchPin(utf8(''), salt, small)).rejects.toMatchObject({ code: 'bad_input' });
    await expect(stretchPin(utf8('1234'), salt.subarray(1), small)).rejects.toMatchObject({ code: 'bad_input' });
  });
});
