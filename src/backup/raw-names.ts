/**
 * What stands before an entry of a tar archive whose name, or whose link's target, is not UTF-8. Pax records are UTF-8 by
 * definition (POSIX.1-2017, pax, "path"), so these names go into GNU's entries of type L and K, which hold bytes of any length
 * and which GNU tar, libarchive, Go and Python read (GNU tar manual, "Basic Tar Format", LONGNAME and LONGLINK).
 */

import { type ByteString, nativePath } from './names.ts';
import type { PaxRecords } from './tar.ts';

const BLOCK = 512;

export interface RawNames {
  readonly name: ByteString;
  readonly linkname?: ByteString | undefined;
  /** What else the entry would have had as pax records. */
  readonly pax: PaxRecords;
}

/** The blocks that go before an entry whose own header leaves name and target to them. */
export function rawNameBlocks({ name, linkname, pax }: RawNames): Buffer {
  const records = Object.entries(pax).map(([key, value]) => paxRecord(key, String(value)));
  return Buffer.concat([
    specialEntry('L', Buffer.concat([nativePath(name), Buffer.alloc(1)])),
    ...(linkname === undefined ? [] : [specialEntry('K', Buffer.concat([nativePath(linkname), Buffer.alloc(1)]))]),
    ...(records.length === 0 ? [] : [specialEntry('x', Buffer.from(records.join('')))]),
  ]);
}

/** `LENGTH KEY=VALUE` and a line end, where the length counts itself (POSIX.1-2017, pax, "pax Extended Header"). Both are ASCII. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}

function specialEntry(type: 'L' | 'K' | 'x', content: Buffer): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(type === 'x' ? 'PaxHeader' : '././@LongLink', 0);
  for (const offset of [100, 108, 116]) header.write('0000000\0', offset);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write(' '.repeat(8), 148);
  header.write(type, 156);
  header.write(type === 'x' ? 'ustar\x0000' : 'ustar  \0', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc(-content.length & (BLOCK - 1))]);
}
