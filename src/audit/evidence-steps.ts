/** The steps on the deployment's evidence of one fleet (docs/evidence.md). */

import { HoldfastError } from '../core/index.ts';
import {
  checkCeremony,
  checkCeremonyFolder,
  checkNodeKeys,
  checkServiceRecord,
  checkSubject,
  coveredDescriptions,
  type EvidenceManifest,
  MAXIMUM_EVIDENCE_MANIFEST,
  MAXIMUM_SIGSTORE_BUNDLE,
  readManifestFile,
  requireAgreementOrder,
  requireOwnKeys,
  requireStatements,
  type Statement,
  type StatementEntry,
  type StatementKind,
  type StatementOf,
  verifySigstoreBundle,
  verifyStatementFile,
} from '../evidence/index.ts';
import {
  type Bundle,
  DEVELOPMENT,
  type Digest,
  type Evidence,
  type LiveManifest,
  parseLeaf,
  type SignedPolicy,
} from '../trust/index.ts';
import type { AuditedSite } from './site.ts';
import type { ReplayedLog } from './site-steps.ts';
import { count, type Finding, NotChecked, timeText } from './steps.ts';

/** Service records of one bundle that are fetched, the newest first. */
const MAXIMUM_RECORDS = 8;

export interface ReadEvidenceFolder {
  readonly evidence: EvidenceManifest;
  readonly descriptions: ReadonlySet<Digest>;
}

export type VerifiedStatements = readonly { readonly entry: StatementEntry; readonly statement: Statement }[];

/** Step `evidence`: the manifest of the evidence is the one that the bundle names, about this fleet, and complete. */
export async function evidenceStep(
  site: AuditedSite,
  { manifest }: Bundle<LiveManifest>,
  earlier: readonly LiveManifest[],
  policy: SignedPolicy,
): Promise<Finding<ReadEvidenceFolder>> {
  const { sha256, address } = manifest.evidence;
  const file = await site.evidence({ sha256, address, size: 0 }, MAXIMUM_EVIDENCE_MANIFEST, address);
  const descriptions = coveredDescriptions(manifest, earlier);
  const evidence = readManifestFile(file, sha256, descriptions);
  requireStatements(manifest, evidence.statements);
  requireOwnKeys(evidence, manifest, policy);
  return {
    value: { evidence, descriptions },
    message: `${count(evidence.statements.length, 'statement')} and ${count(evidence.files.length, 'other file')}, for this fleet and named by its document.`,
    facts: {
      ...{ sha256, address },
      keys: evidence.keys.map(({ name }) => name),
      statements: evidence.statements.map(
        ({ kind, node, sha256: digest }) => `${kind}${node ? ` ${node}` : ''}: ${digest}`,
      ),
    },
  };
}

/** A leaf of evidence, and where it stands. */
interface LoggedEvidence extends Evidence {
  readonly index: number;
}

function loggedEvidence({ entries }: ReplayedLog): LoggedEvidence[] {
  return entries.flatMap((entry, index) => {
    const leaf = parseLeaf(entry);
    return leaf.type === 'evidence' ? [{ ...leaf.evidence, index }] : [];
  });
}

/** Step `logged`: the manifest and each statement have their leaves. @param accepted index of the acceptance. */
export async function loggedStep(
  { manifest }: Bundle<LiveManifest>,
  { evidence }: ReadEvidenceFolder,
  log: ReplayedLog,
  accepted: number,
): Promise<Finding<undefined>> {
  const logged = loggedEvidence(log);
  const find = (what: string, sha256: Digest, fits: (leaf: LoggedEvidence) => boolean) => {
    const leaf = logged.find((each) => each.sha256 === sha256 && fits(each));
    if (leaf !== undefined) return leaf.index;
    throw new HoldfastError('evidence_unlogged', `${what} has no entry in the log where it must have one`, {
      details: { sha256 },
    });
  };
  const { sha256, address } = manifest.evidence;
  const first = find('the evidence', sha256, (leaf) => leaf.index < accepted && leaf.address === address);
  const indices = evidence.statements.map(({ kind, node, ...entry }) =>
    find(`the statement ${kind}${node ? ` on ${node}` : ''}`, entry.sha256, ({ size }) => size === entry.size),
  );
  return {
    value: undefined,
    message: `The evidence is entry ${first} of the log, before the acceptance; each of ${count(indices.length, 'statement')} has one too.`,
    facts: { index: first, statements: indices.map(String) },
  };
}

