/** A fleet out of a trust anchor: fetched, verified, followed over retirements, and verified again when there is news. */

import { asHoldfastError, type Clock, equalBytes, HoldfastError, systemClock } from '../../core/index.ts';
import {
  MAXIMUM_RETIREMENTS,
  MAXIMUM_TRUST_SET,
  parseTrustState,
  type TrustAnchor,
  type TrustState,
  type TrustStateStore,
} from '../../trust/index.ts';
import type { Fetch } from '../http.ts';
import { throwIfCancelled } from '../session.ts';
import { Search } from './search.ts';
import { download, TrustSources } from './sources.ts';
import { establishStanding, type FleetStanding, isCode } from './standing.ts';
import { MemoryTrustSetCache, type TrustSetCache } from './stores.ts';

/**
 * A `fetch` for servers whose HTTPS has this authority (PEM; undefined for the platform's own). `fleet` is undefined for
 * sources of trust sets. In browsers it is the global `fetch`: a page cannot choose an authority.
 */
export type Connect = (authority: string | undefined, fleet: string | undefined) => Fetch;

export interface OpenTrustOptions {
  readonly anchor: TrustAnchor;
  readonly state: TrustStateStore;
  /** Milliseconds since 1970: when the application was built. A device's clock earlier than that is a fault. */
  readonly builtAt: number;
  /** Default: in memory, which helps only while this lives. */
  readonly cache?: TrustSetCache;
  readonly connect?: Connect;
  readonly clock?: Clock;
  /** Milliseconds for one download; default 10,000. */
  readonly timeout?: number;
  /** Milliseconds after which the fleet is looked up again before its next use; default 300,000. */
  readonly refreshAfter?: number;
  readonly signal?: AbortSignal;
}

/** The fleets that the anchor leads to, as of one look. */
export interface TrustView {
  /** From the anchor's fleet over retirements; the last one is live unless `failure` says why it cannot be reached. */
  readonly fleets: readonly FleetStanding[];
  /** Fleets on the way that could not be verified although they were trusted before, and why. */
  readonly failures: ReadonlyMap<string, HoldfastError>;
  /** Why the successor of the last of `fleets` is not trusted. */
  readonly failure: HoldfastError | undefined;
}

/** A coordinator's claim that there is a newer bundle. */
interface Claim {
  readonly fleet: string;
  readonly serial: number;
  /** The coordinator's address. */
  readonly url: string;
}

/** Milliseconds for which the next claims are not looked into after one that proved false: else each answer could cost a look. */
const CLAIM_PAUSE = 60_000;

/**
 * Fetches and verifies before it returns: a client without a verified fleet cannot be made.
 * @throws HoldfastError `trust_unavailable` where nothing could be fetched and nothing usable is kept; the code of the
 * failed step (docs/trust.md, section 6); `trust_state_damaged`, `bad_input`, `cancelled`.
 */
export async function openTrust(options: OpenTrustOptions): Promise<TrustedFleet> {
  const trusted = new TrustedFleet(options);
  await trusted.view(options.signal);
  return trusted;
}

export class TrustedFleet {
  readonly anchor: TrustAnchor;
  readonly connect: Connect;
  readonly clock: Clock;
  readonly #options: OpenTrustOptions;
  readonly #cache: TrustSetCache;
  #view: TrustView | undefined;
  /** The last one that there was: whom to ask where no source answers. */
  #last: TrustView | undefined;
  #viewedAt = 0;
  #refreshing: Promise<TrustView> | undefined;
  #claim: Claim | undefined;
  #claimsFrom = Number.NEGATIVE_INFINITY;
  /** The source that was of use last. */
  #preferred = 0;

  /** Fetches nothing yet: the first use does. `openTrust` looks at once. */
  constructor(options: OpenTrustOptions) {
    this.#options = options;
    this.anchor = options.anchor;
    this.clock = options.clock ?? systemClock;
    this.connect = options.connect ?? (() => (url, init) => fetch(url, init));
    this.#cache = options.cache ?? new MemoryTrustSetCache();
  }

  /** Whether a coordinator claims to know something newer, which is looked into before the next request. */
  get stale(): boolean {
    return this.#claim !== undefined;
  }

