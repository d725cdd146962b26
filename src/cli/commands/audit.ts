/** `holdfast audit`: runs the numbered steps of docs/audit.md over a site or a copy of one, and says what each of them proves. */

import {
  AUDIT_STATES,
  AUDIT_TEXTS,
  type AuditReport,
  type AuditStep,
  auditReportJson,
  auditReportMembers,
  failureOf,
  runAudit,
  type SeenLog,
  seenInReport,
} from '../../audit/index.ts';
import { HoldfastError } from '../../core/index.ts';
import { MAXIMUM_CERTIFICATE, type VendorRoot, vendorRootFrom } from '../../evidence/index.ts';
import {
  anchorOf,
  MAXIMUM_POLICY_NOTE,
  MAXIMUM_TRUST_ANCHOR,
  parseSignedPolicy,
  parseTrustAnchor,
  type TrustAnchor,
} from '../../trust/index.ts';
import { keepingSource, openAuditSource } from '../audit-source.ts';
import { readParsed, readSmallFile, readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';

export interface AuditFlags {
  readonly anchor?: string;
  readonly policy?: string;
  readonly authority?: string;
  readonly fleet?: string;
  readonly seen?: string;
  readonly vendorRoot?: readonly string[];
  readonly keep?: string;
  readonly out?: string;
  readonly brief?: boolean;
}

const MAXIMUM_PEM = 65_536;
const MAXIMUM_REPORT = 8_388_608;

/** Without `site`: the first source that the trust anchor names. */
export async function audit(site: string | undefined, flags: AuditFlags, signal: AbortSignal): Promise<CommandResult> {
  const anchor = await readAnchor(flags);
  const where = site ?? (flags.anchor === undefined ? undefined : anchor?.sources[0]);
  if (where === undefined) throw new HoldfastError('usage', 'say which site: an address, a folder, or --anchor FILE');
  const given = flags.authority === undefined ? undefined : await readPem(flags.authority);
  await using opened = await openAuditSource(where, given ?? anchor?.authority);
  const report = await runAudit(
    {
      source: flags.keep === undefined ? opened.source : keepingSource(opened, flags.keep),
      site: opened.site,
      anchor,
      fleet: flags.fleet,
      seen: flags.seen === undefined ? undefined : await readSeen(flags.seen),
      vendorRoots: await Promise.all((flags.vendorRoot ?? []).map(readVendorRoot)),
      now: Date.now(),
      signal,
    },
    showProgress,
  );
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  if (flags.out !== undefined) {
    await writeWholeFile(flags.out, auditReportJson(report), { mode: 0o644, overwrite: true });
  }
  const failure = failureOf(report);
  return {
    value: auditReportMembers(report),
    lines: linesOf(where, report, flags.brief ?? false),
    ...(failure && { code: failure.code }),
  };
}

function showProgress({ number, id }: AuditStep): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${number}. ${AUDIT_TEXTS[id].title}`);
}

async function readAnchor({ anchor, policy }: AuditFlags): Promise<TrustAnchor | undefined> {
  if (anchor !== undefined && policy !== undefined) {
    throw new HoldfastError('usage', 'give --anchor or --policy, not both');
  }
  if (anchor !== undefined) return await readParsed(anchor, 'the trust anchor', MAXIMUM_TRUST_ANCHOR, parseTrustAnchor);
  if (policy === undefined) return undefined;
  // An audit reads from the site that it is told, so that the sources of an anchor play no part.
  const signed = await readParsed(policy, 'the trust policy', MAXIMUM_POLICY_NOTE, parseSignedPolicy);
  return anchorOf(signed, ['https://folder.invalid']);
}

async function readSeen(path: string): Promise<SeenLog> {
  const seen = seenInReport(await readTextFile(path, 'the earlier report', MAXIMUM_REPORT));
  if (seen !== undefined) return seen;
  throw new HoldfastError(
    'bad_input',
    'the earlier report did not verify a log, so that there is nothing to compare with',
  );
}

const readPem = (path: string) => readTextFile(path, 'the authority', MAXIMUM_PEM);

/** `VENDOR=FILE`, the file with one certificate in PEM or DER. */
async function readVendorRoot(word: string): Promise<VendorRoot> {
  const [, vendor, path] = /^([^=]{1,100})=(.+)$/s.exec(word) ?? [];
  if (vendor === undefined || path === undefined) throw new HoldfastError('usage', 'write --vendor-root VENDOR=FILE');
  const content = await readSmallFile(path, 'the vendor’s root', 2 * MAXIMUM_CERTIFICATE);
  return vendorRootFrom(vendor, content);
}

function linesOf(where: string, report: AuditReport, brief: boolean): string[] {
  const { steps, passed, fleets } = report;
  const counts = (['passed', 'stated', 'not_checked', 'failed'] as const)
    .map((state) => [steps.filter((step) => step.state === state).length, AUDIT_STATES[state]] as const)
    .filter(([count]) => count > 0)
    .map(([count, title]) => `${count} ${title.toLowerCase()}`);
  const lines = [`Audit of ${where}, ${new Date(report.at).toISOString().replace(/\.\d+/, '')}`];
  let fleet: string | undefined;
  for (const step of steps) {
    if (step.fleet !== fleet) lines.push('', `Fleet ${step.fleet}`);
    fleet = step.fleet;
    lines.push(...(brief ? [briefLine(step)] : ['', ...stepLines(step)]));
  }
  lines.push(
    '',
    `${steps.length} steps over ${fleets.length === 1 ? '1 fleet' : `${fleets.length} fleets`}: ${counts.join('; ')}.`,
  );
  lines.push(passed ? 'Nothing that was checked is wrong.' : 'Something is wrong: see the steps that failed.');
  return lines;
}

function briefLine({ number, id, state, code, message }: AuditStep): string {
  const mark = state === 'failed' ? `FAILED (${code})` : AUDIT_STATES[state];
  return `${String(number).padStart(2)}. ${AUDIT_TEXTS[id].title} [${mark}] ${message}`;
}

function stepLines({ number, id, state, code, message }: AuditStep): string[] {
  const { title, checked, proves, provesNot, failure } = AUDIT_TEXTS[id];
  const head = `${String(number).padStart(2)}. ${title} [${state === 'failed' ? `FAILED: ${code}` : AUDIT_STATES[state]}]`;
  if (state === 'failed') return [head, ...rows(['Checked', checked], ['Found', message], ['It means', failure])];
  if (state === 'not_checked') return [head, ...rows(['Why', message], ['It would prove', proves])];
  return [head, ...rows(['Checked', checked], ['Found', message], ['Proves', proves], ['Not', provesNot])];
}

const WIDTH = 110;
const INDENT = 20;

/** Names in one column, sentences in another, broken between words. */
function rows(...pairs: readonly (readonly [string, string])[]): string[] {
  return pairs.flatMap(([name, text]) =>
    wrapped(text).map((line, i) => `    ${(i === 0 ? name : '').padEnd(INDENT - 4)}${line}`),
  );
}

function wrapped(text: string): string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1)!;
    if (last !== '' && last.length + word.length + 1 > WIDTH - INDENT) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
