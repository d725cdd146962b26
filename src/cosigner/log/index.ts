/** The transparency log: storage, sequencer, static files. */

export {
  type LogContent,
  NEWEST_CHECKPOINT,
  type Placed,
  TransparencyLog,
  type TransparencyLogOptions,
} from './log.ts';
export {
  type CosignedCheckpoint,
  LOG_TABLES,
  type LogHead,
  type LogStore,
  type LogTable,
  type LogWrite,
  readRows,
  rows,
} from './store.ts';
export { TileFiles, type TileFilesOptions } from './tile-files.ts';
