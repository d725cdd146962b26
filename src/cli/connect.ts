/** A client of the fleet that the trust file names, for the user that the credential file names. */

import { Agent, fetch as undiciFetch } from 'undici';
import { type ClientStep, type Fetch, HttpTransport, VaultClient } from '../client/index.ts';
import { HoldfastError } from '../core/index.ts';
import { tlsClientOptions } from '../pki/index.ts';
import { MAXIMUM_TRUST_FILE, type PinnedTrust, parseTrustFile } from '../trust/index.ts';
import { type CredentialFile, readCredential } from './credential.ts';
import { readTextFile } from './files.ts';
import { StepLine } from './progress.ts';

/** Options that every command of a client takes; each also comes from an environment variable. */
export interface ConnectFlags {
  readonly trust?: string | undefined;
  readonly user?: string | undefined;
  readonly url?: readonly string[] | undefined;
  /** Seconds during which what may pass is tried again. */
  readonly patience?: number | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Connection {
  readonly client: VaultClient;
  readonly trust: PinnedTrust;
  readonly credential: CredentialFile;
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

/** @throws HoldfastError `usage` for what is missing or cannot be read, `bad_input`, `trust_expired`, `untrusted`. */
export async function connect(flags: ConnectFlags, environment: Environment = process.env): Promise<Connection> {
  const trust = await readTrust(flags, environment);
  const userPath = flags.user ?? environment.HOLDFAST_USER;
  if (!userPath) throw new HoldfastError('usage', 'name your credential file: --user FILE or HOLDFAST_USER');
  const credential = await readCredential(userPath);
  if (credential.fleet !== trust.fleet.fleet) {
    const both = `${JSON.stringify(credential.fleet)}, the trust file for ${JSON.stringify(trust.fleet.fleet)}`;
    throw new HoldfastError('usage', `the credential is for the fleet ${both}; use files that belong together`);
  }
  const fetcher = new FleetFetch(trust);
  const line = new StepLine();
  const client = new VaultClient({
    fleet: trust.fleet,
    record: credential.record,
    transport: new HttpTransport({ urls: urlsOf(flags, environment, trust), fetch: fetcher.fetch }),
    // Read anew each time: a user token lives shortly, and another program may renew it meanwhile.
    credential: () => readCredential(userPath),
    patience: (flags.patience ?? 15) * 1000,
    onStep: (step) => line.show(`${STEPS[step]} …`),
  });
  return {
    client,
    trust,
    credential,
    clear: () => line[Symbol.dispose](),
    [Symbol.asyncDispose]: async () => {
      line[Symbol.dispose]();
      await fetcher.close();
    },
  };
}

async function readTrust(flags: ConnectFlags, environment: Environment): Promise<PinnedTrust> {
  const path = flags.trust ?? environment.HOLDFAST_TRUST;
  if (!path) throw new HoldfastError('usage', 'name the fleet’s trust file: --trust FILE or HOLDFAST_TRUST');
  return parseTrustFile(await readTextFile(path, 'the trust file', MAXIMUM_TRUST_FILE), { now: Date.now() });
}

function urlsOf(flags: ConnectFlags, environment: Environment, trust: PinnedTrust): readonly string[] {
  if (flags.url && flags.url.length > 0) return flags.url;
  const given = environment.HOLDFAST_URL?.split(/[\s,]+/).filter((url) => url !== '') ?? [];
  return given.length > 0 ? given : trust.coordinators;
}

/** `fetch` that trusts the fleet's own authority, with a pool of connections for each address (src/pki/tls.ts says why). */
class FleetFetch {
  readonly #agents = new Map<string, Agent>();
  readonly #trust: PinnedTrust;

  constructor(trust: PinnedTrust) {
    this.#trust = trust;
  }

  readonly fetch: Fetch = async (url, init) => {
    const { origin } = new URL(url);
    let agent = this.#agents.get(origin);
    if (!agent) {
      agent = this.#newAgent();
      this.#agents.set(origin, agent);
    }
    const own = undiciFetch as unknown as (url: string, init: RequestInit & { dispatcher: Agent }) => Promise<Response>;
    return own(url, { ...init, dispatcher: agent });
  };

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }

  #newAgent(): Agent {
    const { authority, fleet } = this.#trust;
    const timeout = 3000;
    if (authority === undefined) return new Agent({ connect: { timeout } });
    const tls = tlsClientOptions({ authorityPem: authority }, { fleet: fleet.fleet, role: 'public' });
    return new Agent({ connect: { ...tls, timeout } as NonNullable<Agent.Options['connect']> });
  }
}
