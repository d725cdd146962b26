/** `holdfast evidence`: a deployment's evidence as a folder, put together, verified, published and shown (docs/bundles.md). */

import { HoldfastError } from '../../core/index.ts';
import {
  descriptionDigest,
  type EvidenceManifest,
  parseEvidenceManifest,
  parseSigstoreBundle,
  parseStatement,
  type StatementOf,
  verifyEvidence,
} from '../../evidence/index.ts';
import {
  assembleEvidence,
  parseBundleFile,
  publishEvidence,
  readEvidenceFile,
  readEvidenceFolder,
} from '../../operator/index.ts';
import { decodeServiceStatement } from '../../protocol/index.ts';
import {
  type Bundle,
  type LiveManifest,
  parseLeaf,
  readLog,
  requireLive,
  type TrustPolicyText,
} from '../../trust/index.ts';
import { readSmallFile } from '../files.ts';
import type { CommandResult } from '../run.ts';
import { type CosignerFlags, openSite, readTrustSource, requireSubmission, type TrustFlags } from '../trust-source.ts';

const MAXIMUM_BUNDLE = 1_048_576;
const MAXIMUM_FILE = 1_048_576;

/** What a file says that holds a bundle: a text, a note or a trust set. */
export async function readBundle(path: string): Promise<Bundle<LiveManifest>> {
  return requireLive(parseBundleFile(await readSmallFile(path, 'the bundle', MAXIMUM_BUNDLE)).bundle);
}

export async function assemble(folder: string): Promise<CommandResult> {
  const { sha256, size, manifest } = await assembleEvidence(folder);
  return {
    value: { folder, sha256, size, description: manifest.description, statements: manifest.statements.length },
    lines: [...linesOf(manifest), '', `SHA-256    ${sha256}`, 'Publish it next: holdfast evidence publish'],
  };
}

export interface VerifyFlags extends TrustFlags {
  readonly bundle: string;
}

/** Everything that a cosigner checks of it, but for the log and vendors' attestations. */
export async function verify(folder: string, flags: VerifyFlags, signal: AbortSignal): Promise<CommandResult> {
  const { manifest, digest } = await readBundle(flags.bundle);
  const { earlier, policy } = await knownOf(manifest, flags, signal);
  const { evidence, statements, ceremony, nodeKeys } = await verifyEvidence({
    ...{ manifest, earlier, policy },
    read: readEvidenceFile(folder),
  });
  const keys = [...nodeKeys].map(([node, { signed, agreed, unproven }]) => {
    const proven = [...signed, ...agreed.map(({ key }) => key)].join(', ');
    return `  ${node}: possession is proven of ${proven}; not of ${unproven.join(', ') || 'none'}`;
  });
  return {
    value: {
      folder,
      bundle: digest,
      description: evidence.description,
      statements: statements.map(({ entry }) => ({ kind: entry.kind, node: entry.node ?? null, sha256: entry.sha256 })),
      ceremony: ceremony === undefined ? null : { made: ceremony.made, earlier: ceremony.earlier },
    },
    lines: [
      `The evidence of ${manifest.fleet}, serial ${manifest.serial}, is whole, signed and about exactly these keys:`,
      ...linesOf(evidence),
      ...keys,
      'It says who vouches for what. It does not prove that a key is in a token: see docs/trust.md, section 4.',
    ],
  };
}

/** The fleet's accepted bundles, of which a renewal may have the evidence, and the policy in force, where a log was named. */
async function knownOf(
  { fleet, serial }: LiveManifest,
  flags: TrustFlags,
  signal: AbortSignal,
): Promise<{ earlier: readonly LiveManifest[]; policy: TrustPolicyText | undefined }> {
  if (flags.anchor === undefined && flags.policy === undefined) return { earlier: [], policy: undefined };
  const trust = await readTrustSource(flags);
  await using site = openSite(trust);
  const { entries, state } = await readLog(trust.policy, site, { which: 'newest', now: Date.now(), signal });
  const earlier = entries.flatMap((entry) => {
    const leaf = parseLeaf(entry);
    const manifest = leaf.type === 'acceptance' ? leaf.bundle.manifest : undefined;
    return manifest?.fleet === fleet && manifest.serial < serial ? [manifest] : [];
  });
  return { earlier, policy: state.policy };
}

export interface PublishFlags extends CosignerFlags {
  readonly site: string;
  readonly upload: boolean;
}

export async function publish(folder: string, flags: PublishFlags, signal: AbortSignal): Promise<CommandResult> {
  await using submission = await requireSubmission(flags);
  const { site, upload } = flags;
  const named = await publishEvidence({ folder, submission, site: siteOf(site), upload, signal });
  return {
    value: { folder, ...named },
    lines: [
      upload ? 'Every file is with the cosigner, and every statement in its log.' : 'Every statement is in the log.',
      `Name it in the bundle: --evidence ${JSON.stringify(`${folder}/evidence.json`)} --evidence-address ${named.address}`,
    ],
  };
}

/** An origin, below which `/evidence/` is. */
export function siteOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.origin === text) return text;
  throw new HoldfastError('usage', '--site must be where people find the files: https://host:port, nothing more');
}

export async function show(path: string): Promise<CommandResult> {
  const content = await readSmallFile(path, 'the evidence', MAXIMUM_FILE).catch(async (error: unknown) => {
    if (!(error instanceof HoldfastError) || error.code !== 'usage') throw error;
    return (await readEvidenceFolder(path)).content;
  });
  const manifest = manifestIn(content);
  if (manifest) {
    const { description, statements, files } = manifest;
    return { value: { description, statements, files }, lines: linesOf(manifest) };
  }
  const { key, payload } = parseSigstoreBundle(content);
  const statement = parseStatement(payload);
  const text = new TextDecoder().decode(payload);
  return {
    value: { key, statement: JSON.parse(text) as unknown },
    lines: [
      `A ${statement.kind} statement on ${statement.subject.name}, ${statement.subject.sha256}`,
      `as signed by ${key} (not verified here)`,
      ...(statement.kind === 'service-record' ? reportLines(statement) : []),
      ...JSON.stringify(JSON.parse(text), undefined, 2).split('\n'),
    ],
  };
}

/** What is encoded in the reports. */
function reportLines({ predicate }: StatementOf<'service-record'>): string[] {
  return predicate.reports.map(({ statement }) => {
    const { node, time, policy, software, token } = decodeServiceStatement(statement);
    const { limit, lifetimeLimit } = policy;
    const program = `version ${software.version}${software.commit && `, commit ${software.commit}`}, ${software.runtime}`;
    return `  node ${node} at ${new Date(time).toISOString()}: ${limit} guesses, ${lifetimeLimit} in all; ${program}; token ${token.model}, serial ${token.serial}`;
  });
}

function manifestIn(content: Uint8Array): EvidenceManifest | undefined {
  try {
    return parseEvidenceManifest(content);
  } catch {
    return undefined;
  }
}

function linesOf({ description, keys, statements, files }: EvidenceManifest): string[] {
  return [
    `description ${description}`,
    ...keys.map(({ name, algorithm }) => `key         ${name} (${algorithm})`),
    ...statements.map(
      ({ kind, node, key, sha256 }) => `statement   ${[kind, node].filter(Boolean).join(' of ')}, by ${key}, ${sha256}`,
    ),
    ...files.map(({ kind, sha256 }) => `file        ${kind}, ${sha256}`),
  ];
}

export async function describe(path: string): Promise<CommandResult> {
  const { manifest } = await readBundle(path);
  const description = descriptionDigest(manifest);
  return { value: { description }, lines: [description] };
}
