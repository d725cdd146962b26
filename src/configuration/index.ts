/** Configuration of node and coordinator: typed, frozen, strictly checked. The table is docs/configuration.md. */

export * from './coordinator.ts';
export * from './node.ts';
export { type Environment, type Setting, type Sources, variableOf } from './settings.ts';
export { settingsTable } from './table.ts';
export * from './types.ts';
