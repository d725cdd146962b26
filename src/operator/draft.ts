/**
 * Drafts: what an operator decides about a fleet's next bundle. The rest of a manifest (serial, digests of those before it)
 * follows from the log.
 */

import { HoldfastError, parseJson } from '../core/index.ts';
import { DEFAULT_POLICY } from '../protocol/index.ts';
import {
  BUNDLE_TYPE,
  type BundleNode,
  type CanonicalValue,
  canonicalJson,
  type DeployManifest,
  type Evidence,
  type LiveManifest,
  MAXIMUM_BUNDLE_TEXT,
  type PinnedTrust,
  parseBundle,
  requireLive,
  serialiseBundle,
  type TokenClass,
} from '../trust/index.ts';

export interface DeploymentDraft
  extends Pick<DeployManifest, 'policy' | 'nodes' | 'coordinators' | 'authority' | 'notBefore' | 'notAfter'> {
  /** Undefined: 1 for a fleet's first bundle, then one more for every change of membership. */
  readonly epoch: number | undefined;
  /** Memberships of earlier epochs, empty for none. Undefined: what the accepted bundle carries, and that one's own before a new epoch. */
  readonly earlier?: NonNullable<DeployManifest['earlier']>;
  readonly evidence: Pick<Evidence, 'sha256' | 'address'>;
}

const DAY = 86_400_000;
/** Milliseconds for which a bundle is valid unless the draft says otherwise. */
export const DEFAULT_VALIDITY = 365 * DAY;

const MEMBERS = [
  'epoch',
  'notBefore',
  'notAfter',
  'policy',
  'nodes',
  'earlier',
  'coordinators',
  'authority',
  'evidence',
] as const;
const NODE_MEMBERS = ['name', 'operator', 'region', 'identity', 'session', 'oprf', 'tokenClass', 'endpoint'] as const;
/** What `holdfast node keys --json` prints besides. */
const IGNORED_NODE_MEMBERS = ['profile', 'code', 'exitCode'] as const;

export interface DraftDefaults {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** The fleet's last accepted bundle: what a draft does not say stays as it is there. */
  readonly last: LiveManifest | undefined;
  readonly evidence: Pick<Evidence, 'sha256' | 'address'> | undefined;
  /** Instead of the draft's. */
  readonly nodes?: readonly CanonicalValue[];
  readonly coordinators?: readonly string[] | undefined;
}

/**
 * Reads a draft: JSON with members as a manifest has them, all of which may be left out. `text` undefined is an empty one.
 * @throws HoldfastError `bad_input` naming what is wrong or missing.
 */
export function parseDraft(text: string | undefined, defaults: DraftDefaults): DeploymentDraft {
  if (text !== undefined && text.length > MAXIMUM_BUNDLE_TEXT) {
    throw new HoldfastError('bad_input', `the draft has more than ${MAXIMUM_BUNDLE_TEXT} characters`);
  }
  const given = parseJson(text ?? '{}', 'bad_input');
  given.object(MEMBERS);
  const members = { ...(given.value as Members) };
  const { last, now, evidence, coordinators } = defaults;
  const before = last && membersOf(last);
  const nodes = (defaults.nodes ?? members.nodes ?? before?.nodes) as readonly CanonicalValue[] | undefined;
  if (nodes === undefined) throw missing('nodes', 'in the draft, with --nodes or with --fleet');
  if (!Array.isArray(nodes)) throw new HoldfastError('bad_input', 'nodes must be a list');
  const start = Math.floor(now / 1000) * 1000;
  const full: Members = {
    ...(before && {
      coordinators: before.coordinators,
      authority: before.authority,
      evidence: before.evidence,
    }),
    policy: before?.policy ?? defaultPolicy(nodes.length),
    ...members,
    notBefore: members.notBefore ?? timeText(start),
    notAfter: members.notAfter ?? timeText(start + DEFAULT_VALIDITY),
    ...(coordinators && coordinators.length > 0 && { coordinators }),
    ...(evidence && { evidence: { sha256: evidence.sha256, address: evidence.address } }),
    nodes: nodes.map(numbered),
  };
  if (full.coordinators === undefined) throw missing('coordinators', 'in the draft or with --coordinator');
  if (full.evidence === undefined) throw missing('evidence', 'in the draft or with --evidence');
  const epoch = full.epoch as number | undefined;
  if (full.earlier !== undefined && epoch === undefined) throw missing('epoch', 'in a draft with earlier epochs');
  // One reader for all: the draft is read as what it will become.
  const { manifest } = asManifest({ ...full, epoch: epoch ?? 1 });
  const { policy, authority, notBefore, notAfter, earlier } = manifest;
  return {
    epoch,
    policy,
    nodes: manifest.nodes,
    coordinators: manifest.coordinators,
    authority,
    evidence: manifest.evidence,
    notBefore,
    notAfter,
    ...(earlier && { earlier }),
  };
}

