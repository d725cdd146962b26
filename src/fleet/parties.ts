/**
 * Cosigner, operator, policy keyholders and witnesses of a fleet on one machine, for development: tokens and keys of their
 * own, the first trust policy, and configurations (docs/trust.md, sections 1 and 4). One person plays all parts here.
 */

import { join } from 'node:path';
import { bytesToHex, HoldfastError, systemRandom } from '../core/index.ts';
import { createPolicy, lintReport, type PolicyFile, requireChain, signPolicy } from '../operator/index.ts';
import type { Policy } from '../protocol/index.ts';
import {
  generatePurposeKey,
  keysOfRole,
  openPurposeKey,
  type Role,
  SigningJournal,
  verifierKeyOf,
} from '../signer/index.ts';
import type { SigningToken } from '../token/port.ts';
import { anchorOf, type SignedPolicy, serialiseNote, serialiseTrustAnchor } from '../trust/index.ts';
import { CERTIFICATE_FILES, hostOf, json, listeners, write } from './files.ts';
import {
  COSIGNER,
  type FleetFolder,
  type FleetPlan,
  portsOf,
  submissionPortOf,
  WITNESSES,
  witnessName,
} from './folder.ts';
import { HOST } from './host.ts';
import { all } from './together.ts';
import type { TokenWorkshop } from './workshop.ts';

export const OPERATOR = 'operator';
const POLICY_KEYS = 3;
const THRESHOLD = 2;
const keeperName = (keeper: number): string => `policy-${keeper}`;
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
/** Of each quorum of two, one at least audits. */
const isAuditing = (witness: number): boolean => witness <= 2;

export interface TrustNames {
  readonly vault: string;
  readonly environment: string;
}

/** Folders of all that have a token, in the order in which they are made. */
export const partyNames = (): string[] => [
  COSIGNER,
  OPERATOR,
  ...numbers(WITNESSES).map(witnessName),
  ...numbers(POLICY_KEYS).map(keeperName),
];

interface Keys {
  readonly [purpose: string]: string;
}

async function makeKeys(token: SigningToken, role: Role, name: string, origin?: string): Promise<Keys> {
  const keys: Record<string, string> = {};
  for (const { purpose, name: key } of keysOfRole(role, name, origin)) {
    keys[purpose] = verifierKeyOf(purpose, key, await generatePurposeKey(token, purpose, key)).text;
  }
  return keys;
}

/** Makes all keys, the policy, the trust anchor and the configurations. @throws HoldfastError `token_*`, `policy_unsafe`. */
export async function makeParties(
  folder: FleetFolder,
  plan: FleetPlan,
  names: TrustNames,
  fleetPolicy: Omit<Policy, 'minimumShares'>,
  workshop: TokenWorkshop,
  authorityPem: string,
): Promise<void> {
  // A client keeps its state by the log's name: that of another fleet in another folder must not look like a fork.
  const domain = `fleet-${bytesToHex(systemRandom(6))}.invalid`;
  const origin = `log.${domain}/${names.vault}/${names.environment}`;
  const make = async (party: string, role: Role): Promise<Keys> => {
    const token = await workshop.open(party);
    try {
      return await makeKeys(token, role, `${party}.${domain}`, origin);
    } finally {
      await token.close();
    }
  };
  const makeWitness = async (witness: number): Promise<string> => {
    const keys = await make(witnessName(witness), isAuditing(witness) ? 'auditor' : 'witness');
    return (keys.audit ?? keys.witness)!;
  };
  const keepers: SigningToken[] = [];
  const makeKeeper = async (keeper: number): Promise<string> => {
    const token = await workshop.open(keeperName(keeper));
    keepers[keeper - 1] = token;
    return (await makeKeys(token, 'policy', `${keeperName(keeper)}.${domain}`)).policy!;
  };
  try {
    // Side by side: a token's files are waited for as long as its keys.
    const [cosigner, operator, witnesses, policyKeys] = await all([
      make(COSIGNER, 'cosigner'),
      make(OPERATOR, 'operator'),
      all(numbers(WITNESSES).map(makeWitness)),
      all(numbers(POLICY_KEYS).map(makeKeeper)),
    ] as const);
    const draft = draftOf(plan, names, fleetPolicy, { cosigner, operator, witnesses, policyKeys });
    const policy = await signedBy(keepers, createPolicy(JSON.stringify(draft), Date.now()), folder, domain, names);
    await write(folder.policy, serialiseNote(policy.note), 0o644);
    await write(folder.client, serialiseTrustAnchor(clientAnchor(policy, plan, authorityPem)), 0o644);
  } finally {
    for (const token of keepers) await token?.close();
  }
  await writeConfigurations(folder, plan, workshop.module, domain);
}

/** Plain HTTP is for loopback. */
const publicUrl = (plan: FleetPlan, name: string, host = hostOf(plan, name)): string =>
  `${plan.named ? 'https' : 'http'}://${host}:${portsOf(plan, name).service}`;
export const logUrl = (plan: FleetPlan): string => publicUrl(plan, COSIGNER);
export const submissionUrl = (plan: FleetPlan): string => `https://${hostOf(plan, COSIGNER)}:${submissionPortOf(plan)}`;

