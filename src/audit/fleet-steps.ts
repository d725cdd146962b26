/** The steps on one fleet's bundle: who signed it, that all see it, that it is in force and strong enough. */

import { bytesToHex, fromUtf8, HoldfastError, hexToBytes, parseJson } from '../core/index.ts';
import {
  type Bundle,
  CLOCK_TOLERANCE,
  checkFloors,
  checkLogged,
  checkStanding,
  type LiveManifest,
  operatorsOfMajority,
  parseLeaf,
  plexiNamespace,
  quorumTime,
  type ReadSet,
  type Roster,
  type RosterEntry,
  readTrustSet,
  type SignedPolicy,
  verifyLeafSignatures,
  verifyPlexi,
} from '../trust/index.ts';
import type { AuditedSite } from './site.ts';
import { type Head, type ReplayedLog, requireGrowth } from './site-steps.ts';
import { count, type Finding, NotChecked, timeText } from './steps.ts';

/** Step `bundle`: the fleet's document, and the signatures of both parties on it. */
export async function bundleStep(
  site: AuditedSite,
  { fleet }: RosterEntry,
  { policy }: SignedPolicy,
): Promise<Finding<ReadSet>> {
  const served = await site.trustSet(fleet);
  if (served === undefined)
    throw new HoldfastError('trust_unavailable', `the site serves no trust set of the fleet ${fleet}`);
  const set = readTrustSet(served);
  const { note, bundle } = set;
  const { manifest } = bundle;
  const names = { vault: policy.vault, environment: policy.environment, fleet };
  for (const name of ['vault', 'environment', 'fleet'] as const) {
    if (manifest[name] === names[name]) continue;
    throw new HoldfastError('wrong_environment', `the bundle is for another ${name} than the log lists`, {
      details: { expected: names[name], found: manifest[name] },
    });
  }
  verifyLeafSignatures({ type: 'acceptance', note, bundle }, policy);
  if (note.signatures.length !== 2) {
    throw new HoldfastError(
      'bundle_malformed',
      'the bundle must have two signatures, the cosigner’s and the operator’s',
    );
  }
  return {
    value: set,
    message: `Serial ${manifest.serial} of ${fleet}, with ${count(manifest.nodes.length, 'node')}, signed by ${policy.cosigner.name} and ${policy.operator.name}.`,
    facts: {
      ...{ kind: manifest.kind, serial: manifest.serial, epoch: manifest.epoch, digest: bundle.digest },
      nodes: manifest.nodes.map(({ name, operator, region }) => `${name}: ${operator}, ${region}`),
      coordinators: manifest.coordinators,
    },
  };
}

/** Step `revocations`: nobody has revoked the bundle, by all that the log says. */
export async function revocationsStep(
  set: ReadSet,
  entry: RosterEntry,
  { policy }: SignedPolicy,
  log: ReplayedLog | undefined,
): Promise<Finding<undefined>> {
  const { fleet } = entry;
  const revoked = (reason: string) => {
    throw new HoldfastError(
      'bundle_revoked',
      `the bundle has been revoked${reason}; nothing is to be sent to the fleet`,
      {
        details: { fleet, serial: entry.serial },
      },
    );
  };
  if (set.revocation !== undefined) {
    const { manifest } = set.revocation.bundle;
    if (manifest.kind === 'revoke' && manifest.fleet === fleet && manifest.serial >= set.bundle.manifest.serial) {
      verifyLeafSignatures(
        { type: 'revocation', note: set.revocation.note, bundle: { ...set.revocation.bundle, manifest } },
        policy,
      );
      revoked(` (${manifest.reason})`);
    }
  }
  const through = log?.state.fleets.get(fleet)?.revokedThrough ?? 0;
  if (entry.state === 'revoked' || through >= set.bundle.manifest.serial) revoked('');
  const earlier = through > 0 ? ` Serials up to ${through} have been.` : '';
  return {
    value: undefined,
    message: `Serial ${set.bundle.manifest.serial} has not been revoked.${earlier}`,
    facts: { revokedThrough: through, entries: log?.entries.length ?? 0 },
  };
}

