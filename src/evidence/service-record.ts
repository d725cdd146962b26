/**
 * The service record: the limits in force, read back from running nodes and signed by their tokens (src/protocol,
 * service statement). It is made after the bundle was accepted, names the bundle's digest, and is logged by itself.
 */

import type { JsonValue } from '../core/index.ts';
import { type CanonicalValue, formatTime, readOrigin, readTime, toBase64 } from '../trust/index.ts';
import { readBase64 } from './keys.ts';

/** What one node says of itself, signed by its identity key. */
export interface SignedServiceReport {
  /** Number of the node in the bundle, from 1; the statement says the same. */
  readonly node: number;
  /** The bytes of a service statement of src/protocol, up to 4,096. */
  readonly statement: Uint8Array;
  /** ECDSA in DER over `statement`: what `openssl dgst -sha256 -verify` reads. */
  readonly signature: Uint8Array;
}

export interface ServiceRecordPredicate {
  /** Milliseconds since 1970, whole seconds. */
  readonly gathered: number;
  /** Origins of the coordinators through which the nodes were asked, 0 to 32. */
  readonly through: readonly string[];
  /** By the nodes' numbers, each once; 1 to 9. */
  readonly reports: readonly SignedServiceReport[];
}

/** Bytes of a node's statement. */
export const MAXIMUM_SERVICE_STATEMENT = 4096;

export function writeServiceRecord({ gathered, through, reports }: ServiceRecordPredicate): CanonicalValue {
  return {
    gathered: formatTime(gathered),
    through,
    reports: reports.map(({ node, statement, signature }) => ({
      ...{ node, statement: toBase64(statement), signature: toBase64(signature) },
    })),
  };
}

/** Reads what `writeServiceRecord` writes. Throws as `JsonValue` does. */
export function readServiceRecord(value: JsonValue): ServiceRecordPredicate {
  const file = value.object(['gathered', 'through', 'reports']);
  const reports = file.required('reports').array(1, 9).map(readReport);
  reports.forEach(({ node }, i) => {
    if (i > 0 && node <= reports[i - 1]!.node)
      file.required('reports').fail('must be by the nodes’ numbers, each once');
  });
  return {
    gathered: readTime(file.required('gathered')),
    through: file
      .required('through')
      .array(0, 32)
      .map((item) => readOrigin(item)),
    reports,
  };
}

function readReport(value: JsonValue): SignedServiceReport {
  const report = value.object(['node', 'statement', 'signature']);
  return {
    node: report.required('node').integer(1, 9),
    statement: readBase64(report.required('statement'), MAXIMUM_SERVICE_STATEMENT),
    signature: readBase64(report.required('signature'), 72),
  };
}
