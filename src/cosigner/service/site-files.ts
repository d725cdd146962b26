/**
 * Where people, pages and audits begin when they know nothing but a site's address (docs/cosigner.md): a trust anchor, and an
 * index of what else is there. Both come from the party that is being checked, and prove nothing.
 */

import { HoldfastError, utf8 } from '../../core/index.ts';
import {
  anchorOf,
  type CanonicalValue,
  canonicalJson,
  originOf,
  parseLeaf,
  type RosterEntry,
  type SignedPolicy,
  serialiseTrustAnchor,
} from '../../trust/index.ts';
import type { CosignedCheckpoint, TileFiles, TransparencyLog } from '../log/index.ts';

export const SITE_FILES = ['anchor.json', 'site.json'] as const;
/** What the two say, by their names. */
export type SiteTexts = ReadonlyMap<string, string>;
export const SITE_FORMAT = 'holdfast/site/v1';

export interface SiteOptions {
  readonly files: Pick<TileFiles, 'replace'>;
  readonly log: Pick<TransparencyLog, 'entry'>;
  /**
   * The trust policy that counts at the checkpoint, with its signatures: whoever begins with a later one does not believe trust
   * sets whose checkpoint only the witnesses of this one have cosigned.
   */
  readonly policy: SignedPolicy;
  /** Whether it is in the log at the checkpoint. */
  readonly policyLogged: boolean;
  /** The checkpoint whose trust sets are published: the index leads to no set that is not there yet. */
  readonly checkpoint: CosignedCheckpoint | undefined;
}

/**
 * Writes both files anew. Without an address of the log in the policy there is nothing that an audit could begin from.
 * @returns what they say.
 */
export async function publishSite(options: SiteOptions): Promise<SiteTexts> {
  const { files, policy } = options;
  const anchor = anchorText(policy);
  const texts = new Map([
    ...(anchor === undefined ? [] : [['anchor.json', anchor] as const]),
    ['site.json', `${canonicalJson(indexOf(options))}\n`] as const,
  ]);
  for (const [name, text] of texts) await files.replace(name, utf8(text));
  return texts;
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

function indexOf({ policy: signed, policyLogged, checkpoint, log }: SiteOptions): CanonicalValue {
  const { policy, tlog } = signed;
  const { vault, environment, version, organisations, auditors } = policy;
  return {
    ...{ format: SITE_FORMAT, vault, environment, origin: originOf(signed) },
    ...{ anchor: 'anchor.json', checkpoint: 'checkpoint', policies: policyLogged ? [`policies/${version}`] : [] },
    witnesses: tlog.witnesses.map(({ key, url }) => ({
      name: key.name,
      organisation: organisations.get(key.name) ?? null,
      url: url ?? null,
      audits: auditors.some(({ text }) => text === key.text),
    })),
    fleets: fleetsOf(checkpoint, log).map((entry) => ({
      ...{ fleet: entry.fleet, serial: entry.serial, digest: entry.digest, state: entry.state },
      ...{ trustSet: `trust/${entry.fleet}`, bundle: `trust/bundles/${entry.digest}` },
      evidence: evidenceOf(entry, log),
    })),
  };
}

/** As the roster of the checkpoint has them, its last leaf. */
function fleetsOf(checkpoint: CosignedCheckpoint | undefined, log: SiteOptions['log']): readonly RosterEntry[] {
  if (!checkpoint) return [];
  const roster = leafAt(checkpoint.size - 1, log);
  if (roster.type !== 'roster') throw new HoldfastError('unexpected', 'a checkpoint does not end in a roster');
  return roster.roster.fleets;
}

function evidenceOf({ fleet, index }: RosterEntry, log: SiteOptions['log']): CanonicalValue {
  const leaf = leafAt(index, log);
  if (leaf.type !== 'acceptance') {
    throw new HoldfastError('unexpected', `the roster has ${fleet}, of which nothing was accepted`);
  }
  const { sha256, address } = leaf.bundle.manifest.evidence;
  return { sha256, address, file: `evidence/${sha256}.json` };
}

function leafAt(index: number, log: SiteOptions['log']) {
  const entry = log.entry(index);
  if (!entry) throw new HoldfastError('unexpected', `leaf ${index} is not in the log`);
  return parseLeaf(entry);
}
