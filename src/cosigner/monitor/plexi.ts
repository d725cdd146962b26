/**
 * The Plexi view held against the log (docs/trust.md, section 3): what its statements say of a fleet must be what the log
 * accepted. A statement shows a signed digest and no history; that the log has.
 */

import { fromUtf8, HoldfastError, hexToBytes, parseJson } from '../../core/index.ts';
import { plexiNamespace, verifyPlexi } from '../../trust/index.ts';
import type { LogReplay } from '../replay/index.ts';
import type { Finding } from './findings.ts';

export interface PlexiSource {
  /**
   * What stands at a path below the view's root; undefined where nothing does.
   * @throws HoldfastError where the view cannot be read.
   */
  readonly get: (path: string, signal?: AbortSignal) => Promise<Uint8Array | undefined>;
}

/** The log that the view is held against. */
export interface ComparedLog {
  readonly replay: Pick<LogReplay, 'state'>;
  /** Leaves of the largest tree that the log itself has shown: of what witnesses alone have seen, the view says nothing yet. */
  readonly served: number;
  /** Reads the log anew, and resolves with the size of what it shows now. */
  readonly catchUp: () => Promise<number>;
}

/**
 * The newest accepted bundle of each fleet, and that the view claims nothing beyond it. The view is read after the log, and may
 * tell of what was accepted in between: before it is called wrong, the log is read again.
 */
export async function plexiFindings(
  source: PlexiSource | undefined,
  { replay, served, catchUp }: ComparedLog,
  signal?: AbortSignal,
): Promise<Finding[]> {
  if (!source) return [];
  const { vault, environment, plexi } = replay.state.policy.policy;
  const findings: Finding[] = [];
  for (const fleet of replay.state.fleets.keys()) {
    const namespace = plexiNamespace({ vault, environment, fleet });
    const faultIn = async (size: number) => {
      const accepted = replay.state.fleets.get(fleet)?.accepted;
      if (!accepted || accepted.index >= size) return undefined;
      const { serial } = accepted.manifest;
      return (
        (await statementFault(source, { namespace, serial, digest: accepted.digest }, plexi.publicKey, signal)) ??
        (await lastFault(source, namespace, serial, accepted.digest, signal))
      );
    };
    try {
      let fault = await faultIn(served);
      if (fault !== undefined) fault = await faultIn(Math.max(served, await catchUp()));
      if (fault === undefined) continue;
      const message = `the Plexi view of ${namespace} is not what the log says: ${fault}`;
      findings.push({ rule: 'plexi_differs', subject: namespace, message });
    } catch (error) {
      if (!(error instanceof HoldfastError) || signal?.aborted) throw error;
      const message = `the Plexi view of ${namespace} cannot be read: ${error.message}`;
      findings.push({ rule: 'vantage_unreachable', subject: `plexi ${namespace}`, message });
    }
  }
  return findings;
}

interface Expected {
  readonly namespace: string;
  readonly serial: number;
  readonly digest: string;
}

/** What is wrong with the statement on one epoch, or undefined. */
async function statementFault(
  source: PlexiSource,
  { namespace, serial, digest }: Expected,
  publicKey: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const bytes = await source.get(`namespaces/${namespace}/audits/${serial}`, signal);
  if (!bytes) throw new HoldfastError('not_ready', `it has no statement on epoch ${serial} yet`);
  const said = read(bytes);
  const stated = { namespace: said.namespace, epoch: said.epoch, digest: said.digest };
  if (stated.namespace !== namespace || stated.epoch !== serial)
    return 'a statement is on something else than was asked';
  if (stated.digest !== digest) return `epoch ${serial} has the digest ${String(stated.digest).slice(0, 64)}`;
  const { timestamp, signature } = said;
  if (typeof timestamp !== 'number' || typeof signature !== 'string' || !/^[0-9a-f]{128}$/.test(signature)) {
    return 'a statement has no time or no signature';
  }
  const statement = { namespace, timestamp, epoch: serial, digest: hexToBytes(digest) };
  try {
    if (verifyPlexi(publicKey, statement, hexToBytes(signature))) return undefined;
  } catch {
    // A time that no statement can have.
  }
  return 'a statement is not signed by the policy’s key';
}

async function lastFault(
  source: PlexiSource,
  namespace: string,
  serial: number,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const bytes = await source.get(`namespaces/${namespace}/last-verified-epoch`, signal);
  if (!bytes) throw new HoldfastError('not_ready', 'it has no last verified epoch yet');
  const { epoch, end_hash: end } = read(bytes);
  if (epoch !== serial)
    return `its last epoch is ${String(epoch).slice(0, 20)}, and the log’s last accepted serial ${serial}`;
  return end === digest ? undefined : 'the hash of its last epoch is another';
}

function read(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const { value } = parseJson(fromUtf8(bytes), 'malformed');
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new HoldfastError('malformed', 'an answer is no JSON object');
}
