/**
 * The audit itself: numbered steps over whatever a site serves, each with what it found. None of them trusts the site; what
 * cannot be checked is said to be unchecked, and what is only somebody's word is said to be stated (docs/audit.md).
 */

import { bytesToHex, HoldfastError } from '../core/index.ts';
import type { RosterEntry, SignedPolicy } from '../trust/index.ts';
import {
  ceremonyStep,
  evidenceStep,
  loggedStep,
  nodeKeysStep,
  serviceRecordStep,
  softwareStep,
  statementsStep,
} from './evidence-steps.ts';
import {
  acceptanceStep,
  bundleStep,
  earlierBundles,
  fleetsOf,
  plexiStep,
  revocationsStep,
  strengthStep,
} from './fleet-steps.ts';
import { AuditedSite } from './site.ts';
import {
  anchorStep,
  checkpointStep,
  type Head,
  historyStep,
  logStep,
  policyStep,
  type ReplayedLog,
  rosterStep,
  witnessesStep,
} from './site-steps.ts';
import { type Finding, needed, type Ran, Runner } from './steps.ts';
import { tokenClassStep } from './token-class.ts';
import type { AuditOptions, AuditReport, AuditStep, FleetStepId, SiteStepId } from './types.ts';

const MAXIMUM_LEAVES = 20_000;

/**
 * Runs all steps, those on the site first and then those on each fleet; the return value is the report. A five-node fleet
 * takes a few hundred signatures and hashes, well below a second on Node.
 * @throws HoldfastError `usage` for a site that is no address, `not_accepted` for a fleet that the log does not list,
 * `cancelled`. Everything else is the failure of a step.
 */
export async function* audit(options: AuditOptions): AsyncGenerator<AuditStep, AuditReport> {
  const { source, now, signal, seen, maximumLeaves = MAXIMUM_LEAVES } = options;
  const site = new AuditedSite(source, options.site, maximumLeaves, signal);
  const runner = new Runner(options.onBegin, signal);
  const steps: AuditStep[] = [];
  const keep = <T>({ step, value }: Ran<T>): T | undefined => {
    steps.push(step);
    return value;
  };
  const run = <T>(id: SiteStepId, work: () => Promise<Finding<T>>) => runner.run(id, undefined, work);

  const anchor = keep(await run('anchor', () => anchorStep(site, options)));
  yield steps.at(-1)!;
  const policy = keep(await run('policy', async () => policyStep(site, needed(anchor, 'anchor'), now)));
  yield steps.at(-1)!;
  const head = keep(await run('checkpoint', async () => checkpointStep(site, needed(policy, 'policy'))));
  yield steps.at(-1)!;
  keep(await run('witnesses', async () => witnessesStep(needed(head, 'checkpoint'), needed(policy, 'policy'), now)));
  yield steps.at(-1)!;
  const log = keep(
    await run('log', async () =>
      logStep(site, needed(head, 'checkpoint'), needed(anchor, 'anchor'), needed(policy, 'policy'), {
        maximumLeaves,
        signal,
      }),
    ),
  );
  yield steps.at(-1)!;
  const roster = keep(
    await run('roster', async () => rosterStep(site, needed(head, 'checkpoint'), needed(policy, 'policy'), log)),
  );
  yield steps.at(-1)!;
  keep(
    await run('history', async () =>
      historyStep(site, needed(head, 'checkpoint'), needed(policy, 'policy'), log, seen),
    ),
  );
  yield steps.at(-1)!;

  const fleets: string[] = [];
  if (roster !== undefined && policy !== undefined && head !== undefined) {
    for (const entry of fleetsOf(roster, options.fleet)) {
      fleets.push(entry.fleet);
      for await (const step of auditFleet({ options, site, runner, policy, head, log, entry })) {
        steps.push(step);
        yield step;
      }
    }
  }
  const verified = steps.every(({ id, state }) => state !== 'failed' || !['checkpoint', 'log', 'history'].includes(id));
  return {
    site: site.address,
    at: now,
    passed: steps.every(({ state }) => state !== 'failed'),
    steps,
    fleets,
    seen:
      head !== undefined && verified
        ? { origin: head.checkpoint.origin, size: head.checkpoint.size, root: bytesToHex(head.checkpoint.root) }
        : undefined,
  };
}

