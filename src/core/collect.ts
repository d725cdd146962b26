/** Reads a whole body of bytes that somebody else sends, and no more than was allowed. */

import { concatBytes } from './bytes.ts';

/** Leaving early ends the stream. @throws what `tooLarge` makes, as soon as there are more than `maximum` bytes. */
export async function collectBytes(
  body: AsyncIterable<Uint8Array>,
  maximum: number,
  tooLarge: () => Error,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.length;
    if (length > maximum) throw tooLarge();
    parts.push(part);
  }
  return concatBytes(...parts);
}
