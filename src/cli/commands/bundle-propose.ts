/** `holdfast bundle propose` and `retire`: the next manifest of a fleet, written to a file or sent to the cosigner. */

import { type ErrorDetails, HoldfastError, parseJson } from '../../core/index.ts';
import { draftOfFleet, FleetFolder, madeEvidence } from '../../fleet/index.ts';
import {
  type DeploymentDraft,
  evidenceOf,
  type LogView,
  nextDeployment,
  nextRetirement,
  parseDraft,
  parseNodeDescription,
  readLog,
  propose as submitProposal,
} from '../../operator/index.ts';
import {
  type Bundle,
  type CanonicalValue,
  digestOf,
  type Evidence,
  type LiveManifest,
  MAXIMUM_TRUST_FILE,
  parseTrustFile,
  type SignedPolicy,
  TOKEN_CLASSES,
} from '../../trust/index.ts';
import { diffLines, diffValue, manifestLines } from '../bundle-text.ts';
import { readSmallFile, readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';
import { type CosignerFlags, openSite, openSubmission, readTrustSource, type TrustFlags } from '../trust-source.ts';

export interface ProposalFlags extends TrustFlags, CosignerFlags {
  readonly fleetName?: string;
  readonly evidence?: string;
  readonly evidenceAddress?: string;
  readonly out?: string;
}

export interface ProposeFlags extends ProposalFlags {
  readonly fleet?: string;
  readonly nodes?: readonly string[];
  readonly draft?: string;
  readonly trustFile?: string;
  readonly coordinator?: readonly string[];
  readonly notAfter?: number;
  readonly operator?: string;
  readonly region?: string;
  readonly tokenClass?: string;
}

export interface RetireFlags extends ProposalFlags {
  readonly successor: string;
  readonly sunset: number;
}

/** Bytes of the evidence's manifest. */
const MAXIMUM_EVIDENCE = 64 * 1024 * 1024;
const MAXIMUM_DRAFT = 65_536;

type Members = { readonly [name: string]: CanonicalValue | undefined };

const KEYS_OF_A_NODE = ['name', 'identity', 'session', 'oprf'] as const;
/** Members that trust files and manifests write alike. */
const FROM_THE_TRUST_FILE = ['epoch', 'policy', 'earlier', 'coordinators', 'authority'] as const;

/** The empty file's digest and a reserved name (RFC 2606): no cosigner takes it for evidence. */
const NO_EVIDENCE_YET: Pick<Evidence, 'sha256' | 'address'> = {
  sha256: digestOf(''),
  address: 'https://evidence.invalid/not-yet',
};

export async function propose(flags: ProposeFlags, signal: AbortSignal): Promise<CommandResult> {
  const ways = [flags.fleet, flags.nodes, flags.draft].filter((way) => way !== undefined);
  if (flags.fleet !== undefined && (ways.length > 1 || flags.trustFile !== undefined)) {
    throw new HoldfastError(
      'usage',
      '--fleet describes the whole fleet; use it without --nodes, --draft and --trust-file',
    );
  }
  const evidence = await readEvidence(flags);
  return await withView(flags, signal, evidence, async (view, fleet) => {
    const last = view.state.fleets.get(fleet)?.accepted?.manifest;
    const draft =
      flags.fleet === undefined
        ? await draftOf(flags, last, evidence)
        : await draftOfFolder(flags.fleet, flags, view.policy, evidence ?? last?.evidence);
    const whole = flags.notAfter === undefined ? draft : { ...draft, notAfter: flags.notAfter };
    return nextDeployment(view.state, fleet, whole);
  });
}

export async function retire(flags: RetireFlags, signal: AbortSignal): Promise<CommandResult> {
  const evidence = await readEvidence(flags);
  return await withView(flags, signal, evidence, async (view, fleet) => {
    const { successor, sunset } = flags;
    return nextRetirement(view.state, fleet, { successor, sunset, now: Date.now(), evidence });
  });
}

/** Reads the log, makes the bundle, shows it, and writes or sends it. */
async function withView(
  flags: ProposalFlags,
  signal: AbortSignal,
  evidence: Evidence | undefined,
  make: (view: LogView, fleet: string) => Promise<Bundle<LiveManifest>>,
): Promise<CommandResult> {
  if (flags.out === undefined && flags.cosigner === undefined) {
    throw new HoldfastError('usage', 'say where the bundle goes: --out FILE, --cosigner URL, or both');
  }
  const trust = await readTrustSource(flags);
  const fleet = flags.fleetName ?? trust.fleet;
  await using site = openSite(trust);
  await using submission = await openSubmission(flags);
  const view = await readLog(trust.policy, site, { which: 'newest', now: Date.now(), signal });
  const bundle = await make(view, fleet);
  const { digest, manifest, text } = bundle;
  const accepted = view.state.fleets.get(fleet)?.accepted?.manifest;
  const shown = [...manifestLines(manifest, digest), '', ...diffLines(accepted, manifest), ''];
  if (flags.out !== undefined) await writeWholeFile(flags.out, text, { mode: 0o644, overwrite: false });
  const value = {
    fleet,
    kind: manifest.kind,
    serial: manifest.serial,
    epoch: manifest.epoch,
    digest,
    ...diffValue(accepted, manifest),
  };
  if (submission === undefined) {
    return {
      value: { ...value, status: 'written' },
      lines: [
        ...shown,
        `The unsigned text is in ${JSON.stringify(flags.out)}; nothing was sent.`,
        ...(manifest.evidence.address === NO_EVIDENCE_YET.address
          ? ['It names no evidence yet; what evidence is about: holdfast evidence describe']
          : []),
      ],
    };
  }
  const answer = await submitProposal(bundle, evidence, { submission, policy: view.policy, signal });
  const next =
    answer.status === 'pending'
      ? 'It waits for the cosigner’s person: holdfast bundle cosign'
      : 'It is signed and logged. Next, which waits for the witnesses: holdfast bundle countersign';
  return {
    value: { ...value, status: answer.status, ...(answer.status === 'logged' && { index: answer.index }) },
    lines: [...shown, next],
  };
}

async function readEvidence({ evidence, evidenceAddress }: ProposalFlags): Promise<Evidence | undefined> {
  if (evidence === undefined && evidenceAddress === undefined) return undefined;
  if (evidence === undefined || evidenceAddress === undefined) {
    throw new HoldfastError(
      'usage',
      'evidence needs both, the file and where it is published: --evidence, --evidence-address',
    );
  }
  return evidenceOf(await readSmallFile(evidence, 'the evidence', MAXIMUM_EVIDENCE), evidenceAddress);
}

async function draftOf(flags: ProposeFlags, last: LiveManifest | undefined, evidence: Evidence | undefined) {
  const { draft, nodes, coordinator, trustFile } = flags;
  const described = [];
  for (const path of nodes ?? []) {
    described.push(
      named(path, parseNodeDescription, await readTextFile(path, 'the description of a node', MAXIMUM_DRAFT)),
    );
  }
  const text = draft === undefined ? undefined : await readTextFile(draft, 'the draft', MAXIMUM_DRAFT);
  const members = trustFile === undefined ? text : await withTrustFile(trustFile, described, text);
  return parseDraft(members, {
    now: Date.now(),
    last,
    // A text that is only written may come before its evidence, which is about it.
    evidence: evidence ?? (flags.cosigner === undefined && last === undefined ? NO_EVIDENCE_YET : undefined),
    ...(described.length > 0 && { nodes: described }),
    coordinators: coordinator,
  });
}

/**
 * The draft, and before it what the nodes' own trust file says of the fleet, so that the bundle cannot differ from it.
 * @throws HoldfastError `bad_input` where a node is described that has another name or other keys there.
 */
async function withTrustFile(
  path: string,
  described: readonly CanonicalValue[],
  draft: string | undefined,
): Promise<string> {
  const text = await readTextFile(path, 'the trust file', MAXIMUM_TRUST_FILE);
  const { names } = parseTrustFile(text, { now: Date.now() });
  const file = membersOf(text);
  const nodes = file.nodes as readonly Members[];
  const differs = described.findIndex((node, i) =>
    KEYS_OF_A_NODE.some((name) => (node as Members)[name] !== nodes[i]?.[name]),
  );
  if (differs >= 0 || (described.length > 0 && described.length !== names.length)) {
    const which = differs < 0 ? `${names.length} nodes` : `node ${differs + 1}`;
    throw new HoldfastError('bad_input', `${which} of ${JSON.stringify(path)} and of --nodes are not the same`);
  }
  const taken = FROM_THE_TRUST_FILE.flatMap((name) => (file[name] === undefined ? [] : [[name, file[name]] as const]));
  return JSON.stringify({ ...Object.fromEntries(taken), ...(draft !== undefined && membersOf(draft)) });
}

function membersOf(text: string): Members {
  const { value } = parseJson(text, 'bad_input');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members;
  throw new HoldfastError('bad_input', 'the draft must be a JSON object');
}

function named<T>(path: string, read: (text: string) => T, text: string): T {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    throw new HoldfastError(error.code, `${JSON.stringify(path)}: ${error.message}`, { cause: error });
  }
}

