/** `holdfast bundle`: what operators send to the cosigner, and their approval of what waits there. */

import { HoldfastError } from '../../core/index.ts';
import { type Logged, type Pending, SUBMISSIONS, SubmissionClient } from '../../service/index.ts';
import { renderMessage } from '../../signer/index.ts';
import { digestOf, parseBundle, serialiseBundle } from '../../trust/index.ts';
import { approverOf } from '../approval.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';

export interface CosignerFlags {
  readonly cosigner: string;
  readonly authority: string;
  readonly authorityName: string;
  readonly certificate: string;
  readonly key: string;
}

export interface SubmitFlags extends CosignerFlags {
  readonly kind: string;
  readonly out?: string;
}

export interface CosignFlags extends CosignerFlags {
  readonly approve?: readonly string[];
  readonly reject?: boolean;
  readonly out?: string;
}

/** Milliseconds: the cosigner answers once the log has it, and its token may be slow. */
const TIMEOUT = 60_000;
const MAXIMUM_PEM = 65_536;

async function withCosigner<T>(flags: CosignerFlags, body: (client: SubmissionClient) => Promise<T>): Promise<T> {
  const client = new SubmissionClient({
    url: flags.cosigner,
    authority: flags.authorityName,
    tls: {
      authorityPem: await readTextFile(flags.authority, 'the authority’s certificate', MAXIMUM_PEM),
      certificatePem: await readTextFile(flags.certificate, 'your certificate', MAXIMUM_PEM),
      privateKeyPem: await readTextFile(flags.key, 'your private key', MAXIMUM_PEM),
    },
    timeout: TIMEOUT,
  });
  try {
    return await body(client);
  } finally {
    await client.close();
  }
}

/** Sends a proposal, an acceptance, a revocation, a trust policy or a piece of evidence. */
export async function submit(file: string, flags: SubmitFlags): Promise<CommandResult> {
  const kind = SUBMISSIONS.find((each) => each === flags.kind);
  if (!kind) throw new HoldfastError('usage', `--kind must be one of ${SUBMISSIONS.join(', ')}`);
  const text = await readTextFile(file, 'the file', 65_536);
  const result = await withCosigner(flags, (client) => client.submit(kind, text));
  return described(result, flags.out);
}

/** Shows what waits; with a digest, asks for approval of that proposal and has it signed and logged. */
export async function cosign(
  digest: string | undefined,
  flags: CosignFlags,
  signal: AbortSignal,
): Promise<CommandResult> {
  return withCosigner(flags, async (client) => {
    const waiting = await client.waiting();
    if (digest === undefined) {
      const lines = waiting.map(({ digest: each, since }) => `${each}  since ${new Date(since).toISOString()}`);
      return {
        value: { waiting: waiting.map((each) => ({ digest: each.digest, since: each.since })) },
        lines: lines.length > 0 ? lines : ['Nothing waits for approval.'],
      };
    }
    const found = waiting.find((each) => each.digest === digest);
    if (!found) throw new HoldfastError('not_found', 'no proposal with this digest waits; see holdfast bundle cosign');
    if (flags.reject) {
      await client.reject(digest);
      return { value: { digest, status: 'rejected' }, lines: [`Rejected ${digest}.`] };
    }
    // What is shown is what the digest is of, whatever the cosigner says.
    const bundle = parseBundle(found.text);
    if (digestOf(found.text) !== digest || serialiseBundle(bundle.manifest) !== found.text) {
      throw new HoldfastError(
        'untrusted',
        'the cosigner shows another text than the digest is of; nothing was approved',
      );
    }
    const { fleet, serial, kind } = bundle.manifest;
    const about = `${kind} of fleet ${fleet}, serial ${serial}`;
    const request = { purpose: 'bundle' as const, key: flags.cosigner, digest };
    const lines = renderMessage({ ...request, about }, new TextEncoder().encode(found.text));
    await approverOf(flags, signal).approve({ ...request, lines });
    return described(await client.approve(digest), flags.out);
  });
}

async function described(
  result: Logged | Pending | { readonly index: number },
  out: string | undefined,
): Promise<CommandResult> {
  if (!('status' in result)) return { value: { ...result }, lines: [`In the log at index ${result.index}.`] };
  if (result.status === 'pending') {
    return {
      value: { ...result },
      lines: [`Waits for approval: ${result.digest}`, 'An approver runs holdfast bundle cosign with this digest.'],
    };
  }
  if (out !== undefined) await writeWholeFile(out, result.note, { mode: 0o644, overwrite: false });
  const lines = [`In the log at index ${result.index}, digest ${result.digest}.`];
  return { value: { ...result }, lines: out === undefined ? lines : [...lines, `The signed note is in ${out}.`] };
}
