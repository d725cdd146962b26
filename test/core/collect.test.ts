import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collectBytes, HoldfastError } from '../../src/core/index.ts';

const tooLarge = () => new HoldfastError('too_large', 'more than was allowed');

describe('collectBytes', () => {
  it('gives what was sent, in however many pieces, up to the last byte that is allowed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), async (parts) => {
        const whole = Buffer.concat(parts);
        const read = (maximum: number) => collectBytes(Readable.from(parts), maximum, tooLarge);
        expect(Buffer.from(await read(whole.length))).toEqual(whole);
        if (whole.length > 0) await expect(read(whole.length - 1)).rejects.toMatchObject({ code: 'too_large' });
      }),
      { examples: [[[]], [[new Uint8Array()]]] },
    );
  });

  it('ends a stream without an end at the first byte too many', async () => {
    let sent = 0;
    const endless = Readable.from(
      (function* () {
        for (;;) {
          sent += 16;
          yield new Uint8Array(16);
        }
      })(),
      { highWaterMark: 1 },
    );
    await expect(collectBytes(endless, 1000, tooLarge)).rejects.toMatchObject({ code: 'too_large' });
    expect(endless.destroyed).toBe(true);
    expect(sent).toBeLessThan(1100);
  });
});
