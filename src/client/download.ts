/** Reading what a server sends, never more than it should. Browser-safe. */

/**
 * The whole body of a response, of at most `maximum` bytes.
 * @param tooLarge makes the error for a longer one, of which no more is read.
 */
export async function readBounded(
  response: Response,
  maximum: number,
  tooLarge: () => Error,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const reader = response.body?.getReader(); reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.length;
    if (length > maximum) {
      await reader.cancel();
      throw tooLarge();
    }
    parts.push(value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
