/** Where one user may have a record: the fleets that a trust anchor leads to, each looked at with its own credential. */

import { readUserToken } from '../../access/client.ts';
import { asHoldfastError, type Clock, HoldfastError } from '../../core/index.ts';
import type { ClientAnswer, ClientRequest } from '../../protocol/index.ts';
import { HttpTransport } from '../http.ts';
import type { ClientStep, ClientWait, CoordinatorTransport, Credential } from '../ports.ts';
import type { ClientSuite } from '../suite.ts';
import type { UnansweredGuesses } from '../unanswered.ts';
import { type CallOptions, type Status, VaultClient } from '../vault-client.ts';
import { type FleetStanding, isSameFleet, requirePurpose } from './standing.ts';
import type { TrustedFleet } from './trusted-fleet.ts';

export interface TrustedVaultOptions {
  readonly trust: TrustedFleet;
  /**
   * The user's credential for a fleet, asked anew for each operation; undefined where the user has none there. The
   * record's id is in the user token.
   */
  readonly credential: (fleet: string) => Promise<Credential | undefined>;
  /** Addresses of coordinators to use instead of those that the bundle names, as far as they serve that fleet. */
  readonly urls?: readonly string[];
  /** The way to a fleet's coordinators; HTTP by default. */
  readonly transport?: (standing: FleetStanding) => CoordinatorTransport;
  readonly clock?: Clock;
  readonly suite?: ClientSuite;
  /** Milliseconds during which what may pass is tried again; default 15,000. */
  readonly patience?: number;
  /** Told of each step, for progress displays. */
  readonly onStep?: (step: ClientStep) => void;
  /** Told whenever it waits before it tries again what may pass, and why. */
  readonly onWait?: (wait: ClientWait) => void;
  /** Guesses that were counted and not answered, from call to call. */
  readonly unanswered?: UnansweredGuesses;
}

/** A verified fleet for which the user has a credential. */
export interface Place {
  readonly standing: FleetStanding;
  readonly client: VaultClient;
  /** Undefined where it could not be learned, and `failure` says why. */
  readonly status: Status | undefined;
  readonly failure: HoldfastError | undefined;
}

/**
 * All that the user has, the newest fleet first. A fleet whose sunset has passed is left out: nothing is there any more.
 * @param prepare is given the client of the only fleet, where there is one, before that is asked.
 * @throws HoldfastError `forbidden` where the user has a credential for none of the fleets; as `TrustedFleet.view`.
 */
export async function surveyPlaces(
  options: TrustedVaultOptions,
  call: CallOptions,
  prepare?: (client: VaultClient) => void,
): Promise<readonly Place[]> {
  const { trust } = options;
  const view = await trust.view(call.signal);
  const usable = view.fleets.filter(({ refusal }) => refusal === undefined).reverse();
  const places = await Promise.all(
    usable.map((standing) => placeOf(options, standing, call, usable.length === 1 ? prepare : undefined)),
  );
  const found = places.filter((place) => place !== undefined);
  if (found.length > 0) return found;
  const refusal = view.failure ?? view.fleets.at(-1)?.refusal ?? [...view.failures.values()].at(-1);
  if (usable.length === 0 && refusal) throw refusal;
  const names = usable.map(({ fleet }) => fleet.fleet).join(', ');
  throw new HoldfastError('forbidden', `there is no credential for the fleet ${names}; get one from your provider`);
}

async function placeOf(
  options: TrustedVaultOptions,
  standing: FleetStanding,
  call: CallOptions,
  prepare: ((client: VaultClient) => void) | undefined,
): Promise<Place | undefined> {
  const { fleet } = standing.fleet;
  const credential = await options.credential(fleet);
  if (credential === undefined) return undefined;
  const { record } = readUserToken(credential.userToken);
  const client = clientOf(options, standing, record);
  const { signal } = call;
  prepare?.(client);
  try {
    return { standing, client, status: await client.status(signal ? { signal } : {}), failure: undefined };
  } catch (thrown) {
    const failure = asHoldfastError(thrown);
    if (failure.code === 'cancelled') throw failure;
    return { standing, client, status: undefined, failure };
  }
}

function clientOf(options: TrustedVaultOptions, standing: FleetStanding, record: Uint8Array): VaultClient {
  const { trust, clock, suite, patience, onStep, onWait, unanswered } = options;
  const { fleet } = standing.fleet;
  return new VaultClient({
    fleet: standing.fleet,
    record,
    transport: new WatchfulTransport(trust, standing, (options.transport ?? httpTransport(options))(standing)),
    credential: async () => {
      const credential = await options.credential(fleet);
      if (credential) return credential;
      throw new HoldfastError('forbidden', `there is no credential for the fleet ${fleet} any more`);
    },
    requireEnrolment: () => requirePurpose(standing, 'enrol'),
    ...(clock && { clock }),
    ...(suite && { suite }),
    ...(patience !== undefined && { patience }),
    ...(onStep && { onStep }),
    ...(onWait && { onWait }),
    ...(unanswered && { unanswered }),
  });
}

const httpTransport =
  ({ trust, urls }: TrustedVaultOptions) =>
  ({ fleet: { fleet }, manifest }: FleetStanding): CoordinatorTransport =>
    new HttpTransport({
      urls: urls && urls.length > 0 ? urls : manifest.coordinators,
      fetch: trust.connect(manifest.authority, fleet),
      bundle: {
        serial: manifest.serial,
        onNewer: (serial, url) => trust.claimed({ fleet, serial, url }),
      },
    });

/**
 * Looks before each request whether a coordinator has told of a newer bundle. Then the fleet is verified anew first, and
 * the request is sent only if the newer bundle describes the same fleet and allows what is going on.
 */
class WatchfulTransport implements CoordinatorTransport {
  readonly #trust: TrustedFleet;
  readonly #standing: FleetStanding;
  readonly #inner: CoordinatorTransport;

  constructor(trust: TrustedFleet, standing: FleetStanding, inner: CoordinatorTransport) {
    this.#trust = trust;
    this.#standing = standing;
    this.#inner = inner;
  }

  async send(request: ClientRequest, signal?: AbortSignal): Promise<ClientAnswer> {
    if (this.#trust.stale) {
      const { fleet } = this.#standing.fleet;
      const view = await this.#trust.view(signal);
      const now = view.fleets.find((other) => other.fleet.fleet === fleet);
      if (!now) throw view.failures.get(fleet) ?? view.failure ?? changed();
      const enrolling = request.operation === 'open' || request.operation === 'stage';
      requirePurpose(now, enrolling ? 'enrol' : 'keep');
      if (!isSameFleet(now.fleet, this.#standing.fleet)) throw changed();
    }
    return await this.#inner.send(request, signal);
  }
}

function changed(): HoldfastError {
  return new HoldfastError(
    'bundle_superseded',
    'the fleet has changed meanwhile, and the change has been verified; run it again',
  );
}