/**
 * One node's description: what `holdfast node keys --json` prints, with `operator`, `region`, `tokenClass` and `endpoint`
 * added. Its values are checked as part of a draft.
 * @throws HoldfastError `bad_input`.
 */
export function parseNodeDescription(text: string): CanonicalValue {
  const file = parseJson(text, 'bad_input').object([...NODE_MEMBERS, ...IGNORED_NODE_MEMBERS]);
  return Object.fromEntries(NODE_MEMBERS.map((name) => [name, file.required(name).text(512)]));
}

/** A draft out of a pinned trust file, whose nodes are described by what it does not say. */
export function draftOfPinned(
  trust: PinnedTrust,
  described: {
    /** Of node i at index i - 1. */
    readonly endpoints: readonly string[];
    readonly operator: string;
    readonly region: string;
    readonly tokenClass: TokenClass;
    readonly evidence: Pick<Evidence, 'sha256' | 'address'>;
    readonly notBefore: number;
    readonly notAfter: number;
  },
): DeploymentDraft {
  const { endpoints, operator, region, tokenClass, evidence, notBefore, notAfter } = described;
  const nodes = trust.fleet.nodes.map((keys, i): BundleNode => {
    const endpoint = endpoints[i] ?? '';
    return { name: trust.names[i] ?? '', operator, region, keys, tokenClass, endpoint };
  });
  const { policy, epoch, earlier = [] } = trust.fleet;
  const { coordinators, authority } = trust;
  return { epoch, policy, nodes, earlier, coordinators, authority, evidence, notBefore, notAfter };
}

type Members = { [name: string]: CanonicalValue | undefined };

const PLACES = { vault: 'draft', environment: 'draft', fleet: 'draft', kind: 'deploy', serial: 1 } as const;

function asManifest(members: Members) {
  const nodes = Array.isArray(members.nodes) ? members.nodes.length : 0;
  const threshold = Math.floor(nodes / 2) + 1;
  const all = { ...PLACES, previous: null, accepted: null, threshold, ...members };
  try {
    return requireLive(parseBundle(`${BUNDLE_TYPE}\n${canonicalJson(all)}\n`));
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause;
    throw new HoldfastError('bad_input', `the draft is not valid: ${cause.message}`, { cause });
  }
}

function membersOf(manifest: LiveManifest): Members {
  const [, line] = serialiseBundle(manifest).split('\n');
  return parseJson(line ?? '', 'bundle_malformed').value as Members;
}

function numbered(node: CanonicalValue, i: number): CanonicalValue {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return node;
  return { ...(node as Members), node: i + 1 };
}

/** One share may be missing at enrolment where recovery then still has one to spare: from five nodes on. */
function defaultPolicy(nodes: number): CanonicalValue {
  return { ...DEFAULT_POLICY, minimumShares: nodes >= 5 ? Math.floor(nodes / 2) + 2 : nodes };
}

function timeText(time: number): string {
  return new Date(time).toISOString().replace('.000Z', 'Z');
}

function missing(what: string, where: string): HoldfastError {
  return new HoldfastError(
    'bad_input',
    `${what} must be given ${where}: there is no accepted bundle to take them from`,
  );
}
