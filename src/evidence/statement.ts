/** Statements of evidence: in-toto Statement v1 (in-toto attestation framework, spec/v1), one subject, in canonical JSON only. */

import { fromUtf8, HoldfastError, type JsonValue, parseJson, utf8 } from '../core/index.ts';
import {
  type CanonicalValue,
  canonicalJson,
  type Digest,
  readDigest,
  requireCanonical,
  withCode,
} from '../trust/index.ts';
import { type CeremonyPredicate, readCeremony, writeCeremony } from './ceremony.ts';
import { readLine } from './lines.ts';
import { type NodeKeysPredicate, readNodeKeysPredicate, writeNodeKeysPredicate } from './node-keys.ts';
import { readServiceRecord, type ServiceRecordPredicate, writeServiceRecord } from './service-record.ts';
import { readSoftware, type SoftwarePredicate, writeSoftware } from './software.ts';

export interface Predicates {
  readonly ceremony: CeremonyPredicate;
  readonly 'node-keys': NodeKeysPredicate;
  readonly software: SoftwarePredicate;
  readonly 'service-record': ServiceRecordPredicate;
}
export type StatementKind = keyof Predicates;

export interface StatementSubject {
  /** `<fleet> description`, or `<fleet> bundle` of a service record. */
  readonly name: string;
  readonly sha256: Digest;
}

export interface StatementOf<K extends StatementKind> {
  readonly kind: K;
  readonly subject: StatementSubject;
  readonly predicate: Predicates[K];
}
export type Statement = { [K in StatementKind]: StatementOf<K> }[StatementKind];

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PREDICATE_TYPES = {
  ceremony: 'https://holdfast.invalid/evidence/ceremony/v1',
  'node-keys': 'https://holdfast.invalid/evidence/node-keys/v1',
  software: 'https://slsa.dev/provenance/v1',
  'service-record': 'https://holdfast.invalid/evidence/service-record/v1',
} as const satisfies Record<StatementKind, string>;

/** Bytes of a statement. */
export const MAXIMUM_STATEMENT = 700_000;

const CODECS: {
  readonly [K in StatementKind]: {
    read(value: JsonValue): Predicates[K];
    write(predicate: Predicates[K]): CanonicalValue;
  };
} = {
  ceremony: { read: readCeremony, write: writeCeremony },
  'node-keys': { read: readNodeKeysPredicate, write: writeNodeKeysPredicate },
  software: { read: readSoftware, write: writeSoftware },
  'service-record': { read: readServiceRecord, write: writeServiceRecord },
};

/** The subject of statements that belong to a fleet's description. */
export function descriptionSubject(fleet: string, description: Digest): StatementSubject {
  return { name: `${fleet} description`, sha256: description };
}

/** The subject of a service record. */
export function bundleSubject(fleet: string, bundle: Digest): StatementSubject {
  return { name: `${fleet} bundle`, sha256: bundle };
}

/** The bytes that a DSSE envelope carries. @throws HoldfastError `evidence_malformed` for what `parseStatement` would refuse. */
export function serialiseStatement(statement: Statement): Uint8Array<ArrayBuffer> {
  const bytes = utf8(withCode('evidence_malformed', () => textOf(statement)));
  parseStatement(bytes);
  return bytes;
}

/** @throws HoldfastError `evidence_malformed` for anything that `serialiseStatement` would not have written. */
export function parseStatement(bytes: Uint8Array): Statement {
  if (bytes.length > MAXIMUM_STATEMENT) {
    throw new HoldfastError('evidence_malformed', `a statement has more than ${MAXIMUM_STATEMENT} bytes`);
  }
  return withCode('evidence_malformed', () => {
    const text = fromUtf8(bytes);
    const file = parseJson(text, 'evidence_malformed').object(['_type', 'subject', 'predicateType', 'predicate']);
    file.required('_type').word([STATEMENT_TYPE]);
    const type = file.required('predicateType').word(Object.values(PREDICATE_TYPES));
    const kind = (Object.keys(PREDICATE_TYPES) as StatementKind[]).find((each) => PREDICATE_TYPES[each] === type)!;
    const [subject] = file.required('subject').array(1, 1);
    const statement = readStatement(kind, readSubject(subject!), file.required('predicate'));
    requireCanonical(text, textOf(statement), 'evidence_malformed');
    return statement;
  });
}

function readStatement<K extends StatementKind>(kind: K, subject: StatementSubject, predicate: JsonValue): Statement {
  // The kind and the reader that belongs to it are looked up together, which the compiler cannot follow.
  return { kind, subject, predicate: CODECS[kind].read(predicate) } as Statement;
}

function readSubject(value: JsonValue): StatementSubject {
  const subject = value.object(['name', 'digest']);
  const digest = subject.required('digest').object(['sha256']);
  return { name: readLine(subject.required('name'), 128), sha256: readDigest(digest.required('sha256')) };
}

function textOf(statement: Statement): string {
  const { kind, subject } = statement;
  return canonicalJson({
    _type: STATEMENT_TYPE,
    subject: [{ name: subject.name, digest: { sha256: subject.sha256 } }],
    predicateType: PREDICATE_TYPES[kind],
    predicate: writePredicate(statement),
  });
}

function writePredicate(statement: Statement): CanonicalValue {
  switch (statement.kind) {
    case 'ceremony':
      return CODECS.ceremony.write(statement.predicate);
    case 'node-keys':
      return CODECS['node-keys'].write(statement.predicate);
    case 'software':
      return CODECS.software.write(statement.predicate);
    case 'service-record':
      return CODECS['service-record'].write(statement.predicate);
  }
}