  /**
   * The fleets as they are to be used now: looked up again when that is due, or when a coordinator has told of a newer
   * bundle.
   * @throws HoldfastError as `openTrust`.
   */
  async view(signal?: AbortSignal): Promise<TrustView> {
    const age = this.clock.now() - this.#viewedAt;
    const { refreshAfter = 300_000 } = this.#options;
    if (this.#view && !this.stale && age >= 0 && age < refreshAfter) return this.#view;
    return await this.refresh(signal);
  }

  /** Looks again now. Throws as `openTrust`. */
  async refresh(signal?: AbortSignal): Promise<TrustView> {
    throwIfCancelled(signal);
    // Several callers share one look, so it has no signal of its own; its downloads end by themselves.
    this.#refreshing ??= this.#look().finally(() => {
      this.#refreshing = undefined;
    });
    const looking = this.#refreshing;
    if (!signal) return await looking;
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(new HoldfastError('cancelled', 'cancelled', { cause: signal.reason }));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([looking, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** A coordinator says that it knows a newer bundle than the one in use. Its word alone changes nothing. */
  claimed(claim: Claim): void {
    const now = this.clock.now();
    const paused = now < this.#claimsFrom && this.#claimsFrom - now <= CLAIM_PAUSE;
    const known = this.#view?.fleets.find(({ fleet }) => fleet.fleet === claim.fleet);
    if (known && !paused && claim.serial > known.manifest.serial) this.#claim ??= claim;
  }

  async #look(): Promise<TrustView> {
    const claim = this.#claim;
    this.#claim = undefined;
    // Until the look has succeeded nothing is trusted.
    this.#view = undefined;
    await this.#requireState();
    const fleets: FleetStanding[] = [];
    const failures = new Map<string, HoldfastError>();
    let failure: HoldfastError | undefined;
    let next: string | undefined = this.anchor.fleet;
    for (let i = 0; next !== undefined; i++) {
      const name: string = next;
      if (i > MAXIMUM_RETIREMENTS)
        throw new HoldfastError('chain_broken', 'too many fleets have retired to each other');
      try {
        const standing = await this.#establish(name, claim);
        fleets.push(standing);
        next = standing.standing.state === 'retired' ? standing.standing.successor : undefined;
      } catch (thrown) {
        const error = asHoldfastError(thrown);
        next = await this.#rememberedSuccessor(name);
        if (next !== undefined) failures.set(name, error);
        else if (fleets.length === 0) throw error;
        else failure = error;
      }
    }
    const view = { fleets, failures, failure };
    this.#judgeClaim(claim, view);
    this.#view = view;
    this.#last = view;
    this.#viewedAt = this.clock.now();
    return view;
  }

  #judgeClaim(claim: Claim | undefined, { fleets }: TrustView): void {
    const found = claim && fleets.find(({ fleet }) => fleet.fleet === claim.fleet);
    if (claim && !(found && found.manifest.serial >= claim.serial)) this.#claimsFrom = this.clock.now() + CLAIM_PAUSE;
  }

  /** Before anything is fetched, so that what is wrong here is not taken for a source's fault. */
  async #requireState(): Promise<TrustState | undefined> {
    const stored = await this.#options.state.load();
    try {
      return stored && parseTrustState(stored);
    } catch (cause) {
      throw new HoldfastError(
        'trust_state_damaged',
        'what this device remembers of the fleets that it trusts is damaged; find out why before you remove it, since without it old states of the log would be believed again',
        { cause },
      );
    }
  }

  /** To which fleet this one is known to have retired, although nothing about it verifies now. */
  async #rememberedSuccessor(name: string): Promise<string | undefined> {
    const state = await this.#requireState();
    return state?.fleets.find(({ fleet }) => fleet === name)?.successor ?? undefined;
  }

  /** The best that any source shows of a fleet; what was kept is used where no source helps. */
  async #establish(name: string, claim: Claim | undefined): Promise<FleetStanding> {
    const { anchor } = this;
    const { timeout = 10_000 } = this.#options;
    const fetch = this.connect(anchor.authority, undefined);
    const sources = new TrustSources(anchor.sources, { fetch, timeout });
    const search = new Search();
    for (let i = 0; i < sources.urls.length && !search.isFresh; i++) {
      const index = (this.#preferred + i) % sources.urls.length;
      const url = sources.urls[index]!;
      await search.attempt(
        () => sources.set(url, name),
        (set) => this.#verify(name, set, sources, url),
      );
      if (search.isFresh) this.#preferred = index;
    }
    const kept = await this.#cache.load(name);
    // What was kept helps where nothing else can be had, not past a log that shows two histories.
    if (kept && !search.isFresh && !search.sawSplitView) {
      await search.attempt(
        async () => kept,
        (set) => this.#verify(name, set, sources, sources.urls[0]!),
      );
    }
    const asked = this.#coordinatorsToAsk(name, claim, search);
    for (const { url, authority } of asked) {
      const options = { fetch: this.connect(authority, name), timeout };
      await search.attempt(
        () => download(`${url}/v1/trust`, MAXIMUM_TRUST_SET, options),
        (set) => this.#verify(name, set, sources, sources.urls[0]!),
      );
      if (search.isFresh && (claim === undefined || search.serial >= claim.serial)) break;
    }
    const { standing, set } = search.result();
    if (!kept || !equalBytes(kept, set)) await this.#cache.store(name, set);
    return standing;
  }

  /** Coordinators that were verified before: the one that claims to know more, or all where no source showed anything fresh. */
  #coordinatorsToAsk(
    name: string,
    claim: Claim | undefined,
    search: Search,
  ): readonly { url: string; authority: string | undefined }[] {
    const known = search.standing ?? this.#last?.fleets.find(({ fleet }) => fleet.fleet === name);
    if (!known) return [];
    const { coordinators, authority } = known.manifest;
    if (claim?.fleet === name && claim.serial > search.serial) return [{ url: claim.url, authority }];
    return search.isFresh ? [] : coordinators.map((url) => ({ url, authority }));
  }

  async #verify(name: string, set: Uint8Array, sources: TrustSources, url: string): Promise<FleetStanding> {
    const { anchor } = this;
    const { vault, environment, policy } = anchor;
    const { state, builtAt } = this.#options;
    const request = { policy, set, configuration: { vault, environment, fleet: name }, builtAt };
    // A wrong tile looks like a rewritten log: so others are asked for theirs before that is said.
    const readers = [url, ...sources.urls.filter((other) => other !== url)];
    for (const [i, first] of readers.entries()) {
      try {
        const reader = sources.reader(first);
        return await establishStanding({ ...request, clock: this.clock.now(), reader }, state);
      } catch (error) {
        if (i === readers.length - 1 || !isCode(error, 'split_view', 'chain_broken')) throw error;
      }
    }
    throw new HoldfastError('unexpected', 'a trust anchor names no source');
  }
}