/** Step `acceptance`: the very bundle stands in the log as accepted and in its list as the one in force. */
export async function acceptanceStep(
  site: AuditedSite,
  set: ReadSet,
  entry: RosterEntry,
  head: Head,
  policy: SignedPolicy,
  log: ReplayedLog | undefined,
  now: number,
): Promise<Finding<undefined>> {
  const cosignatures = checkLogged(set, policy);
  if (quorumTime(policy.tlog, cosignatures, { to: Math.floor(now / 1000) + CLOCK_TOLERANCE }) === undefined) {
    throw new HoldfastError('quorum_not_met', 'too few witnesses confirmed the state of the log in the trust set');
  }
  const { checkpoint, acceptance, bundle } = set;
  const [older, newer] = [checkpoint, head.checkpoint].sort((a, b) => a.size - b.size);
  await requireGrowth(site, { size: older!.size, root: bytesToHex(older!.root) }, newer!, log);
  if (checkpoint.size <= head.checkpoint.size) {
    if (entry.serial > bundle.manifest.serial) {
      throw new HoldfastError(
        'bundle_superseded',
        `the log lists serial ${entry.serial}, and the site shows an older one`,
      );
    }
    if (entry.digest !== bundle.digest || entry.index !== acceptance.index) {
      throw new HoldfastError('roster_wrong', 'the log’s list of fleets names another bundle than the site shows');
    }
  }
  return {
    value: undefined,
    message: `It is entry ${acceptance.index} of the log, and the list of fleets names it as the one in force.`,
    facts: { index: acceptance.index, size: checkpoint.size, digest: bundle.digest },
  };
}

/** Step `strength`: in force today, and not below the floors of the trust policy. */
export async function strengthStep(
  { manifest }: Bundle<LiveManifest>,
  { policy }: SignedPolicy,
  now: number,
): Promise<Finding<undefined>> {
  const standing = checkStanding(manifest, manifest.kind === 'retire' ? 'follow' : 'enrol', now);
  checkFloors(manifest, policy);
  const { limit, lifetimeLimit } = manifest.policy;
  const operators = operatorsOfMajority(manifest.nodes);
  const retired =
    standing.state === 'retired'
      ? ` It has retired; ${standing.successor} follows it, and records can be recovered until ${timeText(standing.sunset)}.`
      : '';
  return {
    value: undefined,
    message: `In force until ${timeText(manifest.notAfter)}. ${limit} wrong guesses destroy a record, and it takes at least ${count(operators, 'operator')} to read one.${retired}`,
    facts: {
      ...{ notBefore: timeText(manifest.notBefore), notAfter: timeText(manifest.notAfter) },
      ...{ limit, lifetimeLimit, waits: manifest.policy.waits.map(String), operatorsOfMajority: operators },
      takeover: manifest.policy.takeover.kind,
    },
  };
}

/** Step `plexi`: the same digest in the Plexi view, signed by the policy's key for that. */
export async function plexiStep(
  site: AuditedSite,
  { digest, manifest }: Bundle<LiveManifest>,
  { policy }: SignedPolicy,
): Promise<Finding<undefined>> {
  const namespace = plexiNamespace(manifest);
  const served = await site.plexi(namespace, manifest.serial);
  if (served === undefined) throw new NotChecked('The site serves no Plexi view of this fleet.');
  const answer = parseJson(fromUtf8(served), 'malformed').object([
    ...(['version', 'ciphersuite', 'namespace', 'timestamp', 'epoch', 'digest', 'signature', 'key_id'] as const),
    'serialized_message',
  ]);
  const signature = answer.required('signature').text(128);
  const statement = {
    namespace,
    timestamp: answer.required('timestamp').integer(0),
    epoch: manifest.serial,
    digest: hexToBytes(digest),
  };
  if (answer.required('digest').text(64) !== digest) {
    throw new HoldfastError('split_view', 'the Plexi view has another digest for this serial than the log', {
      details: { namespace, serial: manifest.serial },
    });
  }
  const right =
    /^[0-9a-f]{128}$/.test(signature) && verifyPlexi(policy.plexi.publicKey, statement, hexToBytes(signature));
  if (!right) throw new HoldfastError('signature_invalid', `the signature of ${policy.plexi.name} on it is false`);
  return {
    value: undefined,
    message: `Epoch ${manifest.serial} of ${namespace} has the same digest, signed by ${policy.plexi.name}.`,
    facts: { namespace, epoch: manifest.serial, digest },
  };
}

/** The fleet's accepted bundles of lower serials, out of the log. */
export function earlierBundles({ manifest }: Bundle<LiveManifest>, log: ReplayedLog | undefined): LiveManifest[] {
  return (log?.entries ?? []).flatMap((entry) => {
    const leaf = parseLeaf(entry);
    if (leaf.type !== 'acceptance') return [];
    const { fleet, serial } = leaf.bundle.manifest;
    return fleet === manifest.fleet && serial < manifest.serial ? [leaf.bundle.manifest] : [];
  });
}

/**
 * The roster's entries to be looked at: the fleet that is named, or all that are not revoked; those only where there are no
 * others. @throws HoldfastError `not_accepted` for a name that it has not.
 */
export function fleetsOf({ fleets }: Roster, name: string | undefined): readonly RosterEntry[] {
  const inForce = fleets.filter(({ state }) => state !== 'revoked');
  if (name === undefined) return inForce.length > 0 ? inForce : fleets;
  const found = fleets.filter(({ fleet }) => fleet === name);
  if (found.length > 0) return found;
  throw new HoldfastError('not_accepted', `the log lists no fleet ${name}`);
}
