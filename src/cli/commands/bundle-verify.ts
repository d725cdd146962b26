/** `holdfast bundle verify`, `show`, `diff`: what a client would make of a trust set, and what bundles say. */

import { type ErrorDetails, HoldfastError } from '../../core/index.ts';
import { parseBundleFile } from '../../operator/index.ts';
import {
  establishTrust,
  MAXIMUM_TRUST_SET,
  parseTrustState,
  type TrustOperation,
  type TrustReader,
  verifyTrustSet,
} from '../../trust/index.ts';
import { diffLines, diffValue, manifestLines, passedLine, signatureLines } from '../bundle-text.ts';
import { readSmallFile } from '../files.ts';
import { say } from '../output.ts';
import type { CommandResult } from '../run.ts';
import { openSite, readTrustSource, type TrustFlags } from '../trust-source.ts';
import { FileTrustStateStore } from '../trust-state.ts';

export interface VerifyFlags extends TrustFlags {
  readonly state?: string;
  readonly updateState?: boolean;
  readonly fleetName?: string;
  readonly operation: string;
}

/** The steps of src/trust/verify, which docs/trust.md numbers the same. */
const STEPS = [
  'limits and strict reading',
  'whom to believe, and their signatures',
  'one checkpoint of the log has the bundle and lists it',
  'fresh confirmations of a quorum of witnesses',
  'no going back',
  'in force for what is wanted',
  'strong enough, and not weaker than before',
] as const;

const OPERATIONS = [
  'enrol',
  'move',
  'recover',
  'confirm',
  'delete',
  'follow',
] as const satisfies readonly TrustOperation[];

/** Runs a client's steps on a trust set, and prints each with its result. */
export async function verify(path: string, flags: VerifyFlags): Promise<CommandResult> {
  const operation = OPERATIONS.find((known) => known === flags.operation);
  if (operation === undefined) throw new HoldfastError('usage', `--operation must be one of ${OPERATIONS.join(', ')}`);
  if (flags.updateState && flags.state === undefined)
    throw new HoldfastError('usage', '--update-state needs --state FILE');
  const set = await readSmallFile(path, 'the trust set', MAXIMUM_TRUST_SET);
  const trust = await readTrustSource(flags);
  const { vault, environment } = trust.policy.policy;
  const configuration = { vault, environment, fleet: flags.fleetName ?? trust.fleet };
  const store = flags.state === undefined ? undefined : new FileTrustStateStore(flags.state);
  const stored = await store?.load();
  await using site = trust.url === undefined ? undefined : openSite(trust);
  let passed = 0;
  const onStep = (step: number) => {
    passed = step;
  };
  const reader = site?.trustReader ?? OFFLINE;
  try {
    const given = { policy: trust.policy, set, configuration, operation, clock: Date.now(), builtAt: 0 };
    const request = { ...given, reader, onStep };
    // Another process may verify by the same state: what it has seen meanwhile must not be forgotten for what this one saw.
    const verified =
      store && flags.updateState
        ? await establishTrust(request, store)
        : await verifyTrustSet({ ...request, state: stored && parseTrustState(stored) });
    const { manifest, digest, standing, witnessedAt, notice } = verified;
    const { fleet, serial } = manifest;
    const policyVersion = verified.policy.policy.version;
    return {
      value: {
        ...{ fleet, serial, digest, standing, witnessedAt, policyVersion },
        notice: notice ?? null,
        steps: stepsUpTo(passed),
      },
      lines: [
        ...stepsUpTo(passed).map(({ step, name }) => passedLine(step, name)),
        `Verified for ${operation}: serial ${serial} of ${fleet} is ${standing.state}; SHA-256 ${digest}`,
        ...(notice === undefined ? [] : [`Notice: ${notice}`]),
      ],
    };
  } catch (error) {
    throw failedStep(error, passed);
  }
}

function stepsUpTo(passed: number) {
  return STEPS.slice(0, passed).map((name, i) => ({ step: i + 1, name }));
}

/** The error with the steps before it. A clock that cannot be right fails before the first. */
function failedStep(error: unknown, passed: number): unknown {
  if (!(error instanceof HoldfastError)) return error;
  for (const { step, name } of stepsUpTo(passed)) say(passedLine(step, name));
  const step = passed + 1;
  const details: ErrorDetails = { ...error.details, step, stepName: STEPS[step - 1] ?? '' };
  return new HoldfastError(error.code, `step ${step}, ${STEPS[step - 1]}: ${error.message}`, { cause: error, details });
}

const offline = async (): Promise<never> => {
  throw new HoldfastError(
    'usage',
    'this needs more than the trust set: say where the log is, with --anchor or --log URL',
  );
};
const OFFLINE: TrustReader = { consistencyProof: offline, bundleText: offline };

/** Undefined for a file that is not there: a first use. */
export async function show(path: string): Promise<CommandResult> {
  const { kind, bundle, signatures } = await readBundle(path);
  const { manifest, digest, text } = bundle;
  return {
    value: {
      ...{ file: kind, digest, text },
      signatures: signatures.map(({ name, id }) => ({ name, id })),
    },
    lines: [...manifestLines(manifest, digest), ...signatureLines(signatures)],
  };
}

export async function diff(before: string, after: string): Promise<CommandResult> {
  const [was, is] = [await readBundle(before), await readBundle(after)];
  const { manifest } = is.bundle;
  return {
    value: { before: was.bundle.digest, after: is.bundle.digest, ...diffValue(was.bundle.manifest, manifest) },
    lines: diffLines(was.bundle.manifest, manifest),
  };
}

async function readBundle(path: string) {
  return parseBundleFile(await readSmallFile(path, 'the bundle', MAXIMUM_TRUST_SET));
}
