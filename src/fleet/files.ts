/** The files of one process of a fleet on this machine: its token, certificate and configuration. */

import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromBase64Url, systemRandom, toBase64Url } from '../core/index.ts';
import { type CertificateRequest, issueCertificate } from '../pki/index.ts';
import type { NodeKeys } from '../protocol/index.ts';
import { writeSoftHsmConfiguration } from '../token/index.ts';
import { type HoldfastCommand, runJson } from './command.ts';
import { type FleetPlan, nodeName, portsOf } from './folder.ts';
import { HOST } from './host.ts';

/** A container's loopback is its own. */
const EVERY_ADDRESS = '0.0.0.0';
const DAY = 86_400_000;
export const YEAR = 366 * DAY;
export const CERTIFICATE_YEARS = 5;

/** Where a process finds its certificate, and its authority's. */
export const CERTIFICATE_FILES = {
  authority: '../authority/authority.pem',
  certificate: 'certificate.pem',
  key: 'certificate.key',
};

/** Never over a file that is there. */
export const write = (path: string, text: string, mode: number) => writeFile(path, text, { mode, flag: 'wx' });

/** In the place of what is there, whole or not at all: others look for the file at any moment. */
export async function writeWhole(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  await writeFile(`${path}.partial`, content, { mode });
  await rename(`${path}.partial`, path);
}

export const json = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;
export const randomPin = () => toBase64Url(systemRandom(18));

export interface NodeTokenOptions {
  /** The node's folder, to be made. */
  readonly own: string;
  readonly name: string;
  readonly fleet: string;
  readonly module: string;
  readonly command: HoldfastCommand;
  readonly signal: AbortSignal | undefined;
}

/** Where others of the fleet find a process. */
export const hostOf = ({ named }: FleetPlan, name: string): string => (named ? name : HOST);

/** A new SoftHSM token with its PINs and a node's keys. @throws HoldfastError `token_*`, `cancelled`. */
export async function makeNodeToken({
  own,
  name,
  fleet,
  module,
  command,
  signal,
}: NodeTokenOptions): Promise<NodeKeys> {
  await mkdir(own, { mode: 0o700 });
  await write(join(own, 'so-pin'), `${randomPin()}\n`, 0o600);
  await write(join(own, 'pin'), `${randomPin()}\n`, 0o600);
  const environment = { ...command.environment, SOFTHSM2_CONF: writeSoftHsmConfiguration(join(own, 'token')) };
  const result = await runJson(
    { ...command, environment },
    [
      ...['node', 'keys', '--module', module, '--label', name, '--fleet', fleet, '--name', name],
      ...['--pin-file', join(own, 'pin'), '--so-pin-file', join(own, 'so-pin')],
    ],
    signal,
  );
  const key = (which: keyof NodeKeys) => fromBase64Url(String(result[which]));
  return { identity: key('identity'), session: key('session'), oprf: key('oprf') };
}

/** Issues a certificate for services on this machine, and writes it with its key as `file`.pem and `file`.key. */
export async function issueTo(
  own: string,
  file: string,
  request: Omit<CertificateRequest, 'hosts'>,
  ...names: readonly string[]
): Promise<void> {
  const issued = await issueCertificate({ ...request, hosts: [HOST, '::1', 'localhost', ...names] });
  await write(join(own, `${file}.pem`), issued.certificatePem, 0o644);
  await write(join(own, `${file}.key`), issued.privateKeyPem, 0o600);
}

export function listeners(plan: FleetPlan, name: string) {
  const { service, monitoring } = portsOf(plan, name);
  const host = plan.named ? EVERY_ADDRESS : HOST;
  return { listen: { host, port: service }, metrics: { host, port: monitoring } };
}

/** Paths are relative to the file, so the whole folder can be moved. */
export function nodeConfiguration(plan: FleetPlan, node: number, module: string): string {
  const name = nodeName(node);
  return json({
    trustFile: '../trust.json',
    node,
    token: {
      module,
      label: name,
      pinFile: 'pin',
      softhsmConfiguration: 'token/softhsm2.conf',
      syncFolder: 'token/tokens',
    },
    store: { directory: 'store' },
    ...listeners(plan, name),
    tls: CERTIFICATE_FILES,
    tenants: '../tenants.json',
  });
}
