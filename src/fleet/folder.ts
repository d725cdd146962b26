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
  /** Whether it runs a cosigner with its log and witnesses, is in the log of another fleet's, or in none (pinned mode). */
  readonly log: LogPlan;
  /** Whether each process is reached by its name (`node-1`, `cosigner`), as containers are, and not on loopback. Default false. */
  readonly named?: boolean;
}

export type LogPlan =
  | { readonly kind: 'own' | 'none' }
  /** `folder` is the other fleet's, relative to this one's. */
  | { readonly kind: 'joined'; readonly folder: string };

/** How many ports from `basePort` on belong to a fleet. */
export const PORTS = 60;
export const WITNESSES = 3;

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

  /** The trust anchor of clients of bundle mode. */
  get client(): string {
    return join(this.path, 'client.json');
  }

  /** The signed trust policy. */
  get policy(): string {
    return join(this.path, 'policy.note');
  }

  /** Evidence of the deployment, in a folder for each description of the fleet that there was. */
  get evidence(): string {
    return join(this.path, 'evidence');
  }

  get tenants(): string {
    return join(this.path, 'tenants.json');
  }

  /** The development tenant's private key and id key; issues user tokens. */
  get tenantKey(): string {
    return join(this.path, 'tenant', 'development.json');
  }

  /** The credential of the operator's dashboards, of all coordinators. Fleets that were made before there were any have none. */
  get dashboardCredential(): string {
    return join(this.path, 'dashboard.credential');
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

  /** Why the fleet's bundle is not accepted; there only while it is not. */
  get announcement(): string {
    return join(this.run, 'announcement.json');
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

export const witnessName = (witness: number): string => `witness-${witness}`;
export const COSIGNER = 'cosigner';

/** `node-1` and so on, then `coordinator-1` and so on, then cosigner and witnesses where the fleet has its own. */
export function processNames(plan: Omit<FleetPlan, 'name'>, coordinators: number = plan.coordinators): string[] {
  const own = plan.log.kind === 'own';
  return [
    ...Array.from({ length: plan.nodes }, (_, i) => nodeName(i + 1)),
    ...Array.from({ length: coordinators }, (_, i) => coordinatorName(i + 1)),
    ...(own ? [COSIGNER] : []),
    ...Array.from({ length: own ? WITNESSES : 0 }, (_, i) => witnessName(i + 1)),
  ];
}

export type ProcessRole = 'node' | 'coordinator' | 'cosigner' | 'witness';

export function roleOf(name: string): ProcessRole {
  return name.split('-', 1)[0] as ProcessRole;
}

/** The folder of the fleet in whose log this one is, itself or another; undefined for none. */
export function logFolderOf(folder: FleetFolder, { log }: FleetPlan): FleetFolder | undefined {
  if (log.kind === 'joined') return new FleetFolder(resolve(folder.path, log.folder));
  return log.kind === 'own' ? folder : undefined;
}

/** The port that a process serves at, and that of its monitoring. */
export function portsOf(plan: Pick<FleetPlan, 'basePort'>, name: string): { service: number; monitoring: number } {
  const [, number = '0'] = name.split(/-(?=\d+$)/);
  const first = plan.basePort + FIRST_PORT[roleOf(name)] + Number(number);
  return { service: first, monitoring: first + 10 };
}

const FIRST_PORT: Readonly<Record<ProcessRole, number>> = { coordinator: 0, node: 20, cosigner: 40, witness: 41 };

/** The port of a coordinator's dashboard, in what others leave free. */
export function dashboardPortOf({ basePort }: Pick<FleetPlan, 'basePort'>, coordinator: number): number {
  return basePort + (coordinator <= 5 ? 44 : 49) + coordinator;
}

/** Where operators send bundles to the cosigner. */
export const submissionPortOf = ({ basePort }: Pick<FleetPlan, 'basePort'>): number => basePort + 41;

/** @throws HoldfastError `usage` where `path` holds no fleet, `bad_input` where its plan is not valid. */
export function readPlan(folder: FleetFolder): FleetPlan {
  let text: string;
  try {
    text = readFileSync(folder.plan, 'utf8');
  } catch (cause) {
    const message = `there is no fleet in ${folder.path}; make one with holdfast fleet create`;
    throw new HoldfastError('usage', message, { cause });
  }
  try {
    return parsePlan(text);
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause;
    throw new HoldfastError('bad_input', `the fleet’s plan, ${folder.plan}: ${cause.message}`, { cause });
  }
}

function parsePlan(text: string): FleetPlan {
  const file = parseJson(text, 'bad_input').object([
    ...['format', 'name', 'nodes', 'coordinators', 'basePort', 'log', 'named'],
  ]);
  file.required('format').word([FORMAT]);
  // Fleets that were made before there were logs have none.
  const log = file.optional('log')?.object(['kind', 'folder']);
  const kind = log?.required('kind').word(['own', 'joined', 'none'] as const) ?? 'none';
  return {
    name: file.required('name').text(64),
    nodes: file.required('nodes').integer(1, 9),
    coordinators: file.required('coordinators').integer(1, MAXIMUM_COORDINATORS),
    basePort: file.required('basePort').integer(1024, 65_535 - PORTS),
    ...(file.optional('named')?.boolean() && { named: true }),
    log: kind === 'joined' ? { kind, folder: log!.required('folder').text(4096) } : { kind },
  };
}

export function planText(plan: FleetPlan): string {
  return `${JSON.stringify({ format: FORMAT, ...plan }, undefined, 2)}\n`;
}
