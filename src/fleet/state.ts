/** What the supervisor tells others of a running fleet: `run/state.json`, replaced whole at every change. */

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { JsonValue } from '../core/index.ts';
import type { FleetFolder } from './folder.ts';
import type { ProcessIdentity } from './process.ts';

export type ProcessCondition =
  /** It runs. */
  | 'running'
  /** It ended unasked and will be started again. */
  | 'restarting'
  /** It was stopped or killed on request and stays so until it is started. */
  | 'held';

export interface ProcessState {
  readonly name: string;
  readonly condition: ProcessCondition;
  readonly process: ProcessIdentity | undefined;
  /** How often it was started again. */
  readonly restarts: number;
}

export interface FleetState {
  readonly supervisor: ProcessIdentity;
  readonly processes: readonly ProcessState[];
}

export function writeState(folder: FleetFolder, state: FleetState): void {
  const temporary = `${folder.state}.new`;
  writeFileSync(temporary, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(temporary, folder.state);
}

/** The last state, or undefined where there is none that can be read. */
export function readState(folder: FleetFolder): FleetState | undefined {
  try {
    const file = new JsonValue(JSON.parse(readFileSync(folder.state, 'utf8')), '', 'bad_input');
    const object = file.object(['supervisor', 'processes']);
    const processes = object.required('processes').array(0, 32);
    return {
      supervisor: readIdentity(object.required('supervisor')),
      processes: processes.map((item) => {
        const one = item.object(['name', 'condition', 'process', 'restarts']);
        const identity = one.optional('process');
        return {
          name: one.required('name').text(64),
          condition: one.required('condition').word(['running', 'restarting', 'held']),
          process: identity && readIdentity(identity),
          restarts: one.required('restarts').integer(0),
        };
      }),
    };
  } catch {
    return undefined;
  }
}

function readIdentity(value: JsonValue): ProcessIdentity {
  const identity = value.object(['pid', 'started']);
  return { pid: identity.required('pid').integer(1), started: identity.required('started').text(200) };
}