interface FleetAudit {
  readonly options: AuditOptions;
  readonly site: AuditedSite;
  readonly runner: Runner;
  readonly policy: SignedPolicy;
  readonly head: Head;
  readonly log: ReplayedLog | undefined;
  readonly entry: RosterEntry;
}

async function* auditFleet({ options, site, runner, policy, head, log, entry }: FleetAudit): AsyncGenerator<AuditStep> {
  const { now, vendorRoots = [] } = options;
  const run = <T>(id: FleetStepId, work: () => Promise<Finding<T>>) => runner.run(id, entry.fleet, work);

  const { step: first, value: set } = await run('bundle', () => bundleStep(site, entry, policy));
  yield first;
  const bundle = set?.bundle;
  const earlier = bundle ? earlierBundles(bundle, log) : [];
  // What was accepted since the log was read has its evidence in entries that were not. That accuses nobody, and proves nothing.
  const isLater = set !== undefined && set.checkpoint.size > head.checkpoint.size && set.bundle.digest !== entry.digest;
  const whole = () => {
    if (!isLater) return needed(log, 'log');
    throw new HoldfastError(
      'not_ready',
      'the site has gone on to a later document since its log was read; audit it again',
    );
  };

  const revocations = await run('revocations', async () => revocationsStep(needed(set, 'bundle'), entry, policy, log));
  yield revocations.step;
  // Of a revoked bundle the log's list says that it is revoked, and nothing more is to be asked of it.
  const standing = revocations.step.state === 'failed' ? undefined : set;
  const acceptance = await run('acceptance', async () =>
    acceptanceStep(site, needed(standing, 'revocations'), entry, head, policy, log, now),
  );
  yield acceptance.step;
  yield (await run('strength', async () => strengthStep(needed(bundle, 'bundle'), policy, now))).step;

  const folder = await run('evidence', async () => evidenceStep(site, needed(bundle, 'bundle'), earlier, policy));
  yield folder.step;
  const evidence = folder.value;
  yield (
    await run('logged', async () =>
      loggedStep(needed(bundle, 'bundle'), needed(evidence, 'evidence'), whole(), entry.index),
    )
  ).step;
  const signed = await run('statements', async () =>
    statementsStep(site, needed(bundle, 'bundle'), needed(evidence, 'evidence')),
  );
  yield signed.step;
  const statements = signed.value;
  yield (
    await run('node-keys', async () =>
      nodeKeysStep(needed(bundle, 'bundle'), needed(statements, 'statements'), isLater ? undefined : log),
    )
  ).step;
  yield (
    await run('token-class', async () =>
      tokenClassStep(
        site,
        needed(bundle, 'bundle'),
        needed(evidence, 'evidence').evidence,
        needed(statements, 'statements'),
        vendorRoots,
      ),
    )
  ).step;
  yield (
    await run('ceremony', async () =>
      ceremonyStep(needed(bundle, 'bundle'), needed(evidence, 'evidence'), needed(statements, 'statements'), earlier),
    )
  ).step;
  yield (await run('software', async () => softwareStep(needed(bundle, 'bundle'), needed(statements, 'statements'))))
    .step;
  yield (
    await run('service-record', async () =>
      serviceRecordStep(site, needed(bundle, 'bundle'), needed(evidence, 'evidence'), needed(log, 'log'), entry.index),
    )
  ).step;
  yield (await run('plexi', async () => plexiStep(site, needed(bundle, 'bundle'), policy))).step;
}

/** The report of an audit, for those who do not show steps one by one. Throws as `audit`. */
export async function runAudit(
  options: AuditOptions,
  onStep: (step: AuditStep) => void = () => {},
): Promise<AuditReport> {
  const steps = audit(options);
  for (;;) {
    const { done, value } = await steps.next();
    if (done) return value;
    onStep(value);
  }
}

/** The error as which a report with failed steps ends a command: what could not be had counts only if nothing is wrong. */
export function failureOf({ steps }: AuditReport): HoldfastError | undefined {
  const failed = steps.filter(({ state }) => state === 'failed');
  const errors = failed.map(({ code, number, message }) => new HoldfastError(code!, `step ${number}: ${message}`));
  const gravity = ({ exitCode }: HoldfastError) => [6, 9, 1].indexOf(exitCode) >>> 0;
  return errors.sort((a, b) => gravity(a) - gravity(b))[0];
}
