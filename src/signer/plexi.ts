/** Reading the statement that a Plexi auditor signs (protobuf, ciphersuite 1), strictly: `plexiMessage` must write the same. */

import { equalBytes, fromUtf8, HoldfastError } from '../core/index.ts';
import { PLEXI_CIPHERSUITE, type PlexiStatement, plexiMessage } from '../trust/index.ts';

const MAXIMUM_STATEMENT = 1024;

/** Protobuf's numbers and length-delimited fields, in the order in which they are expected. */
class Fields {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  number(field: number): number {
    this.#tag(field, 0);
    return this.#varint();
  }

  bytes(field: number): Uint8Array {
    this.#tag(field, 2);
    const length = this.#varint();
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #tag(field: number, type: number): void {
    if (this.#bytes[this.#at++] !== field * 8 + type) throw malformed();
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw malformed();
  }
}

/** @throws HoldfastError `malformed` for anything that `plexiMessage` would not have written. */
export function parsePlexiMessage(message: Uint8Array): PlexiStatement {
  if (message.length > MAXIMUM_STATEMENT) throw malformed();
  const fields = new Fields(message);
  if (fields.number(1) !== PLEXI_CIPHERSUITE) throw malformed();
  const statement = {
    namespace: fromUtf8(fields.bytes(2)),
    timestamp: fields.number(3),
    epoch: new Fields(fields.bytes(4)).number(1),
    digest: fields.bytes(5).slice(),
  };
  if (!equalBytes(written(statement), message)) throw malformed();
  return statement;
}

function written(statement: PlexiStatement): Uint8Array {
  try {
    return plexiMessage(statement);
  } catch {
    throw malformed();
  }
}

const malformed = () => new HoldfastError('malformed', 'the message is no Plexi statement of ciphersuite 1');