/** For clients on this machine, where the ports of containers are published under the same numbers. */
const clientAnchor = (policy: SignedPolicy, plan: FleetPlan, authorityPem: string) =>
  anchorOf(policy, [publicUrl(plan, COSIGNER, HOST)], plan.named ? authorityPem : undefined);

/** Where a process finds its certificate for everybody. */
export const PUBLIC_FILES = { certificate: 'public.pem', key: 'public.key' };

function draftOf(
  plan: FleetPlan,
  { vault, environment }: TrustNames,
  fleetPolicy: Omit<Policy, 'minimumShares'>,
  keys: { cosigner: Keys; operator: Keys; witnesses: readonly string[]; policyKeys: readonly string[] },
) {
  const { cosigner, operator, witnesses, policyKeys } = keys;
  const nameOf = (key: string) => key.slice(0, key.indexOf('+'));
  const { limit, lifetimeLimit, waits, takeover, keyStretching } = fleetPolicy;
  return {
    vault,
    environment,
    fleet: plan.name,
    tlog: [
      `log ${cosigner.checkpoint} ${logUrl(plan)}`,
      ...witnesses.map((key, i) => `witness w${i + 1} ${key} ${publicUrl(plan, witnessName(i + 1))}`),
      `group two 2 ${witnesses.map((_, i) => `w${i + 1}`).join(' ')}`,
      'quorum two',
    ],
    auditors: witnesses.filter((_, i) => isAuditing(i + 1)),
    organisations: {
      [nameOf(cosigner.bundle!)]: 'cosigner',
      [nameOf(operator.bundle!)]: 'operator',
      ...Object.fromEntries(witnesses.map((key, i) => [nameOf(key), witnessName(i + 1)])),
    },
    cosigner: cosigner.bundle,
    operator: operator.bundle,
    roster: cosigner.roster,
    plexi: cosigner.plexi,
    // The least that this fleet is, so that none that follows may be weaker.
    floors: {
      tokenClass: 'emulated',
      nodes: Math.min(3, plan.nodes),
      ...{ limit, lifetimeLimit, waits, takeover, keyStretching },
      oneOperator: 'allow',
    },
    policyKeys: { threshold: THRESHOLD, keys: policyKeys },
  };
}

/** Signed by as many keyholders as it needs. */
async function signedBy(
  keepers: readonly SigningToken[],
  file: Omit<PolicyFile, 'note'>,
  folder: FleetFolder,
  domain: string,
  names: TrustNames,
) {
  const now = Date.now();
  const unsigned = { ...file, note: undefined };
  const { refused } = lintReport(unsigned, now);
  if (refused) throw new HoldfastError('usage', `no trust policy can be made for this fleet: ${refused.sentence}`);
  let signed: PolicyFile = unsigned;
  for (const [i, token] of keepers.slice(0, THRESHOLD).entries()) {
    const keeper = keeperName(i + 1);
    const journal = await SigningJournal.open(join(folder.of(keeper), 'journal'));
    try {
      const scope = { purpose: 'policy' as const, ...names };
      const key = await openPurposeKey({ token, name: `${keeper}.${domain}/policy`, scope, journal });
      signed = await signPolicy(signed, key.note, { now });
    } finally {
      await journal.close();
    }
  }
  return requireChain(signed, undefined);
}

/** Paths are relative to the file, so the whole folder can be moved; the ports stand in the signed policy. */
async function writeConfigurations(
  folder: FleetFolder,
  plan: FleetPlan,
  module: string,
  domain: string,
): Promise<void> {
  const { authority } = CERTIFICATE_FILES;
  const common = (party: string) => {
    const { listen, metrics } = listeners(plan, party);
    return {
      name: `${party}.${domain}`,
      token: {
        ...{ module, label: party, pinFile: 'pin' },
        ...{ softhsmConfiguration: 'token/softhsm2.conf', syncFolder: 'token/tokens' },
      },
      journal: 'journal',
      store: { directory: 'store' },
      listen: { ...listen, ...(!plan.named && { plainHttp: true }) },
      ...(plan.named && { tls: PUBLIC_FILES }),
      metrics,
      // All of a fleet on one machine have one address.
      rateLimit: { requests: 0 },
    };
  };
  for (const witness of numbers(WITNESSES)) {
    const name = witnessName(witness);
    const configuration = {
      ...common(name),
      audit: isAuditing(witness),
      policies: ['../policy.note'],
      ...(plan.named && { authority }),
    };
    await write(folder.configuration(name), json(configuration), 0o600);
  }
  const configuration = {
    ...common(COSIGNER),
    policy: '../policy.note',
    files: { directory: 'files' },
    ...(plan.named && { witnesses: { authority } }),
    submission: {
      ...{ host: common(COSIGNER).listen.host, port: submissionPortOf(plan), authorityName: plan.name },
      ...{ authority, certificate: 'certificate.pem', key: 'certificate.key' },
    },
    // Nobody is asked on a machine where one person plays all parts.
    approvers: ['none'],
  };
  await write(folder.configuration(COSIGNER), json(configuration), 0o600);
}

/** The operator's certificate for the cosigner, and its key. */
export function operatorFiles(folder: FleetFolder) {
  const own = folder.of(OPERATOR);
  return {
    authority: join(folder.authority, 'authority.pem'),
    certificate: join(own, 'certificate.pem'),
    key: join(own, 'certificate.key'),
    pin: join(own, 'pin'),
    journal: join(own, 'journal'),
  };
}
