import { createECDH, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, concatBytes, hexToBytes, systemRandom, utf8 } from '../../src/core/index.ts';
import { aesGcm } from '../../src/crypto/aead.ts';
import { keySchedule, setupRecipient } from '../../src/crypto/hpke-schedule.ts';
import { newRequestRecipient, newRequestSender } from '../../src/crypto/index.ts';

interface Vector extends Record<'info' | 'enc' | 'pkRm' | 'skRm' | 'key' | 'base_nonce', string> {
  readonly encryption: Record<'pt' | 'aad' | 'nonce' | 'ct', string>;
  readonly exports: readonly { readonly context: string; readonly length: number; readonly value: string }[];
}
const file = new URL('../vectors/rfc9180-p256-aes128gcm.json', import.meta.url);
const vector = JSON.parse(readFileSync(file, 'utf8')) as Vector;

/** A node's session key in software: what the token does is `dh`. */
function sessionKey(secret?: Uint8Array) {
  const ecdh = createECDH('prime256v1');
  if (secret) ecdh.setPrivateKey(secret);
  else ecdh.generateKeys();
  return {
    publicKey: new Uint8Array(ecdh.getPublicKey()),
    dh: (enc: Uint8Array) => new Uint8Array(ecdh.computeSecret(enc)),
  };
}

const info = utf8('holdfast request');
const bytes = fc.uint8Array({ maxLength: 300 });

type Input = Parameters<typeof newRequestRecipient>[0] & { readonly aad: Uint8Array; readonly ciphertext: Uint8Array };

const openRequest = ({ aad, ciphertext, ...session }: Input) => newRequestRecipient(session).open(aad, ciphertext);

async function exchange(plaintext: Uint8Array, aad: Uint8Array) {
  const node = sessionKey();
  const sender = await newRequestSender({ publicKey: node.publicKey, info });
  const sealed = await sender.seal(aad, plaintext);
  const input = {
    dh: node.dh(sealed.enc),
    enc: sealed.enc,
    publicKey: node.publicKey,
    info,
    aad,
    ciphertext: sealed.ciphertext,
  };
  return { sealed, input };
}

describe('the recipient', () => {
  test('derives the key, nonce and exports of RFC 9180 appendix A.3.1', () => {
    const node = sessionKey(hexToBytes(vector.skRm));
    expect(bytesToHex(node.publicKey)).toBe(vector.pkRm);
    const enc = hexToBytes(vector.enc);
    const aead = keySchedule({ id: 1, keyLength: 16 });
    const context = setupRecipient(aead, node.dh(enc), enc, node.publicKey, hexToBytes(vector.info));
    expect(bytesToHex(context.key)).toBe(vector.key);
    expect(bytesToHex(context.baseNonce)).toBe(vector.base_nonce);
    const { aad, ct, pt } = vector.encryption;
    expect(bytesToHex(aesGcm.open(context.key, context.baseNonce, hexToBytes(aad), hexToBytes(ct))!)).toBe(pt);
    expect(vector.exports).toHaveLength(3);
    for (const { context: name, length, value } of vector.exports) {
      expect(bytesToHex(context.exportSecret(hexToBytes(name), length))).toBe(value);
    }
  });

  test('opens what the sender sealed, and the sender opens the answer', async () => {
    await fc.assert(
      fc.asyncProperty(bytes, bytes, bytes, async (plaintext, aad, answer) => {
        const { sealed, input } = await exchange(plaintext, aad);
        expect(sealed.enc).toHaveLength(65);
        expect(sealed.ciphertext).toHaveLength(1 + plaintext.length + 16);
        const opened = openRequest(input);
        expect(bytesToHex(opened.plaintext)).toBe(bytesToHex(plaintext));
        const sealedAnswer = opened.sealAnswer(aad, answer, systemRandom);
        expect(sealedAnswer).toHaveLength(32 + answer.length + 16);
        expect(bytesToHex(await sealed.openAnswer(aad, sealedAnswer))).toBe(bytesToHex(answer));
      }),
      { numRuns: 25 },
    );
  });

  test('refuses a request whose key, info, outer fields or bytes are not the sealed ones', async () => {
    const { input } = await exchange(utf8('attempt'), utf8('outer'));
    const flipped = (value: Uint8Array, at: number) => value.map((byte, i) => (i === at ? byte ^ 1 : byte));
    const malformed = expect.objectContaining({ code: 'malformed' });
    const changes = [
      { aad: utf8('other') },
      { info: utf8('other') },
      { publicKey: sessionKey().publicKey },
      { enc: sessionKey().publicKey },
      { enc: input.enc.subarray(1) },
      { publicKey: input.publicKey.subarray(1) },
      { dh: input.dh.subarray(1) },
      { dh: flipped(input.dh, 31) },
      { ciphertext: new Uint8Array(0) },
      { ciphertext: new Uint8Array(15) },
      { ciphertext: new Uint8Array(16) },
      ...Array.from(input.ciphertext, (_, at) => ({ ciphertext: flipped(input.ciphertext, at) })),
    ];
    for (const change of changes) expect(() => openRequest({ ...input, ...change })).toThrow(malformed);
    expect(bytesToHex(openRequest(input).plaintext)).toBe(bytesToHex(utf8('attempt')));
  });
});