/** Step `statements`: every statement is the file that was named, and signed by the key that was named. */
export async function statementsStep(
  site: AuditedSite,
  { manifest }: Bundle<LiveManifest>,
  { evidence, descriptions }: ReadEvidenceFolder,
): Promise<Finding<VerifiedStatements>> {
  const { address } = manifest.evidence;
  const files = await Promise.all(
    evidence.statements.map((entry) => site.evidence(entry, MAXIMUM_SIGSTORE_BUNDLE, address)),
  );
  const statements = evidence.statements.map((entry, i) => {
    const statement = verifyStatementFile(files[i]!, entry, evidence);
    checkSubject(statement.subject, manifest.fleet, descriptions);
    return { entry, statement };
  });
  const signers = [...new Set(statements.map(({ entry }) => entry.key))];
  return {
    value: statements,
    message: `${count(statements.length, 'statement')}, signed by ${signers.join(' and ')}.`,
    facts: {
      statements: statements.map(({ entry }) => `${entry.kind}${entry.node ? ` ${entry.node}` : ''}: ${entry.key}`),
    },
  };
}

export function statementsOfKind<K extends StatementKind>(statements: VerifiedStatements, kind: K): StatementOf<K>[] {
  return statements.flatMap(({ statement }) => (isKind(statement, kind) ? [statement] : []));
}

function isKind<K extends StatementKind>(statement: Statement, kind: K): statement is Statement & StatementOf<K> {
  return statement.kind === kind;
}

/** Step `node-keys`: each node's keys are the bundle's, and somebody who has them answered for this fleet. */
export async function nodeKeysStep(
  { manifest }: Bundle<LiveManifest>,
  statements: VerifiedStatements,
  log: ReplayedLog | undefined,
): Promise<Finding<undefined>> {
  const signed: string[] = [];
  const agreed: string[] = [];
  const unproven: string[] = [];
  for (const statement of statementsOfKind(statements, 'node-keys')) {
    const { node } = statement.predicate;
    const found = checkNodeKeys(statement, manifest);
    signed.push(...found.signed.map((key) => `${node} ${key}`));
    unproven.push(...found.unproven.map((key) => `${node} ${key}`));
    for (const agreement of found.agreed) {
      const own = statements.find((each) => each.statement === statement)!.entry.sha256;
      if (log !== undefined) requireAgreementOrder(agreement, own, node, placeIn(log));
      agreed.push(`${node} ${agreement.key}`);
    }
  }
  return {
    value: undefined,
    message: `${count(signed.length, 'key has', 'keys have')} signed for this fleet, and ${count(agreed.length, 'key was', 'keys were')} used in an exchange; for ${count(unproven.length, 'other')} no public proof is claimed.`,
    facts: { signed, agreed, unproven },
  };
}

function placeIn(log: ReplayedLog): (sha256: Digest) => number | undefined {
  const logged = loggedEvidence(log);
  return (sha256) => logged.find((leaf) => leaf.sha256 === sha256)?.index;
}

/** Step `ceremony`: the record fits keys and tokens, and everybody who was present has signed it. */
export async function ceremonyStep(
  { manifest }: Bundle<LiveManifest>,
  { evidence }: ReadEvidenceFolder,
  statements: VerifiedStatements,
  earlier: readonly LiveManifest[],
): Promise<Finding<undefined>> {
  const [ceremony] = statementsOfKind(statements, 'ceremony');
  if (ceremony === undefined) throw new NotChecked(withoutStatement(manifest, 'record of a ceremony'));
  const { made, earlier: before } = checkCeremony(
    ceremony,
    manifest,
    statementsOfKind(statements, 'node-keys'),
    earlier,
  );
  checkCeremonyFolder(ceremony, evidence);
  const { people, steps, destroyed, began, ended } = ceremony.predicate;
  const failed = steps.filter(({ result }) => result === 'failed').length;
  const names = people.map(({ name, role }) => `${name} (${role})`);
  return {
    state: 'stated',
    value: undefined,
    message: `${names.join(', ')} signed the record of ${timeText(began)}: ${count(steps.length, 'step')}, of which ${failed} failed, and ${count(destroyed.length, 'thing')} destroyed. Reported by the ceremony machine.`,
    facts: {
      ...{ began: timeText(began), ended: timeText(ended), people: names, made, earlier: before },
      tokens: ceremony.predicate.tokens.map(({ node, model, serial, seals }) =>
        [node ?? 'other', model, serial, ...seals].join(', '),
      ),
      destroyed: destroyed.map(({ what, how }) => `${what}: ${how}`),
    },
  };
}

