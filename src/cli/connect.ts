/** A user's client of the fleet that the trust anchor leads to, or that a trust file names. */

import { resolve } from 'node:path';
import {
  type ClientStep,
  type ClientWait,
  HttpTransport,
  TrustedFleet,
  TrustedVault,
  type Vault,
  VaultClient,
  type VaultClientOptions,
} from '../client/index.ts';
import { ERROR_KINDS, HoldfastError, parseJson } from '../core/index.ts';
import {
  MAXIMUM_TRUST_ANCHOR,
  MAXIMUM_TRUST_FILE,
  type PinnedTrust,
  parseTrustAnchor,
  parseTrustFile,
  parseTrustState,
  TRUST_ANCHOR_FORMAT,
  type TrustAnchor,
} from '../trust/index.ts';
import { built } from './built.ts';
import { type CredentialFile, readCredentials } from './credential.ts';
import { readParsed } from './files.ts';
import { FleetFetch } from './fleet-fetch.ts';
import { formatDuration, formatWhen } from './output.ts';
import { type ProgressOutput, StepLine } from './progress.ts';
import { defaultTrustStatePath, FileTrustSetCache, FileTrustStateStore } from './trust-state.ts';

/** Options that every command of a client takes; each also comes from an environment variable. */
export interface ConnectFlags {
  readonly trust?: string | undefined;
  readonly trustState?: string | undefined;
  readonly user?: readonly string[] | undefined;
  readonly url?: readonly string[] | undefined;
  /** Seconds during which what may pass is tried again. */
  readonly patience?: number | undefined;
  /** For a program: what is going on is shown to nobody. */
  readonly json?: boolean | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** How it is known whose keys a fleet has. */
export interface TrustReport {
  /** Nodes of the fleet. */
  readonly nodes: number;
  /** For programs; `mode` is `bundle` or `pinned`. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** For people. */
  readonly lines: readonly string[];
}

export interface Connection {
  readonly client: Vault;
  /** The records that the user has credentials for, wherever they are. */
  accounts(): Promise<readonly Pick<CredentialFile, 'fleet' | 'record'>[]>;
  trustOf(fleet: string): Promise<TrustReport>;
  /** What a person should know of the trust in the fleet, in sentences. */
  notices(): Promise<readonly string[]>;
  /** Clears the line that shows the current step; call it before printing. */
  clear(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

const STEPS: Readonly<Record<ClientStep, string>> = {
  status: 'Asking where the record stands',
  stretch: 'Stretching the PIN',
  open: 'Asking the nodes for an enrolment',
  stage: 'Storing the record',
  activate: 'Activating the record',
  attempt: 'Counting the attempt',
  confirm: 'Recording the success',
  delete: 'Deleting the record',
  waiting: 'Waiting',
};

/**
 * The format of the trust file decides the mode, and nothing ever changes it: bundle mode has no fallback.
 * @throws HoldfastError `usage` for what is missing or cannot be read, `bad_input`, `trust_expired`, `untrusted`, and what
 *   a trust anchor's policy is refused with.
 */
export async function connect(
  flags: ConnectFlags,
  environment: Environment = process.env,
  screen: ProgressOutput = process.stderr,
): Promise<Connection> {
  const path = flags.trust ?? environment.HOLDFAST_TRUST;
  if (!path)
    throw new HoldfastError('usage', 'name the trust anchor, or the trust file: --trust FILE or HOLDFAST_TRUST');
  const maximum = Math.max(MAXIMUM_TRUST_FILE, MAXIMUM_TRUST_ANCHOR);
  const given = await readParsed(path, 'the trust file', maximum, (text) =>
    isAnchor(text)
      ? { anchor: parseTrustAnchor(text), pinned: undefined }
      : { anchor: undefined, pinned: parseTrustFile(text, { now: Date.now() }) },
  );
  const users = flags.user ?? (environment.HOLDFAST_USER ? [environment.HOLDFAST_USER] : []);
  if (users.length === 0) throw new HoldfastError('usage', 'name your credential file: --user FILE or HOLDFAST_USER');
  const fetcher = new FleetFetch(undefined, environment);
  const line = new StepLine(flags.json ? { write: () => {} } : screen);
  const common = {
    patience: (flags.patience ?? 15) * 1000,
    onStep: (step: ClientStep) => line.show(`${STEPS[step]} …`),
    onWait: ({ code, until }: ClientWait) => {
      const seconds = Math.max(1, Math.ceil((until - Date.now()) / 1000));
      line.show(`${ERROR_KINDS[code].title} Trying again in ${formatDuration(seconds)} …`);
    },
  };
  const context = { flags, environment, users, fetcher, common };
  const mode = given.anchor ? await connectBundle(given.anchor, context) : await connectPinned(given.pinned, context);
  return {
    ...mode,
    accounts: () => readCredentials(users),
    clear: () => line[Symbol.dispose](),
    [Symbol.asyncDispose]: async () => {
      line[Symbol.dispose]();
      await fetcher.close();
    },
  };
}

interface Context {
  readonly flags: ConnectFlags;
  readonly environment: Environment;
  readonly users: readonly string[];
  readonly fetcher: FleetFetch;
  readonly common: Required<Pick<VaultClientOptions, 'patience' | 'onStep' | 'onWait'>>;
}

type Mode = Pick<Connection, 'client' | 'trustOf' | 'notices'>;

function isAnchor(text: string): boolean {
  const { value } = parseJson(text, 'bad_input');
  return (value as { format?: unknown } | null)?.format === TRUST_ANCHOR_FORMAT;
}

async function connectPinned(
  trust: PinnedTrust,
  { flags, environment, users, fetcher, common }: Context,
): Promise<Mode> {
  const { fleet } = trust;
  const mine = async () => {
    const credentials = await readCredentials(users);
    const found = credentials.find((credential) => credential.fleet === fleet.fleet);
    if (found) return found;
    const both = `${JSON.stringify(credentials[0]?.fleet)}, the trust file for ${JSON.stringify(fleet.fleet)}`;
    throw new HoldfastError('usage', `the credential is for the fleet ${both}; use files that belong together`);
  };
  const { record } = await mine();
  const given = urlsOf(flags, environment);
  const client = new VaultClient({
    ...{ fleet, record, ...common },
    transport: new HttpTransport({
      urls: given.length > 0 ? given : trust.coordinators,
      fetch: fetcher.of(trust.authority, fleet.fleet),
    }),
    // Read anew each time: a user token lives shortly, and another program may renew it meanwhile.
    credential: mine,
  });
  const { environment: name, expires, names } = trust;
  const facts = { mode: 'pinned', environment: name, fleet: fleet.fleet, epoch: fleet.epoch };
  return {
    client,
    trustOf: async () => ({
      nodes: names.length,
      facts: { ...facts, expires: new Date(expires).toISOString() },
      lines: [`Trust: the keys are pinned in the trust file, which expires ${formatWhen(expires, Date.now())}.`],
    }),
    notices: async () => [],
  };
}

async function connectBundle(anchor: TrustAnchor, context: Context): Promise<Mode> {
  const { flags, environment, users, fetcher, common } = context;
  const path = flags.trustState ?? environment.HOLDFAST_TRUST_STATE ?? defaultTrustStatePath(anchor, environment);
  const state = new FileTrustStateStore(resolve(path));
  const before = await state.load();
  const trust = new TrustedFleet({
    ...{ anchor, state, builtAt: built().time },
    cache: new FileTrustSetCache(resolve(path)),
    connect: (authority, fleet) => fetcher.of(authority, fleet),
  });
  const client = new TrustedVault({
    ...{ trust, ...common },
    urls: urlsOf(flags, environment),
    credential: async (fleet) => (await readCredentials(users)).find((credential) => credential.fleet === fleet),
  });
  const policyBefore = before && parseTrustState(before).policyVersion;
  return {
    client,
    trustOf: (fleet) => reportOf(trust, fleet),
    notices: () => noticesOf(trust, policyBefore),
  };
}

function urlsOf(flags: ConnectFlags, environment: Environment): readonly string[] {
  if (flags.url && flags.url.length > 0) return flags.url;
  return environment.HOLDFAST_URL?.split(/[\s,]+/).filter((url) => url !== '') ?? [];
}

async function reportOf(trust: TrustedFleet, fleet: string): Promise<TrustReport> {
  const { fleets } = await trust.view();
  const found = fleets.find((standing) => standing.fleet.fleet === fleet);
  if (!found) throw new HoldfastError('unexpected', `the fleet ${fleet} is not among those that were verified`);
  const { manifest, digest, mode, standing, policyVersion, checkpoint, witnessedAt } = found;
  const { vault, environment } = trust.anchor;
  const { serial, epoch } = manifest;
  const retired = standing.state === 'retired' && { ...standing, sunset: new Date(standing.sunset).toISOString() };
  const facts = {
    ...{ mode: 'bundle', vault, environment, fleet, epoch, serial, digest, policyVersion },
    ...{ origin: checkpoint.origin, checkpointSize: checkpoint.size },
    ...{ freshness: mode, witnessedAt: new Date(witnessedAt).toISOString() },
    ...(retired || standing),
  };
  const age = formatDuration(Math.max(0, Math.floor((Date.now() - witnessedAt) / 1000)));
  const log = `in the log of ${checkpoint.size} entries, which witnesses vouched for ${age} ago`;
  return {
    nodes: found.fleet.nodes.length,
    facts,
    lines: [
      `Trust: serial ${serial} of the fleet ${fleet}, ${log}; trust policy ${policyVersion}.`,
      ...(standing.state === 'retired' ? [retiredLine(fleet, standing)] : []),
    ],
  };
}

function retiredLine(fleet: string, { successor, sunset }: { successor: string; sunset: number }): string {
  const until = new Date(sunset).toISOString().slice(0, 10);
  return `The fleet ${fleet} has retired. Your record moves to ${successor} when its PIN is used; do that before ${until}.`;
}

async function noticesOf(trust: TrustedFleet, policyBefore: number | undefined): Promise<readonly string[]> {
  const { fleets, failure } = await trust.view();
  const notices = new Set<string>();
  for (const { notice } of fleets) if (notice !== undefined) notices.add(notice);
  if (failure) notices.add(`The fleet that follows is not trusted (${failure.code}): ${failure.message}.`);
  const policy = fleets.at(-1)?.policyVersion;
  if (policyBefore !== undefined && policy !== undefined && policy > policyBefore) {
    notices.add(`Version ${policy} of the trust policy is in force now, signed as the one before it asks.`);
  }
  return [...notices];
}