describe('a session', () => {
  async function session() {
    const node = sessionKey();
    const sender = await newRequestSender({ publicKey: node.publicKey, info });
    const recipient = (enc: Uint8Array) =>
      newRequestRecipient({ dh: node.dh(enc), enc, publicKey: node.publicKey, info });
    return { sender, recipient };
  }
  const texts = (count: number) => Array.from({ length: count }, (_, i) => utf8(`request ${i}`));

  test('has one encapsulated key, and requests that open in any order, however many of them arrive', async () => {
    const { sender, recipient } = await session();
    const sealed = await Promise.all(texts(5).map((text) => sender.seal(utf8('outer'), text)));
    expect(new Set(sealed.map(({ enc }) => bytesToHex(enc))).size).toBe(1);
    expect(sealed[0]!.enc).toEqual(sender.enc);
    expect(sealed.map(({ ciphertext }) => ciphertext[0])).toEqual([0, 1, 2, 3, 4]);
    const node = recipient(sealed[0]!.enc);
    for (const i of [3, 0, 4]) {
      const opened = node.open(utf8('outer'), sealed[i]!.ciphertext);
      expect(new TextDecoder().decode(opened.plaintext)).toBe(`request ${i}`);
    }
  });

  test('seals no two requests under one nonce, and opens none under another number than its own', async () => {
    const { sender, recipient } = await session();
    const [first, second] = [await sender.seal(info, utf8('same')), await sender.seal(info, utf8('same'))];
    expect(bytesToHex(first.ciphertext.subarray(1))).not.toBe(bytesToHex(second.ciphertext.subarray(1)));
    const moved = concatBytes(second.ciphertext.subarray(0, 1), first.ciphertext.subarray(1));
    expect(() => recipient(first.enc).open(info, moved)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('takes no answer to one request for the answer to another, alike as they are', async () => {
    const { sender, recipient } = await session();
    const [first, second] = [await sender.seal(info, utf8('same')), await sender.seal(info, utf8('same'))];
    const answer = recipient(first.enc).open(info, first.ciphertext).sealAnswer(info, utf8('answer'), systemRandom);
    await expect(second.openAnswer(info, answer)).rejects.toMatchObject({ code: 'untrusted' });
    expect(bytesToHex(await first.openAnswer(info, answer))).toBe(bytesToHex(utf8('answer')));
  });

  test('ends after 256 requests', async () => {
    const { sender, recipient } = await session();
    let last = await sender.seal(info, info);
    for (let i = 1; i < 256; i++) last = await sender.seal(info, info);
    expect(bytesToHex(recipient(last.enc).open(info, last.ciphertext).plaintext)).toBe(bytesToHex(info));
    expect(sender.left).toBe(0);
    await expect(sender.seal(info, info)).rejects.toMatchObject({ code: 'unexpected' });
  });
});

describe('the answer', () => {
  test('opens for its own request, outer fields and bytes only', async () => {
    const aad = utf8('outer');
    const [first, second] = [await exchange(utf8('a'), aad), await exchange(utf8('a'), aad)];
    const sealedAnswer = openRequest(first.input).sealAnswer(aad, utf8('answer'), systemRandom);
    const untrusted = expect.objectContaining({ code: 'untrusted' });
    await expect(second.sealed.openAnswer(aad, sealedAnswer)).rejects.toEqual(untrusted);
    await expect(first.sealed.openAnswer(utf8('other'), sealedAnswer)).rejects.toEqual(untrusted);
    for (const length of [0, 31, 32, 47, sealedAnswer.length - 1]) {
      await expect(first.sealed.openAnswer(aad, sealedAnswer.subarray(0, length))).rejects.toEqual(untrusted);
    }
    for (let at = 0; at < sealedAnswer.length; at++) {
      const changed = sealedAnswer.map((byte, i) => (i === at ? byte ^ 1 : byte));
      await expect(first.sealed.openAnswer(aad, changed)).rejects.toEqual(untrusted);
    }
    expect(bytesToHex(await first.sealed.openAnswer(aad, sealedAnswer))).toBe(bytesToHex(utf8('answer')));
  });

  test('never reuses a key: two answers to one request differ throughout', async () => {
    const { input } = await exchange(utf8('a'), info);
    const opened = openRequest(input);
    const [one, two] = [1, 2].map(() => opened.sealAnswer(info, new Uint8Array(64), systemRandom));
    expect(bytesToHex(one!.subarray(0, 32))).not.toBe(bytesToHex(two!.subarray(0, 32)));
    expect(bytesToHex(one!.subarray(32))).not.toBe(bytesToHex(two!.subarray(32)));
  });

  test('has these bytes', () => {
    const node = sessionKey(hexToBytes(vector.skRm));
    const enc = hexToBytes(vector.enc);
    const context = setupRecipient(keySchedule({ id: 2, keyLength: 32 }), node.dh(enc), enc, node.publicKey, info);
    const sealed = aesGcm.seal(context.key, context.baseNonce, info, utf8('request'));
    const ciphertext = concatBytes(Uint8Array.of(0), sealed);
    const opened = openRequest({ dh: node.dh(enc), enc, publicKey: node.publicKey, info, aad: info, ciphertext });
    const answer = opened.sealAnswer(info, utf8('answer'), (length) => new Uint8Array(length).fill(9));
    expect(createHash('sha256').update(answer).digest('hex')).toBe(
      'bee9f4634b8bce472eebc33b7549de1c1e6b063d1eda40a1ce1ee5105ac1bdf4',
    );
  });
});

test('nothing is sealed to a key that is no point', async () => {
  const point = sessionKey().publicKey;
  point[64]! ^= 1;
  for (const publicKey of [point, new Uint8Array(65), new Uint8Array(0), sessionKey().publicKey.subarray(1)]) {
    await expect(newRequestSender({ publicKey, info })).rejects.toMatchObject({ code: 'untrusted' });
  }
});
