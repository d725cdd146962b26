/** Reading what a server sends, never more than it should. Browser-safe. */

/** What is used of the body of a `Response`. */
export interface FetchBody {
  getReader(): {
    read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
    cancel(): Promise<void>;
  };
  cancel(): Promise<void>;
}

/**
 * The whole body of a response, of at most `maximum` bytes.
 * @param tooLarge makes the error for a longer one, of which no more is read.
 */
export async function readBounded(
  response: { readonly body: FetchBody | null },
  maximum: number,
  tooLarge: () => Error,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const reader = response.body?.getReader(); reader; ) {
    const { done, value } = await reader.read();
    if (done || !value) break;
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
