/**
 * The transparency log: one sequencer, and an append that survives a crash at every point (docs/trust.md section 3).
 *
 * A batch goes through four steps, each durable before the next begins:
 *   1. store: its entries, and the text of the roster that will end it, are stored as an intent after the current head;
 *   2. seal: the roster is signed and stored, which fixes the new root and with it the checkpoint's text;
 *   3. commit: the checkpoint is signed; tiles, index, views and the new head are stored, and the intent goes, in one
 *      transaction, after the stored head was compared with the one that the batch comes after;
 *   4. publish: tiles and bundles are written as files, then the checkpoint.
 * What was stored in step 1 is finished after a restart before anything else is appended. So the log key never signs two
 * roots of one size, whatever crashes, and a checkpoint is never published before what it commits to.
 */

import { type Clock, equalBytes, HoldfastError, systemClock, utf8 } from '../../core/index.ts';
import {
  Frontier,
  hashEntry,
  type InclusionProof,
  MAXIMUM_ENTRY_BYTES,
  type NoteSigner,
  parseCheckpoint,
  parseNote,
  parseVerifierKey,
  proveConsistency,
  proveInclusion,
  type ReadTile,
  readPeaks,
  serialiseCheckpoint,
  serialiseNote,
  signNote,
  tileHashReader,
  treeRoot,
  verifyNote,
} from '../../trust/index.ts';
import { Queue, type Submission } from './queue.ts';
import { type LogHead, type LogIntent, type LogRows, type LogStore, type LogWrite, readRows, rows } from './store.ts';
import { storedTiles } from './stored-tiles.ts';
import type { TileFiles } from './tile-files.ts';
import { appendLeaves } from './tree.ts';

/** What a log's owner makes of the leaves. Both are pure functions: they are computed again after a crash. */
export interface LogContent {
  /** The text of the roster that comes after `leaves`, the first of which has index `first`. */
  nextRoster(previous: string | undefined, leaves: readonly Uint8Array[], first: number): string;
  /**
   * Rows of the table `view` that these leaves add. `time`: milliseconds since 1970, when the batch was stored. Throws for
   * leaves that must not be in the log; the last one is the roster, signed.
   */
  views(leaves: readonly Uint8Array[], first: number, time: number): readonly LogWrite[];
}

export interface TransparencyLogOptions {
  readonly origin: string;
  /** Belongs to the log from now on: closed with it. */
  readonly store: LogStore;
  readonly files: TileFiles;
  /** Ed25519. */
  readonly checkpointSigner: NoteSigner;
  readonly rosterSigner: NoteSigner;
  readonly content: LogContent;
  /**
   * True makes a log in an empty store, once. Otherwise an empty store is refused: under the keys of a log that was lost it
   * would become a fork of it.
   */
  readonly create?: boolean;
  readonly clock?: Clock;
  /** Called after each batch that has been published. */
  readonly onPublished?: (head: LogHead) => void;
}

/** Where a leaf stands. */
export interface Placed {
  readonly index: number;
  /** False where the same leaf was in the log before. */
  readonly added: boolean;
}

/** Name of the file with the newest checkpoint, cosigned or not. */
export const NEWEST_CHECKPOINT = 'latest-checkpoint';

export class TransparencyLog {
  readonly #options: TransparencyLogOptions;
  readonly #rows: LogRows;
  readonly #clock: Clock;
  readonly #queue: Queue;
  readonly #tiles: ReadTile;
  /** The newest checkpoint that is committed: what the next batch comes after. */
  #committed: LogHead | undefined;
  /** The newest of which all files are in place: what anybody is told. */
  #head: LogHead | undefined;
  #frontier = new Frontier();
  /** Leaves whose files are in place. */
  #published = 0;

  private constructor(options: TransparencyLogOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#rows = readRows(options.store);
    this.#tiles = storedTiles(this.#rows);
    this.#queue = new Queue((batch) => this.#process(batch));
  }

  /**
   * Opens the log, finishes what a crash left half done, and makes files that are missing. A new log gets its first
   * leaf, an empty roster.
   * @throws HoldfastError `store_refused` where the store is damaged or another log's; and what signers and store throw.
   */
  static async open(options: TransparencyLogOptions): Promise<TransparencyLog> {
    const log = new TransparencyLog(options);
    await log.#load();
    if (!log.#committed && !log.#rows.intent() && !options.create) {
      throw new HoldfastError(
        'store_refused',
        'there is no log in this store; holdfast cosigner init makes a new one, once. Never do that where a log was lost',
      );
    }
    await log.settle();
    return log;
  }

