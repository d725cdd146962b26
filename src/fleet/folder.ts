/** Where everything of a fleet on one machine lies: one folder, which may be moved and copied while nothing runs. */

import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HoldfastError, parseJson } from '../core/index.ts';
import { writeSoftHsmConfiguration } from '../token/index.ts';

const FORMAT = 'holdfast/fleet-folder/v1';
const MAXIMUM_COORDINATORS = 9;

/** What `fleet.json` says. */
export interface FleetPlan {
  readonly name: string;
  /** 1, 3, 5, 7 or 9. */
  readonly nodes: number;
  readonly coordinators: number;
  /** The first port; `portsOf` says who has which. */
  readonly basePort: number;
}

/** How many ports from `basePort` on belong to a fleet. */
export const PORTS = 40;

export class FleetFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  get plan(): string {
    return join(this.path, 'fleet.json');
  }

  get trust(): string {
    return join(this.path, 'trust.json');
  }

  get tenants(): string {
    return join(this.path, 'tenants.json');
  }

  /** The development tenant's private key and id key; issues user tokens. */
  get tenantKey(): string {
    return join(this.path, 'tenant', 'development.json');
  }

  get authority(): string {
    return join(this.path, 'authority');
  }

  get run(): string {
    return join(this.path, 'run');
  }

  get state(): string {
    return join(this.run, 'state.json');
  }

  get logs(): string {
    return join(this.path, 'logs');
  }

  /** The folder of one process, named as `processNames` does. */
  of(name: string): string {
    return join(this.path, name);
  }

  configuration(name: string): string {
    return join(this.of(name), 'config.json');
  }

  log(name: string): string {
    return join(this.logs, `${name}.log`);
  }

  /** While this file exists, the supervisor does not start that process. */
  held(name: string): string {
    return join(this.run, `${name}.held`);
  }

  /** Its SoftHSM configuration. It names the tokens' folder absolutely, so it is written anew wherever the fleet lies now. */
  softHsm(name: string): string {
    return writeSoftHsmConfiguration(join(this.of(name), 'token'));
  }

  makeRunFolders(): void {
    for (const folder of [this.run, this.logs]) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      chmodSync(folder, 0o700);
    }
  }
}

export const nodeName = (node: number): string => `node-${node}`;
export const coordinatorName = (coordinator: number): string => `coordinator-${coordinator}`;

/** `node-1` and so on, then `coordinator-1` and so on. */
export function processNames(plan: FleetPlan, coordinators: number = plan.coordinators): string[] {
  return [
    ...Array.from({ length: plan.nodes }, (_, i) => nodeName(i + 1)),
    ...Array.from({ length: coordinators }, (_, i) => coordinatorName(i + 1)),
  ];
}

/** The port that a process serves at, and that of its monitoring. */
export function portsOf(plan: Pick<FleetPlan, 'basePort'>, name: string): { service: number; monitoring: number } {
  const [role, number] = name.split(/-(?=\d+$)/) as [string, string];
  const first = plan.basePort + (role === 'coordinator' ? 0 : 20) + Number(number);
  return { service: first, monitoring: first + 10 };
}

/** @throws HoldfastError `usage` where `path` holds no fleet, `bad_input` where its plan is not valid. */
export function readPlan(folder: FleetFolder): FleetPlan {
  let text: string;
  try {
    text = readFileSync(folder.plan, 'utf8');
  } catch (cause) {
    const message = `there is no fleet in ${folder.path}; make one with holdfast fleet create`;
    throw new HoldfastError('usage', message, { cause });
  }
  const file = parseJson(text, 'bad_input').object(['format', 'name', 'nodes', 'coordinators', 'basePort']);
  file.required('format').word([FORMAT]);
  return {
    name: file.required('name').text(64),
    nodes: file.required('nodes').integer(1, 9),
    coordinators: file.required('coordinators').integer(1, MAXIMUM_COORDINATORS),
    basePort: file.required('basePort').integer(1024, 65_535 - PORTS),
  };
}

export function planText(plan: FleetPlan): string {
  return `${JSON.stringify({ format: FORMAT, ...plan }, undefined, 2)}\n`;
}
