/**
 * The service record (docs/trust.md, section 4): what the nodes of an accepted fleet sign of their limits, program and token,
 * gathered through the coordinators, each checked against the bundle before anybody signs for it.
 */

import {
  bytesToHex,
  type Clock,
  fromBase64Url,
  fromUtf8,
  HoldfastError,
  type JsonValue,
  parseJson,
  systemClock,
} from '../core/index.ts';
import { checkUrl, Fetcher } from '../cosigner/replay/index.ts';
import { bundleSubject, checkServiceRecord, MAXIMUM_SERVICE_STATEMENT, type StatementOf } from '../evidence/index.ts';
import { decodeServiceStatement, type SignedServiceStatement } from '../protocol/index.ts';
import { type Bundle, ecdsaToDer, type LiveManifest } from '../trust/index.ts';

export interface GatherOptions {
  readonly bundle: Bundle<LiveManifest>;
  /** Origins to ask instead of the bundle's coordinators. */
  readonly coordinators?: readonly string[] | undefined;
  /** Milliseconds until it is given up that coordinators know the bundle and all nodes answer; default 120,000. */
  readonly patience?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal | undefined;
}

export interface Gathered {
  readonly statement: StatementOf<'service-record'>;
  /** Numbers of the nodes that did not answer. */
  readonly missing: readonly number[];
}

type Report = { readonly node: number } & SignedServiceStatement;

/** Twice what coordinators let pass between two looks for a bundle (their setting trustSource.intervalMilliseconds). */
const DEFAULT_PATIENCE = 120_000;
const TIMEOUT = 10_000;
const PAUSE = 1000;
/** Nine statements in base64url, with their signatures. */
const MAXIMUM_ANSWER = 65_536;
/** Milliseconds by which a node's clock may differ before its statement counts as another time's. */
const MAXIMUM_AGE = 600_000;

/**
 * Asks until all nodes have answered about the bundle; at the end of its patience what a part of them said counts too.
 * @throws HoldfastError `not_ready` where no coordinator knows the bundle or no node answers, `evidence_mismatch` where a node
 * says other limits than the bundle's.
 */
export async function gatherServiceRecord(options: GatherOptions): Promise<Gathered> {
  const { bundle, patience = DEFAULT_PATIENCE, clock = systemClock, signal } = options;
  const { manifest, digest } = bundle;
  const origins = options.coordinators ?? manifest.coordinators;
  const fetcher = new Fetcher({ authority: manifest.authority });
  const reports = new Map<number, Report>();
  const through = new Set<string>();
  const end = clock.now() + patience;
  let reason = '';
  try {
    for (;;) {
      for (const origin of origins) {
        if (reports.size === manifest.nodes.length) break;
        try {
          const found = (await ask(fetcher, origin, signal)).filter(({ node }) => !reports.has(node));
          for (const report of found) {
            checkReport(report, bundle, clock.now());
            reports.set(report.node, report);
            through.add(origin);
          }
        } catch (error) {
          if (!(error instanceof HoldfastError) || error.code === 'cancelled' || error.code === 'evidence_mismatch')
            throw error;
          reason = error.message;
        }
      }
      if (reports.size === manifest.nodes.length || clock.now() + PAUSE > end) break;
      await clock.sleep(PAUSE, signal);
    }
  } finally {
    await fetcher.close();
  }
  if (reports.size === 0) {
    throw new HoldfastError('not_ready', `no node has said anything about the bundle ${digest}: ${reason}`);
  }
  const missing = manifest.nodes.flatMap((_, i) => (reports.has(i + 1) ? [] : [i + 1]));
  return { statement: recordOf([...reports.values()], [...through], bundle, clock.now()), missing };
}

async function ask(fetcher: Fetcher, origin: string, signal: AbortSignal | undefined): Promise<readonly Report[]> {
  const url = new URL('/v1/service-record', checkUrl('the coordinator’s address', origin));
  const { status, body } = await fetcher.get(url, { maximumBytes: MAXIMUM_ANSWER, timeout: TIMEOUT, signal });
  if (status !== 200) throw new HoldfastError('not_ready', `${url.href} answered with status ${status}`);
  const file = parseJson(fromUtf8(body), 'malformed').object(['bundle', 'nodes']);
  return file.required('nodes').array(0, 9).map(readReport);
}

function readReport(value: JsonValue): Report {
  const report = value.object(['node', 'statement', 'signature']);
  const bytes = (name: 'statement' | 'signature', maximum: number) =>
    fromBase64Url(report.required(name).text(Math.ceil((maximum * 4) / 3)));
  return {
    node: report.required('node').integer(1, 9),
    statement: bytes('statement', MAXIMUM_SERVICE_STATEMENT),
    signature: bytes('signature', 64),
  };
}

/** @throws HoldfastError `malformed`, `untrusted`, `not_ready` about another bundle or time, as `checkServiceRecord`. */
function checkReport(report: Report, bundle: Bundle<LiveManifest>, now: number): void {
  const says = decodeServiceStatement(report.statement);
  if (says.node !== report.node) {
    throw new HoldfastError('untrusted', 'a coordinator gives what one node has said to another');
  }
  if (bytesToHex(says.bundle) !== bundle.digest) {
    throw new HoldfastError('not_ready', 'the coordinator does not know the bundle yet; it looks for it now and then');
  }
  if (Math.abs(says.time - now) > MAXIMUM_AGE) {
    throw new HoldfastError('not_ready', `node ${says.node} spoke 10 minutes ago or more, or its clock is wrong`);
  }
  checkServiceRecord(recordOf([report], [], bundle, now), bundle);
}

/** The statement on these reports, in the order of the nodes. */
function recordOf(
  reports: readonly Report[],
  through: readonly string[],
  { manifest, digest }: Bundle<LiveManifest>,
  now: number,
): StatementOf<'service-record'> {
  const sorted = reports.toSorted((a, b) => a.node - b.node);
  const predicate = {
    gathered: Math.floor(now / 1000) * 1000,
    through,
    reports: sorted.map(({ node, statement, signature }) => ({ node, statement, signature: ecdsaToDer(signature) })),
  };
  return { kind: 'service-record', subject: bundleSubject(manifest.fleet, digest), predicate };
}
