/** Where operators' commands take the trust policy and the log from, and how they reach the cosigner. */

import { HoldfastError } from '../core/index.ts';
import { CosignerSite, HttpSubmission } from '../operator/index.ts';
import {
  MAXIMUM_POLICY_NOTE,
  MAXIMUM_TRUST_ANCHOR,
  parseSignedPolicy,
  parseTrustAnchor,
  type SignedPolicy,
} from '../trust/index.ts';
import { readParsed, readTextFile } from './files.ts';

export interface TrustFlags {
  /** A trust anchor: policy and where the log is. */
  readonly anchor?: string;
  /** A signed trust policy instead. */
  readonly policy?: string;
  /** Origin of the log, instead of the anchor's first source. */
  readonly log?: string;
  /** PEM file. */
  readonly logAuthority?: string;
}

export interface CosignerFlags {
  readonly cosigner?: string;
  readonly authority?: string;
  readonly certificate?: string;
  readonly key?: string;
}

const MAXIMUM_PEM = 65_536;

export interface TrustSource {
  readonly policy: SignedPolicy;
  /** The policy's first fleet. */
  readonly fleet: string;
  /** Undefined where neither anchor nor `--log` was given. */
  readonly url: string | undefined;
  readonly authority: string | undefined;
}

/** @throws HoldfastError `usage` where it is not said, or said twice; as the readers of both files. */
export async function readTrustSource(flags: TrustFlags): Promise<TrustSource> {
  const { anchor: anchorPath, policy: policyPath, log, logAuthority } = flags;
  if ((anchorPath === undefined) === (policyPath === undefined)) {
    throw new HoldfastError('usage', 'name the trust anchor (--anchor FILE) or a signed trust policy (--policy FILE)');
  }
  const given = logAuthority === undefined ? undefined : await readTextFile(logAuthority, 'the authority', MAXIMUM_PEM);
  if (anchorPath !== undefined) {
    const anchor = await readParsed(anchorPath, 'the trust anchor', MAXIMUM_TRUST_ANCHOR, parseTrustAnchor);
    const url = log ?? anchor.sources[0];
    return { policy: anchor.policy, fleet: anchor.fleet, url, authority: given ?? anchor.authority };
  }
  const policy = await readParsed(policyPath!, 'the trust policy', MAXIMUM_POLICY_NOTE, parseSignedPolicy);
  return { policy, fleet: policy.policy.fleet, url: log, authority: given };
}

/** The site of the log. @throws HoldfastError `usage` where its address is not known. */
export function openSite({ url, authority }: TrustSource): CosignerSite {
  if (url === undefined) throw new HoldfastError('usage', 'say where the log is: --anchor FILE, or --log URL');
  return new CosignerSite({ url, authority });
}

/**
 * The way to the cosigner over mutual TLS, or undefined where no `--cosigner` was given.
 * @throws HoldfastError `usage` where certificate, key or authority is missing or cannot be read.
 */
export async function openSubmission(flags: CosignerFlags): Promise<HttpSubmission | undefined> {
  const { cosigner: url, authority, certificate, key } = flags;
  if (url === undefined) return undefined;
  if (authority === undefined || certificate === undefined || key === undefined) {
    throw new HoldfastError('usage', 'the cosigner asks for your certificate: --certificate, --key and --authority');
  }
  const read = (path: string, what: string) => readTextFile(path, what, MAXIMUM_PEM);
  const tls = {
    authorityPem: await read(authority, 'the authority’s certificate'),
    certificatePem: await read(certificate, 'your certificate'),
    privateKeyPem: await read(key, 'your private key'),
  };
  return new HttpSubmission({ url, tls });
}

/** As `openSubmission`. @throws HoldfastError `usage` also without `--cosigner`. */
export async function requireSubmission(flags: CosignerFlags): Promise<HttpSubmission> {
  const submission = await openSubmission(flags);
  if (submission) return submission;
  throw new HoldfastError('usage', 'name the cosigner’s address for operators: --cosigner URL');
}
