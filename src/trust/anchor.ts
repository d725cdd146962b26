/** Trust anchors: what a client of bundle mode is given beforehand, and from which it finds and verifies its fleet (docs/bundles.md). */

import { HoldfastError, type JsonValue as Json, parseJson } from '../core/index.ts';
import { readAuthority, readEnvironment, readName, readOrigin } from './fields.ts';
import { MAXIMUM_POLICY_NOTE, parseSignedPolicy, type SignedPolicy, verifyFirstPolicy } from './policy/index.ts';
import { serialiseNote } from './tlog/index.ts';

export interface TrustAnchor {
  /** What the application is for. The same as the policy's, which is checked: each says it for itself. */
  readonly vault: string;
  readonly environment: string;
  /** The policy's first fleet; its successors are found from there. */
  readonly fleet: string;
  /** Signed by its own threshold. Whether it has expired, or is safe, is not for the anchor to say. */
  readonly policy: SignedPolicy;
  /** Origins that serve trust sets, 1 to 32, none of them trusted: the cosigner's and its mirrors'. */
  readonly sources: readonly string[];
  /** PEM certificate of the authority of the sources' HTTPS; undefined for the platform's own authorities. */
  readonly authority: string | undefined;
}

export const TRUST_ANCHOR_FORMAT = 'holdfast/trust-anchor/v1';
/** Characters of a trust anchor. Most of them are the policy's, whose quotation marks and line ends take two each. */
export const MAXIMUM_TRUST_ANCHOR = 196_608;

const MEMBERS = ['format', 'vault', 'environment', 'fleet', 'policy', 'sources', 'authority'] as const;

/**
 * Reads a trust anchor.
 * @throws HoldfastError `bad_input` naming what is wrong, `policy_malformed`, `policy_signatures` or `signature_invalid`
 * for its policy, `wrong_environment` if the policy is for something else.
 */
export function parseTrustAnchor(text: string): TrustAnchor {
  if (text.length > MAXIMUM_TRUST_ANCHOR) {
    throw new HoldfastError('bad_input', `the trust anchor has more than ${MAXIMUM_TRUST_ANCHOR} characters`);
  }
  const file = parseJson(text, 'bad_input').object(MEMBERS);
  file.required('format').word([TRUST_ANCHOR_FORMAT]);
  const anchor = {
    vault: readName(file.required('vault')),
    environment: readEnvironment(file.required('environment')),
    fleet: readName(file.required('fleet')),
    policy: parseSignedPolicy(file.required('policy').text(MAXIMUM_POLICY_NOTE)),
    sources: readSources(file.required('sources')),
    authority: readAuthority(file.optional('authority')),
  };
  checkAnchor(anchor);
  return anchor;
}

/**
 * The file that `parseTrustAnchor` reads back as the same.
 * @throws HoldfastError for what `parseTrustAnchor` would refuse, as it does.
 */
export function serialiseTrustAnchor(anchor: TrustAnchor): string {
  const { vault, environment, fleet, policy, sources, authority } = anchor;
  const members = { vault, environment, fleet, policy: serialiseNote(policy.note), sources };
  const file = { format: TRUST_ANCHOR_FORMAT, ...members, ...(authority !== undefined && { authority }) };
  const text = `${JSON.stringify(file, undefined, 2)}\n`;
  // What leaves here passes the same reader as at the client.
  parseTrustAnchor(text);
  return text;
}

/** The anchor of a policy: its own names, and where to fetch from. Throws as `serialiseTrustAnchor`. */
export function anchorOf(policy: SignedPolicy, sources: readonly string[], authority?: string): TrustAnchor {
  const { vault, environment, fleet } = policy.policy;
  const anchor = { vault, environment, fleet, policy, sources, authority };
  return parseTrustAnchor(serialiseTrustAnchor(anchor));
}

function readSources(value: Json): string[] {
  const sources = value.array(1, 32).map((item) => readOrigin(item));
  return new Set(sources).size === sources.length ? sources : value.fail('must have different origins');
}

function checkAnchor(anchor: TrustAnchor): void {
  for (const name of ['vault', 'environment', 'fleet'] as const) {
    if (anchor[name] === anchor.policy.policy[name]) continue;
    throw new HoldfastError('wrong_environment', `the trust anchor and its policy are for another ${name} each`, {
      details: { anchor: anchor[name], policy: anchor.policy.policy[name] },
    });
  }
  verifyFirstPolicy(anchor.policy);
}
