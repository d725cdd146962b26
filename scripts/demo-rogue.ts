/** Trust sets that no client may believe, made out of the real ones of a running fleet with the keys of its own operator. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../src/core/index.ts';
import { draftOfFleet, FleetFolder, openDesk, publishBundle, readPlan } from '../src/fleet/index.ts';
import { nextDeployment, readLog } from '../src/operator/index.ts';
import { parseNote, parseTrustSet, serialiseNote, serialiseTrustSet, signText } from '../src/trust/index.ts';

/** Paths of trust sets, as a client would be shown them. */
export interface Tampered {
  /** The one that is in force now, and must be believed until something newer is seen. */
  readonly genuine: string;
  readonly oneParty: string;
  readonly notAccepted: string;
  readonly otherEnvironment: string;
}

export interface Expiring {
  readonly path: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export interface Rogues extends AsyncDisposable {
  readonly tampered: Tampered;
  /** Afterwards the fleet's bundle in force is the one that expires: `holdfast fleet announce` renews it. */
  publishExpiring(): Promise<Expiring>;
}

/** Milliseconds for which the bundle is valid that is to expire soon, longer where publishing takes longer. */
const SHORT = [2000, 5000, 15_000, 60_000];

/** Sits at the operator's desk until it is disposed. */
export async function openRogues(fleet: string, place: string): Promise<Rogues> {
  const folder = new FleetFolder(fleet);
  const { name } = readPlan(folder);
  const put = (file: string, set: Uint8Array): string => {
    const path = join(place, `${file}.json`);
    writeFileSync(path, set);
    return path;
  };
  await using opened = new AsyncDisposableStack();
  const useSoftHsm = (configuration: string) => {
    process.env.SOFTHSM2_CONF = configuration;
  };
  const desk = opened.use(await openDesk(folder, useSoftHsm));
  const { site, submission, policy, operator } = desk;
  const look = () => readLog(policy, site, { which: 'newest', now: Date.now() });
  const genuine = (await site.trustSet(name))!;
  const set = parseTrustSet(genuine);
  const draftNow = async (validity?: number) => {
    const accepted = (await look()).state.fleets.get(name)?.accepted;
    if (!accepted) throw new HoldfastError('not_ready', 'the fleet is not announced yet');
    return { ...(await draftOfFleet(folder, validity)), evidence: accepted.manifest.evidence };
  };

  // Cosigner and operator sign that a stranger's coordinator is theirs, but it never comes into the log as accepted.
  const coordinators = ['https://127.0.0.1:1'];
  const evil = nextDeployment((await look()).state, name, { ...(await draftNow()), coordinators });
  const answer = await submission.proposal(evil.text);
  if (answer.status !== 'logged') throw new HoldfastError('not_ready', 'the cosigner waits for somebody');
  const half = parseNote(answer.note);
  const whole = { text: half.text, signatures: [...half.signatures, await signText(half.text, operator)] };

  const renamed = set.bundle.replace('"environment":"development"', '"environment":"production"');
  if (renamed === set.bundle) throw new Error('the bundle names no environment that could be changed');
  const tampered = {
    genuine: put('genuine', genuine),
    oneParty: put('one-party', serialiseTrustSet({ ...set, bundle: serialiseNote(half) })),
    notAccepted: put('not-accepted', serialiseTrustSet({ ...set, bundle: serialiseNote(whole) })),
    otherEnvironment: put('other-environment', serialiseTrustSet({ ...set, bundle: renamed })),
  };
  const publishExpiring = async () => {
    for (const validity of SHORT) {
      const bundle = nextDeployment((await look()).state, name, await draftNow(validity));
      try {
        const path = put('expired', await publishBundle(desk, bundle, undefined));
        return { path, expiresAt: bundle.manifest.notAfter };
      } catch (error) {
        if (!(error instanceof HoldfastError) || error.code !== 'bundle_expired') throw error;
      }
    }
    throw new Error('publishing a bundle takes longer than a minute here');
  };
  const kept = opened.move();
  return { tampered, publishExpiring, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