/** A fleet on this machine, as `fleet announce` describes it but for what the flags say. */
async function draftOfFolder(
  path: string,
  flags: ProposeFlags,
  policy: SignedPolicy,
  evidence: Pick<Evidence, 'sha256' | 'address'> | undefined,
): Promise<DeploymentDraft> {
  const folder = new FleetFolder(path);
  const tokenClass = TOKEN_CLASSES.find((known) => known === (flags.tokenClass ?? 'emulated'));
  if (tokenClass === undefined) {
    const details: ErrorDetails = { classes: TOKEN_CLASSES };
    throw new HoldfastError('usage', `--token-class must be one of ${TOKEN_CLASSES.join(', ')}`, { details });
  }
  const plain = await draftOfFleet(folder);
  const nodes = plain.nodes.map((node) => ({
    ...node,
    tokenClass,
    ...(flags.operator !== undefined && { operator: flags.operator }),
    ...(flags.region !== undefined && { region: flags.region }),
  }));
  const draft = { ...plain, nodes };
  const named = flags.evidence === undefined ? await madeEvidence(folder, draft, policy) : undefined;
  const found = named ?? evidence;
  if (found) return { ...draft, evidence: { sha256: found.sha256, address: found.address } };
  throw new HoldfastError('usage', 'a fleet’s first bundle needs evidence: --evidence FILE --evidence-address URL');
}