/** Step `software`: what the operator says was built. */
export async function softwareStep(
  { manifest }: Bundle<LiveManifest>,
  statements: VerifiedStatements,
): Promise<Finding<undefined>> {
  const [software] = statementsOfKind(statements, 'software');
  if (software === undefined) throw new NotChecked(withoutStatement(manifest, 'statement on software'));
  const { version, source, commit, lockfile, builder, artifacts } = software.predicate;
  return {
    state: 'stated',
    value: undefined,
    message: `The operator states that version ${version} was built from ${source} at ${commit.slice(0, 12)}. It says what was built, not what runs.`,
    facts: {
      ...{ version, source, commit, lockfile, builder },
      artifacts: artifacts.map(({ name, sha256 }) => `${name}: ${sha256}`),
    },
  };
}

function withoutStatement({ environment }: LiveManifest, what: string): string {
  return environment === DEVELOPMENT
    ? `The evidence has no ${what}, as is usual in development.`
    : `The evidence has no ${what}.`;
}

/** Step `service-record`: what running nodes have signed about their limits. @param accepted index of the acceptance. */
export async function serviceRecordStep(
  site: AuditedSite,
  bundle: Bundle<LiveManifest>,
  { evidence }: ReadEvidenceFolder,
  log: ReplayedLog,
  accepted: number,
): Promise<Finding<undefined>> {
  const known = evidence.statements.map(({ sha256 }) => sha256);
  const candidates = loggedEvidence(log)
    .filter(({ index, sha256, size }) => index > accepted && !known.includes(sha256) && size <= MAXIMUM_SIGSTORE_BUNDLE)
    .reverse();
  let unavailable = 0;
  for (const candidate of candidates.slice(0, MAXIMUM_RECORDS)) {
    const statement = await recordIn(site, candidate, evidence, bundle).catch((error: unknown) => {
      if (error instanceof HoldfastError && ['evidence_missing', 'not_ready'].includes(error.code)) unavailable++;
      else throw error;
      return undefined;
    });
    if (statement === undefined) continue;
    const { reports, silent } = checkServiceRecord(statement, bundle);
    const quiet = silent.length > 0 ? ` Nothing is known of ${silent.join(', ')}.` : '';
    return {
      value: undefined,
      message: `${count(reports.length, 'node')} of ${bundle.manifest.nodes.length} signed that they count by this document’s limits, ${timeText(statement.predicate.gathered)}.${quiet}`,
      facts: {
        ...{ sha256: candidate.sha256, index: candidate.index, silent },
        reports: reports.map(
          ({ node, version, commit, time }) =>
            `${node}: version ${version}${commit && `, ${commit.slice(0, 12)}`}, ${timeText(time)}`,
        ),
      },
    };
  }
  throw new NotChecked(
    unavailable > 0
      ? 'The log has entries that may be service records, and nobody serves the files.'
      : 'The log has no service record for this document: the nodes have not said by which limits they count.',
  );
}

/** The service record of this bundle in a logged file; undefined for a file that is something else. */
async function recordIn(
  site: AuditedSite,
  leaf: LoggedEvidence,
  { keys }: EvidenceManifest,
  { digest }: Bundle<LiveManifest>,
): Promise<StatementOf<'service-record'> | undefined> {
  const file = await site.evidence(leaf, MAXIMUM_SIGSTORE_BUNDLE, leaf.address);
  let statement: Statement;
  try {
    statement = verifySigstoreBundle(file, keys);
  } catch (error) {
    // Evidence of other fleets stands in the same log, in whatever form and by whosever key.
    if (error instanceof HoldfastError && ['evidence_malformed', 'evidence_signature'].includes(error.code))
      return undefined;
    throw error;
  }
  return statement.kind === 'service-record' && statement.subject.sha256 === digest ? statement : undefined;
}
