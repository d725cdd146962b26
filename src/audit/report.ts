/** Reports of audits as files, and what of them the next audit compares with. */

import { HoldfastError, parseJson } from '../core/index.ts';
import { readDigest } from '../trust/index.ts';
import type { AuditReport, SeenLog } from './types.ts';

export const AUDIT_REPORT = 'holdfast/audit-report/v1';
/** Characters of a report that is read back. */
const MAXIMUM_REPORT = 8_388_608;
const MEMBERS = ['format', 'site', 'at', 'passed', 'fleets', 'seen', 'steps', 'code', 'exitCode'] as const;

/** The report as the members of a JSON file: what `holdfast audit --json` prints and the page saves. */
export function auditReportMembers({ site, at, passed, fleets, seen, steps }: AuditReport) {
  return {
    format: AUDIT_REPORT,
    site,
    at: new Date(at).toISOString(),
    passed,
    fleets,
    seen: seen ?? null,
    steps: steps.map(({ number, id, fleet, state, code, message, facts }) => ({
      ...{ number, id, fleet: fleet ?? null, state, code: code ?? null, message, facts },
    })),
  };
}

/** A file of it, for people to keep. */
export function auditReportJson(report: AuditReport): string {
  return `${JSON.stringify(auditReportMembers(report), undefined, 2)}\n`;
}

/**
 * The state of the log in an earlier report, to compare with: undefined where that report has none.
 * @throws HoldfastError `bad_input` for what is no report.
 */
export function seenInReport(text: string): SeenLog | undefined {
  if (text.length > MAXIMUM_REPORT) throw new HoldfastError('bad_input', 'the earlier report is too long');
  const file = parseJson(text, 'bad_input').object(MEMBERS);
  file.required('format').word([AUDIT_REPORT]);
  const value = file.required('seen');
  if (value.value === null) return undefined;
  const seen = value.object(['origin', 'size', 'root']);
  return {
    origin: seen.required('origin').text(1024),
    size: seen.required('size').integer(0),
    root: readDigest(seen.required('root')),
  };
}
