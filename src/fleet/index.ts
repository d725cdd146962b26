/** A whole fleet on one machine: made, run, watched and stopped. For development, demonstrations and tests. */

export {
  type AnnounceFleetOptions,
  announceFleet,
  draftOfFleet,
  type OperatorDesk,
  openDesk,
} from './announce.ts';
export { type HoldfastCommand, type ProcessPurpose, runJson } from './command.ts';
export { killProcess, startProcesses, stopFleet, type WaitOptions, waitForFleet } from './control.ts';
export { type CreateFleetOptions, createFleet } from './create.ts';
export { madeEvidence } from './evidence.ts';
export {
  FleetFolder,
  type FleetPlan,
  logFolderOf,
  nodeName,
  portsOf,
  processNames,
  readPlan,
  roleOf,
} from './folder.ts';
export { type KeepAnnouncedOptions, keepAnnounced } from './keep-announced.ts';
export { identityOf, isAlive, type ProcessIdentity } from './process.ts';
export { type RecordedFleet, type RecordFleetOptions, recordFleet } from './record.ts';
export { type Replaced, type ReplaceNodeOptions, replaceNode } from './replace.ts';
export {
  type Ended,
  publishBundle,
  type RetireOptions,
  type RevokeOptions,
  retireFleet,
  revokeFleet,
} from './retire.ts';
export { readState } from './state.ts';
export {
  type Dashboards,
  type FleetBundle,
  type FleetStatus,
  fleetStatus,
  type ProcessStatus,
  type StatusParts,
} from './status.ts';
export { endProcess, Supervisor, type SupervisorOptions } from './supervisor.ts';
export { readTenantKey } from './tenant.ts';
