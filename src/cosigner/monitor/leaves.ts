/** What a monitor says about the log's leaves: rules that they break, and proposals that nobody accepted. */

import type { LogReplay } from '../replay/index.ts';
import { type Finding, ruleOf } from './findings.ts';
import type { MonitorState } from './store.ts';

/** `filesOf` keeps the signed checkpoint that covers a leaf. */
export async function breachFindings(
  replay: LogReplay,
  filesOf: (index: number, reason: string) => Promise<readonly string[]>,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { index, code, sentence } of replay.breaches) {
    const message = `leaf ${index} breaks the log’s rules (${code}): ${sentence}; the signed checkpoint is proof of it`;
    findings.push({ rule: ruleOf(code), subject: `${index} ${code}`, message, files: await filesOf(index, sentence) });
  }
  return findings;
}

/**
 * Proposals that wait for longer than `unacceptedAfter` (milliseconds): counted from when this monitor first saw them, or
 * from when they say that they are in force, so that one who looks rarely sees them too. A void one confers nothing.
 */
export function proposalFindings(
  { state: log }: Pick<LogReplay, 'state'>,
  before: MonitorState['proposals'],
  now: number,
  unacceptedAfter: number,
): { findings: Finding[]; proposals: MonitorState['proposals'] } {
  const findings: Finding[] = [];
  const proposals: { digest: string; since: number }[] = [];
  for (const [fleet, { proposal, accepted, revokedThrough }] of log.fleets) {
    const { digest, manifest, index } = proposal;
    if (accepted?.digest === digest || manifest.serial <= revokedThrough) continue;
    const since = before.find((known) => known.digest === digest)?.since ?? now;
    proposals.push({ digest, since });
    if (now - Math.min(since, manifest.notBefore) < unacceptedAfter) continue;
    const message = `the proposal of serial ${manifest.serial} of the fleet ${fleet} (leaf ${index}) was not accepted in time; ask the operator whether it is the cosigner’s own`;
    findings.push({ rule: 'unaccepted_proposal', subject: `${fleet} ${digest}`, message });
  }
  return { findings, proposals };
}
