/** A witness on a disk in memory, and a clock that stands still. */

import { type Clock, utf8 } from '../../../src/core/index.ts';
import {
  EvidenceShelf,
  initialiseWitnessStore,
  openWitnessStore,
  WITNESS_TABLES,
  Witness,
  type WitnessOptions,
  type WitnessTable,
} from '../../../src/cosigner/witness/index.ts';
import { MemoryKeyValueStore } from '../../../src/store/index.ts';
import {
  parseNote,
  parseSignatureLines,
  parseVerifierKey,
  softwareNoteSigner,
  verifyNote,
} from '../../../src/trust/index.ts';
import { ed25519Key } from '../../trust/tlog/keys.ts';
import { SampleLog } from '../sample-log.ts';

export const NOW = 1_795_000_000;
export const witnessSigner = softwareNoteSigner('witness.example/w1', ed25519Key('witness'), 'cosignature');
export const witnessKey = parseVerifierKey(witnessSigner.verifierKey);

export class StoppedClock implements Clock {
  seconds = NOW;
  now(): number {
    return this.seconds * 1000;
  }
  sleep(): Promise<void> {
    return Promise.resolve();
  }
}

export async function newDisk(): Promise<MemoryKeyValueStore<WitnessTable>> {
  const disk = new MemoryKeyValueStore<WitnessTable>(undefined, WITNESS_TABLES);
  await initialiseWitnessStore(disk);
  return disk;
}

export interface TestWitness {
  readonly witness: Witness;
  readonly log: SampleLog;
  readonly clock: StoppedClock;
  readonly disk: MemoryKeyValueStore<WitnessTable>;
  /** Sends the request from `oldSize` to `size`. */
  readonly add: (oldSize: number, size: number) => ReturnType<Witness['addCheckpoint']>;
}

/** A witness over `disk` for one log of 20 leaves. */
export function witnessOver(
  disk: MemoryKeyValueStore<WitnessTable>,
  changes: Partial<WitnessOptions> = {},
  log = new SampleLog().grow(20),
): TestWitness {
  const clock = new StoppedClock();
  const witness = new Witness({
    signer: witnessSigner,
    logs: [{ origin: log.origin, keys: [log.key] }],
    store: openWitnessStore(disk),
    evidence: new EvidenceShelf(disk),
    clock,
    ...changes,
  });
  const add = async (oldSize: number, size: number) => witness.addCheckpoint(await log.request(oldSize, size));
  return { witness, log, clock, disk, add };
}

export const newWitness = async (changes: Partial<WitnessOptions> = {}, log?: SampleLog): Promise<TestWitness> =>
  witnessOver(await newDisk(), changes, log);

/** Seconds of the cosignature by this witness that `lines` are for the checkpoint `note`; throws unless it verifies. */
export function secondsOf(lines: string, note: string): number | null | undefined {
  const { text } = parseNote(utf8(note));
  return verifyNote({ text, signatures: parseSignatureLines(lines) }, [witnessKey])[0]?.seconds;
}
