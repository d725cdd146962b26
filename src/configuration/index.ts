/** Configuration of all services: typed, frozen, strictly checked. The tables are in docs/configuration.md. */

export {
  COORDINATOR_PREFIX,
  COORDINATOR_SETTINGS,
  type CoordinatorConfiguration,
  loadCoordinatorConfiguration,
} from './coordinator.ts';
export * from './cosigner.ts';
export * from './monitor.ts';
export * from './node.ts';
export { type Environment, type Setting, type Sources, variableOf } from './settings.ts';
export { settingsTable } from './table.ts';
export {
  applyTokenEnvironment,
  type PinConfiguration,
  SIGNING_TOKEN_SETTINGS,
  type SigningTokenConfiguration,
} from './token.ts';
export * from './types.ts';
export * from './witness.ts';
