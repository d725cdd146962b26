/** Gathering witnesses' cosignatures for the log's checkpoints. */

export { type GatherEvent, Gatherer, type GathererOptions } from './gatherer.ts';
export type { WitnessTransport } from './witness-client.ts';
