/** tar-stream as this folder uses it: its published types leave out what it does with pax records and name encodings. */

import type { Readable, Writable } from 'node:stream';
import { extract, type Header, pack } from 'tar-stream';

/** An entry's header. With pax records it becomes a pax entry, and is read back with all of them. */
export type EntryHeader = Omit<Header, 'pax' | 'type' | 'linkname'> & {
  /** null for a kind that tar-stream does not know. */
  readonly type: Header['type'] | null;
  readonly linkname: string | null;
  readonly pax?: PaxRecords | null;
};

/** The pax records used here (POSIX.1-2017, pax, "Extended Header Keywords"); others stand beside them. */
export interface PaxRecords {
  path?: string;
  linkpath?: string;
  mtime?: string;
  uid?: string;
  gid?: string;
}

/** A tar archive being written. */
export interface TarPack extends Readable {
  /** `done` is called once the entry is in the archive. */
  entry(
    header: Partial<EntryHeader> & { readonly name: string },
    done?: ((error: Error | null) => void) | undefined,
  ): Writable;
  finalize(): void;
}

/** Takes one entry; the archive goes on when it calls `next`. */
export type OnEntry = (header: EntryHeader, content: Readable, next: (error?: unknown) => void) => void;

// Its streams are not Node's own class but serve as Node streams, in `pipeline` too: its documentation uses them so.
export const packTar = (): TarPack => pack() as unknown as TarPack;

/** Reads a tar archive. Names that no pax record holds come as Latin-1, which keeps their bytes in whatever encoding. */
export function extractTar(onEntry: OnEntry): Writable {
  const create = extract as unknown as (options: { filenameEncoding: string }) => Writable;
  return create({ filenameEncoding: 'latin1' }).on('entry', onEntry);
}

/** Whether so much is waiting to be read from `archive` that nothing should be added. */
export function isBackpressured(archive: TarPack): boolean {
  // A static method of the stream class that tar-stream's own class inherits.
  return (archive.constructor as unknown as { isBackpressured(stream: TarPack): boolean }).isBackpressured(archive);
}
