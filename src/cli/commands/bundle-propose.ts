/** `holdfast bundle propose` and `retire`: the next manifest of a fleet, written to a file or sent to the cosigner. */

import { type ErrorDetails, HoldfastError } from '../../core/index.ts';
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
import { type Bundle, type Evidence, type LiveManifest, type SignedPolicy, TOKEN_CLASSES } from '../../trust/index.ts';
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

export async function propose(flags: ProposeFlags, signal: AbortSignal): Promise<CommandResult> {
  const ways = [flags.fleet, flags.nodes, flags.draft].filter((way) => way !== undefined);
  if (flags.fleet !== undefined && ways.length > 1) {
    throw new HoldfastError('usage', '--fleet describes the whole fleet; use it without --nodes and --draft');
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
      lines: [...shown, `The unsigned text is in ${JSON.stringify(flags.out)}; nothing was sent.`],
    };
  }
  const answer = await submitProposal(bundle, evidence, { submission, policy: view.policy, signal });
  const next =
    answer.status === 'pending'
      ? 'It waits for the cosigner’s person: holdfast bundle cosign'
      : 'It is signed and logged; once the witnesses have confirmed it: holdfast bundle countersign';
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
  const { draft, nodes, coordinator } = flags;
  const text = draft === undefined ? undefined : await readTextFile(draft, 'the draft', MAXIMUM_DRAFT);
  const described = [];
  for (const path of nodes ?? []) {
    described.push(
      named(path, parseNodeDescription, await readTextFile(path, 'the description of a node', MAXIMUM_DRAFT)),
    );
  }
  return parseDraft(text, {
    now: Date.now(),
    last,
    evidence,
    ...(described.length > 0 && { nodes: described }),
    coordinators: coordinator,
  });
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