  /** The newest published checkpoint and what it is of: whoever is shown it finds every leaf of it. */
  get head(): LogHead {
    if (!this.#head) throw new HoldfastError('not_ready', 'the log has no checkpoint yet; it is being made');
    return this.#head;
  }

  /**
   * Rows as they are committed, which may be a batch before they are published. The store shows a commit to all its readers a
   * moment before this log hears that it is done: whoever read of a leaf there finds it here.
   */
  entry(index: number): Uint8Array | undefined {
    if (index >= this.#size && index >= (this.#rows.head()?.size ?? 0)) return undefined;
    return this.#rows.entry(index);
  }

  /** The index of this very leaf, or undefined. */
  indexOf(leaf: Uint8Array): number | undefined {
    return this.#rows.index(hashEntry(leaf));
  }

  /**
   * Appends a leaf of 1 to 65,535 bytes, or finds it where it already is. Resolves once a published checkpoint has it.
   * Rejects with `overloaded` where too many wait; after any other rejection the leaf may still have been stored, and
   * the same call again tells.
   */
  append(leaf: Uint8Array): Promise<Placed> {
    return this.#queue.add({ prepare: undefined, leaf: checkedLeaf(leaf) });
  }

  /**
   * Appends what `prepare` makes. It is called when everything appended before is committed, and nothing else is
   * prepared until its leaf is: what it read of the views still holds.
   */
  appendPrepared(prepare: () => Promise<Uint8Array>): Promise<Placed> {
    return this.#queue.add({ prepare, leaf: undefined });
  }

  /** Finishes what is half done; nothing where nothing is. Throws what stands in the way. */
  settle(): Promise<void> {
    return this.#queue.exclusively(async () => {
      await this.#settle();
      if (!this.#committed) await this.#sequence([]);
    });
  }

  /** @throws HoldfastError `malformed` unless 0 <= index < size <= the head's size. */
  proveInclusion(index: number, size = this.head.size): Promise<InclusionProof> {
    this.#checkSize(size);
    return proveInclusion(index, size, tileHashReader(size, this.#tiles));
  }

  /** @throws HoldfastError `malformed` unless 0 <= older <= newer <= the head's size. */
  proveConsistency(older: number, newer = this.head.size): Promise<Uint8Array[]> {
    this.#checkSize(newer);
    return proveConsistency(older, newer, tileHashReader(newer, this.#tiles));
  }

  /** The root of the tree's first `size` leaves. @throws HoldfastError `malformed` unless 0 <= size <= the head's. */
  rootAt(size: number): Promise<Uint8Array> {
    this.#checkSize(size);
    return treeRoot(size, tileHashReader(size, this.#tiles));
  }

  /** Takes no more, finishes the batch under way, and closes the store. */
  async close(): Promise<void> {
    await this.#queue.close();
    await this.#options.store.close();
  }

  /** Leaves that are committed. */
  get #size(): number {
    return this.#committed?.size ?? 0;
  }

  #checkSize(size: number): void {
    if (size > this.head.size) throw new HoldfastError('malformed', `the log has fewer than ${size} leaves`);
  }

  /** A batch as it comes off the queue. What goes wrong with one leaf's preparation is that leaf's own. */
  async #process(batch: readonly Submission[]): Promise<void> {
    await this.#settle();
    const known = new Map<string, Placed>();
    const leaves: Uint8Array[] = [];
    const placed: [Submission, Placed][] = [];
    for (const submission of batch) {
      try {
        const leaf = submission.leaf ?? checkedLeaf(await submission.prepare!());
        const hash = hashEntry(leaf);
        const name = Buffer.from(hash).toString('latin1');
        const before = this.#rows.index(hash);
        let place = known.get(name) ?? (before === undefined ? undefined : { index: before, added: false });
        if (!place) {
          place = { index: this.#size + leaves.length, added: true };
          leaves.push(leaf);
        }
        known.set(name, { ...place, added: false });
        placed.push([submission, place]);
      } catch (error) {
        submission.reject(error);
      }
    }
    if (leaves.length > 0) await this.#sequence(leaves);
    for (const [submission, place] of placed) submission.resolve(place);
  }

  /** Step 1, then the others. */
  async #sequence(leaves: readonly Uint8Array[]): Promise<void> {
    const size = this.#size;
    const { content, store } = this.#options;
    const intent: LogIntent = {
      size,
      root: this.#frontier.root(),
      time: this.#clock.now(),
      count: leaves.length,
      rosterText: content.nextRoster(this.#committed?.rosterText, leaves, size),
      sealed: undefined,
    };
    const entries = leaves.map((leaf, i) => rows.entry(size + i, leaf));
    this.#compare(intent, undefined);
    await store.commit([...entries, rows.intent(intent)]);
    await this.#settle();
  }

  /** Steps 2 to 4 of whatever is stored. */
  async #settle(): Promise<void> {
    const intent = this.#rows.intent();
    if (intent) await this.#commit(await this.#seal(intent));
    await this.#publish();
  }

  async #seal(intent: LogIntent): Promise<LogIntent> {
    if (intent.sealed) return intent;
    const { rosterSigner, origin, store, content } = this.#options;
    const roster = utf8(serialiseNote(await signNote(intent.rosterText, [rosterSigner])));
    const leaves = [...this.#leavesOf(intent), checkedLeaf(roster)];
    // What the content refuses is refused here: after a roster is stored, no other key could sign it any more.
    content.views(leaves, intent.size, intent.time);
    const { root } = this.#append(leaves);
    const size = intent.size + intent.count + 1;
    const sealed = { ...intent, sealed: { root, checkpointText: serialiseCheckpoint({ origin, size, root }) } };
    this.#compare(intent, intent);
    await store.commit([rows.entry(size - 1, roster), rows.intent(sealed)]);
    return sealed;
  }

  async #commit(intent: LogIntent): Promise<void> {
    const { checkpointSigner, content, store } = this.#options;
    const { root, checkpointText } = intent.sealed!;
    const size = intent.size + intent.count + 1;
    const leaves = this.#leavesOf(intent, 1);
    const appended = this.#append(leaves);
    if (!equalBytes(appended.root, root)) throw damaged('its entries do not lead to the root that was to be signed');
    const checkpoint = serialiseNote(await signNote(checkpointText, [checkpointSigner]));
    const head: LogHead = { size, root, checkpoint, rosterText: intent.rosterText };
    this.#compare(intent, intent);
    await store.commit([
      ...appended.tiles.map(({ level, tile, hashes }) => rows.tile(level, tile, hashes)),
      ...leaves.map((leaf, i) => rows.index(hashEntry(leaf), intent.size + i)),
      ...content.views(leaves, intent.size, intent.time),
      rows.head(head),
      rows.intent(undefined),
    ]);
    this.#committed = head;
    this.#frontier = appended.frontier;
  }

  async #publish(): Promise<void> {
    const head = this.#committed;
    if (!head || this.#head === head) return;
    const { files, onPublished } = this.#options;
    const whole = this.#published === head.size;
    if (!whole) {
      await files.publish(this.#published, head.size);
      await files.replace(NEWEST_CHECKPOINT, utf8(head.checkpoint));
      await files.mark(head.size);
      this.#published = head.size;
    }
    this.#head = head;
    if (!whole) onPublished?.(head);
  }

  /**
   * The swap's comparison: the store must still hold the head that the batch comes after, and this very intent. The
   * folder's lock keeps other processes out; this notices a store that was replaced beneath a running one.
   */
  #compare(intent: LogIntent, stored: LogIntent | undefined): void {
    const head = this.#rows.head();
    const same = head ? head.size === intent.size && equalBytes(head.root, intent.root) : intent.size === 0;
    if (!same || this.#rows.intent()?.rosterText !== stored?.rosterText) {
      throw damaged('another process has written to it, or it was replaced');
    }
  }

  #append(leaves: readonly Uint8Array[]) {
    return appendLeaves(this.#frontier, leaves.map(hashEntry), (level, tile) => this.#rows.tile(level, tile));
  }

  #leavesOf(intent: LogIntent, more = 0): Uint8Array[] {
    return Array.from({ length: intent.count + more }, (_, i) => {
      const leaf = this.#rows.entry(intent.size + i);
      if (!leaf) throw damaged(`entry ${intent.size + i} is missing`);
      return leaf;
    });
  }

  /** The head as stored, checked against the stored tiles and the log's own key. */
  async #load(): Promise<void> {
    const head = this.#rows.head();
    if (!head) return;
    const { origin, checkpointSigner, files } = this.#options;
    const frontier = new Frontier(head.size, await readPeaks(head.size, this.#tiles));
    if (!equalBytes(frontier.root(), head.root)) throw damaged('its tiles do not lead to its root');
    const note = parseNote(head.checkpoint);
    const checkpoint = parseCheckpoint(note.text);
    if (checkpoint.origin !== origin) throw damaged(`it is of the log ${checkpoint.origin}, not of ${origin}`);
    if (checkpoint.size !== head.size || !equalBytes(checkpoint.root, head.root)) {
      throw damaged('its checkpoint is not of its head');
    }
    try {
      verifyNote(note, [parseVerifierKey(checkpointSigner.verifierKey)]);
    } catch (cause) {
      throw damaged('its checkpoint is not signed by this log’s key', cause);
    }
    this.#committed = head;
    this.#frontier = frontier;
    this.#published = Math.min(await files.published(), head.size);
  }
}

function checkedLeaf(leaf: Uint8Array): Uint8Array {
  if (leaf.length === 0) throw new HoldfastError('malformed', 'a leaf must have at least one byte');
  if (leaf.length > MAXIMUM_ENTRY_BYTES)
    throw new HoldfastError('too_large', `a leaf has at most ${MAXIMUM_ENTRY_BYTES} bytes`);
  return leaf;
}

function damaged(what: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'store_refused',
    `the log’s store is not usable: ${what}; stop, keep the folder, and see docs/cosigner.md before restoring anything`,
    { cause },
  );
}
