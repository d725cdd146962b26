/**
 * Where people, pages and audits begin when they know nothing but a site's address (docs/cosigner.md): a trust anchor, and an
 * index of what else is there. Both come from the party that is being checked, and prove nothing.
 */

import { HoldfastError, utf8 } from '../../core/index.ts';
import {
  anchorOf,
  type CanonicalValue,
  canonicalJson,
  type LogState,
  nextRoster,
  originOf,
  type SignedPolicy,
  serialiseTrustAnchor,
} from '../../trust/index.ts';
import type { TileFiles } from '../log/index.ts';

export const SITE_FILES = ['anchor.json', 'site.json'] as const;
export const SITE_FORMAT = 'holdfast/site/v1';

export interface SiteOptions {
  readonly files: Pick<TileFiles, 'replace'>;
  /** The newest trust policy with its signatures. */
  readonly policy: () => SignedPolicy;
  readonly state: () => LogState;
}

/** Writes both files anew. Without an address of the log in the policy there is nothing that an audit could begin from. */
export async function publishSite({ files, policy, state }: SiteOptions): Promise<void> {
  const signed = policy();
  const anchor = anchorText(signed);
  if (anchor !== undefined) await files.replace('anchor.json', utf8(anchor));
  await files.replace('site.json', utf8(`${canonicalJson(indexOf(signed, state()))}\n`));
}

/** Undefined where the policy names no origin that clients may fetch from. */
function anchorText(signed: SignedPolicy): string | undefined {
  const url = signed.tlog.logs[0]?.url;
  if (url === undefined || !URL.canParse(url) || new URL(url).pathname !== '/') return undefined;
  try {
    return serialiseTrustAnchor(anchorOf(signed, [new URL(url).origin]));
  } catch (error) {
    // Such as plain HTTP inside a network: a site that serves everything else all the same.
    if (error instanceof HoldfastError) return undefined;
    throw error;
  }
}

function indexOf(signed: SignedPolicy, state: LogState): CanonicalValue {
  const { policy, tlog } = signed;
  const { vault, environment, version, organisations, auditors } = policy;
  return {
    ...{ format: SITE_FORMAT, vault, environment, origin: originOf(signed) },
    ...{ anchor: 'anchor.json', checkpoint: 'checkpoint', policies: state.policyLogged ? [`policies/${version}`] : [] },
    witnesses: tlog.witnesses.map(({ key, url }) => ({
      name: key.name,
      organisation: organisations.get(key.name) ?? null,
      url: url ?? null,
      audits: auditors.some(({ text }) => text === key.text),
    })),
    fleets: nextRoster(state).fleets.map(({ fleet, serial, digest, state: standing }) => ({
      ...{ fleet, serial, digest, state: standing, trustSet: `trust/${fleet}`, bundle: `trust/bundles/${digest}` },
      evidence: evidenceOf(state, fleet),
    })),
  };
}

function evidenceOf(state: LogState, fleet: string): CanonicalValue {
  const accepted = state.fleets.get(fleet)?.accepted;
  if (!accepted) throw new HoldfastError('unexpected', `the roster has ${fleet}, of which nothing was accepted`);
  const { sha256, address } = accepted.manifest.evidence;
  return { sha256, address, file: `evidence/${sha256}.json` };
}
