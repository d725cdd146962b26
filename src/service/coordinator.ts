/** From a configuration to a running coordinator: opens trust file and certificates. */

import type { CoordinatorConfiguration } from '../configuration/index.ts';
import { type RunningCoordinator, startCoordinatorService } from '../coordinator/http/index.ts';
import { type Clock, HoldfastError, systemClock } from '../core/index.ts';
import { verifyEcdsa, verifyEd25519 } from '../crypto/index.ts';
import { builtPage, createLogger, type Logger, readNamedFile, readPage, readPrivateFile } from '../http/index.ts';
import { type PinnedTrust, parseTrustFile } from '../trust/index.ts';

export interface StartCoordinatorOptions {
  readonly log?: Logger;
  readonly clock?: Clock;
}

/** @throws HoldfastError `usage` or `bad_input`, with nothing left open. */
export async function startCoordinator(
  configuration: CoordinatorConfiguration,
  options: StartCoordinatorOptions = {},
): Promise<RunningCoordinator> {
  const { log = createLogger(configuration.logLevel, { service: 'coordinator' }), clock = systemClock } = options;
  const text = await readNamedFile('the trust file', configuration.trustFile);
  const trust = parseTrustFile(text, { now: Number.NEGATIVE_INFINITY });
  if (clock.now() >= trust.expires) {
    log.warn({ event: 'trust file expired', expires: new Date(trust.expires).toISOString() });
  }
  checkNodes(configuration, trust);
  const authorityPem = await readNamedFile('the authority’s certificate', configuration.nodeTls.authority);
  const nodeTls = {
    authorityPem,
    certificatePem: await readNamedFile('the coordinator’s certificate', configuration.nodeTls.certificate),
    privateKeyPem: await readNamedFile('the coordinator’s private key', configuration.nodeTls.key),
  };
  const tls = configuration.tls && {
    authorityPem,
    certificatePem: await readNamedFile('the certificate for clients', configuration.tls.certificate),
    privateKeyPem: await readNamedFile('the private key for clients', configuration.tls.key),
  };
  const trustSource = await readTrustSource(configuration);
  const dashboard = await readDashboard(configuration, trust, authorityPem);
  const { trustFile: _, logLevel: __, ...settings } = configuration;
  const checks = { ecdsa: verifyEcdsa, ed25519: verifyEd25519 };
  return startCoordinatorService({
    ...settings,
    trustSource,
    dashboard,
    fleet: trust.fleet,
    checks,
    nodeTls,
    tls,
    log,
    clock,
  });
}

async function readTrustSource({ trustSource }: CoordinatorConfiguration) {
  if (!trustSource) return undefined;
  const { urls, authority, interval } = trustSource;
  const what = 'the authority of the sources of trust sets';
  return { urls, interval, authorityPem: authority && (await readNamedFile(what, authority)) };
}

async function readDashboard(
  { dashboard }: CoordinatorConfiguration,
  { expires, coordinators }: PinnedTrust,
  authorityPem: string,
) {
  if (!dashboard) return undefined;
  const { listen, interval, credentialFile } = dashboard;
  const tls = dashboard.tls && {
    authorityPem,
    certificatePem: await readNamedFile('the dashboard’s certificate', dashboard.tls.certificate),
    privateKeyPem: await readNamedFile('the dashboard’s private key', dashboard.tls.key),
  };
  const credential = await readPrivateFile('the dashboard’s credential', credentialFile);
  // Read whole when the service starts, so that what is served is what was there then.
  const page = dashboard.page === undefined ? await builtPage('dashboard') : await readPage(dashboard.page);
  return { listen, tls, interval, credential, page, coordinators: coordinators.length, trustExpires: expires };
}

/** A node under another's name would be refused at every connection: better said at the start. */
function checkNodes({ nodes }: CoordinatorConfiguration, trust: PinnedTrust): void {
  trust.names.forEach((name, i) => {
    const endpoint = nodes.find(({ node }) => node === i + 1);
    if (!endpoint) throw new HoldfastError('usage', `the setting nodes does not have node ${i + 1}, ${name}; add it`);
    if (endpoint.name !== name) {
      throw new HoldfastError('usage', `node ${i + 1} is called ${name} in the trust file; check the setting nodes`);
    }
  });
  if (nodes.length > trust.names.length) {
    throw new HoldfastError('usage', `the fleet has ${trust.names.length} nodes; check the setting nodes`);
  }
}
