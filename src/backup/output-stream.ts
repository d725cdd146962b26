/** A backup that goes to a stream, such as a pipe: whoever reads it knows by the age format's end that it is whole. */

import { fstat } from 'node:fs';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { HoldfastError } from '../core/index.ts';
import { systemCode, systemReason } from './report.ts';
import { fileKey } from './walk.ts';

/** A stream of an open file descriptor, as `process.stdout` is. */
export type DescriptorStream = Writable & { readonly fd: number };

export class OutputStream {
  readonly path = '-';
  readonly #stream: DescriptorStream;

  constructor(stream: DescriptorStream) {
    this.#stream = stream;
  }

  /** The key of the file that it may go into (`fileKey`). */
  async keys(): Promise<string[]> {
    return [fileKey(await promisify(fstat)(this.#stream.fd, { bigint: true }))];
  }

  /** Waits until it is taken. @throws HoldfastError `unexpected` saying why it is not. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
      });
    } catch (cause) {
      const reason = systemCode(cause) === 'EPIPE' ? 'its reader has gone' : systemReason(cause);
      throw new HoldfastError('unexpected', `the backup could not be written to the end: ${reason}`, { cause });
    }
  }

  async commit(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
