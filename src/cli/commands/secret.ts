/** `holdfast secret`: keeps a secret under a PIN, and gives it back for the right one. */

import type { Recovered, Status } from '../../client/index.ts';
import { concatBytes, HoldfastError, type Secret, toBase64Url } from '../../core/index.ts';
import { type ConnectFlags, connect } from '../connect.ts';
import { checkWritable, readSmallFile, writeWholeFile } from '../files.ts';
import { explainWaiting, recoveryFacts, recoveryNotices, tell } from '../notices.ts';
import { formatWhen, say } from '../output.ts';
import { askPin, kindOf, type PinFlags } from '../pins.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';

const MAXIMUM_SECRET = 1024;

export interface SecretFlags extends ConnectFlags, PinFlags {
  readonly json?: boolean;
}

export interface PutFlags extends SecretFlags {
  readonly secretFile?: string;
  readonly takeover?: boolean;
  readonly acceptDegraded?: boolean;
}

export async function put(flags: PutFlags, signal: AbortSignal): Promise<CommandResult> {
  await using connection = await connect(flags);
  if (flags.pinStdin && flags.secretFile === undefined) {
    throw new HoldfastError('usage', 'standard input cannot give both; name the secret with --secret-file FILE');
  }
  const secret = await readSecret(flags.secretFile, signal);
  const pin = await askPin(flags, { prompt: 'New PIN: ', confirm: true, signal });
  const { takeover = false, acceptDegraded = false } = flags;
  try {
    const enrolled = await connection.client.enrol(pin, secret, {
      signal,
      kind: kindOf(flags),
      takeover,
      acceptDegraded,
    });
    const line = 'The secret is kept; the PIN has been tried and gives it back.';
    return await tell(connection, flags, enrolledResult(enrolled, line));
  } catch (thrown) {
    if (!(thrown instanceof HoldfastError) || thrown.code !== 'owner_required') throw thrown;
    const advice = 'there is a record already; use holdfast secret change-pin, or --takeover where the fleet allows it';
    throw new HoldfastError('owner_required', advice, { cause: thrown });
  } finally {
    secret.fill(0);
  }
}

function enrolledResult(
  enrolled: { fleet: string; generation: number; nodes: readonly number[]; degraded: boolean },
  line: string,
): CommandResult {
  const { fleet, generation, nodes, degraded } = enrolled;
  const lines = [line];
  if (degraded) {
    lines.push(`Only ${nodes.length} nodes hold a share. When all are back, renew it: holdfast secret change-pin`);
  }
  return { value: { fleet, generation, nodes, degraded }, lines };
}

async function readSecret(file: string | undefined, signal: AbortSignal): Promise<Uint8Array> {
  const secret = await secretBytes(file, signal);
  if (secret.length === 0) throw new HoldfastError('usage', 'the secret is empty; nothing was sent');
  if (secret.length > MAXIMUM_SECRET) {
    throw new HoldfastError('too_large', `a secret has at most ${MAXIMUM_SECRET} bytes; use holdfast backup for files`);
  }
  return secret;
}

async function secretBytes(file: string | undefined, signal: AbortSignal): Promise<Uint8Array> {
  if (file !== undefined) return readSmallFile(file, 'the secret file', MAXIMUM_SECRET);
  if (process.stdin.isTTY) return (await askHidden('Secret to keep: ', { signal })).reveal();
  return readBounded(process.stdin);
}

/** No more than it takes to see that it is too much: whatever feeds a pipe may have no end. */
async function readBounded(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of source) {
    parts.push(part);
    length += part.length;
    if (length > MAXIMUM_SECRET) break;
  }
  return concatBytes(...parts);
}

export interface GetFlags extends SecretFlags {
  readonly out?: string;
  readonly overwrite?: boolean;
  readonly show?: boolean;
}

export async function get(flags: GetFlags, signal: AbortSignal): Promise<CommandResult> {
  const printed = flags.out === undefined;
  if (printed && process.stdout.isTTY && !flags.show) {
    throw new HoldfastError('usage', 'the secret would show on the screen; use --out FILE, a pipe, or --show');
  }
  const { out, overwrite = false } = flags;
  if (out !== undefined) await checkWritable(out, { overwrite });
  const recovered = await recover(flags, signal);
  const { secret } = recovered;
  const notices = [...new Set(recoveryNotices(recovered))];
  if (out !== undefined) {
    await writeWholeFile(out, secret.reveal(), { mode: 0o600, overwrite });
    secret.wipe();
    const value = { ...recoveryFacts(recovered), out, ...(notices.length > 0 && { notices }) };
    return { value, lines: [`The secret is in ${out}, readable only by you.`, ...notices] };
  }
  if (flags.json) {
    // The person asked for the secret itself, so it goes out as text; a Secret in a result shows as redacted.
    const facts = { ...recoveryFacts(recovered), ...(notices.length > 0 && { notices }) };
    return { value: { ...facts, secret: toBase64Url(secret.reveal()) }, lines: [] };
  }
  await writeOut(secret);
  say(...notices);
  return { value: {}, lines: [] };
}

function writeOut(secret: Secret): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(secret.reveal(), (error: NodeJS.ErrnoException | null | undefined) => {
      // Other failures of standard output end the process (src/cli/standard-streams.ts).
      if (error?.code !== 'EPIPE') resolve();
      else reject(new HoldfastError('unexpected', 'standard output was closed before the secret was written'));
    });
  });
}

/** One attempt with the PIN asked for. */
async function recover(flags: SecretFlags, signal: AbortSignal): Promise<Recovered> {
  await using connection = await connect(flags);
  const pin = await askPin(flags, { prompt: 'PIN: ', signal });
  try {
    const recovered = await connection.client.recover(pin, { signal, kind: kindOf(flags) });
    return { ...recovered, notices: [...(await connection.notices()), ...recovered.notices] };
  } catch (thrown) {
    throw await explainWaiting(thrown, () => connection.client.status({ signal }));
  }
}

export async function status(flags: SecretFlags, signal: AbortSignal): Promise<CommandResult> {
  await using connection = await connect(flags);
  const found = await connection.client.status({ signal });
  const { nodes, facts, lines } = await connection.trustOf(found.fleet);
  const { record, ...status } = found;
  const value = { ...status, record: toBase64Url(record), trust: facts };
  return await tell(connection, flags, { value, lines: [...statusLines(found, nodes), ...lines] });
}

function statusLines(status: Status, nodes: number): string[] {
  if (status.state === 'none') return ['Nothing is enrolled.'];
  if (status.state === 'destroyed') return ['The record has been destroyed; its secret is gone for good.'];
  const lines =
    status.state === 'spent'
      ? ['No attempts are left. The record will be destroyed after the policy’s delay.']
      : [
          `A secret is kept. Attempts left: ${status.attemptsLeft}; next: ${formatWhen(status.nextAttemptAt, Date.now())}.`,
        ];
  if (status.attemptsSinceSuccess > 0) {
    lines.push(`Attempts since the right PIN was last used: ${status.attemptsSinceSuccess}.`);
  }
  lines.push(`Shares: ${status.shares} of ${nodes} nodes. Uses left in its life: ${status.lifetimeLeft}.`);
  if (status.takenOver) lines.push('It was enrolled over an earlier record without its PIN.');
  if (status.takeoverPending) {
    lines.push('Somebody is taking it over. If that is not you: holdfast secret cancel-takeover');
  }
  return lines;
}

export interface ChangePinFlags extends SecretFlags {
  readonly newPinFile?: string;
  readonly newRecoveryCode?: boolean;
  readonly secretFile?: string;
  readonly acceptDegraded?: boolean;
}

export async function changePin(flags: ChangePinFlags, signal: AbortSignal): Promise<CommandResult> {
  await using connection = await connect(flags);
  const { client } = connection;
  const secret = flags.secretFile === undefined ? undefined : await readSecret(flags.secretFile, signal);
  const oldPin = await askPin(flags, { prompt: 'PIN until now: ', signal });
  const fresh = { pinFile: flags.newPinFile, recoveryCode: flags.newRecoveryCode };
  const newPin = await askPin(fresh, { prompt: 'New PIN: ', confirm: true, signal });
  try {
    const enrolled = await client.changePin(oldPin, newPin, {
      signal,
      kind: kindOf(flags),
      newKind: kindOf({ recoveryCode: flags.newRecoveryCode }),
      acceptDegraded: flags.acceptDegraded ?? false,
      ...(secret && { secret }),
    });
    const line = 'The PIN is changed; the new one has been tried.';
    return await tell(connection, flags, enrolledResult(enrolled, line));
  } catch (thrown) {
    throw await explainWaiting(thrown, () => client.status({ signal }));
  } finally {
    secret?.fill(0);
  }
}

export async function remove(flags: SecretFlags, signal: AbortSignal): Promise<CommandResult> {
  await using connection = await connect(flags);
  const pin = await askPin(flags, { prompt: 'PIN (the record will be deleted for good): ', signal });
  try {
    await connection.client.delete(pin, { signal, kind: kindOf(flags) });
  } catch (thrown) {
    throw await explainWaiting(thrown, () => connection.client.status({ signal }));
  }
  const lines = ['The record is deleted; its secret is gone for good.'];
  return await tell(connection, flags, { value: { deleted: true }, lines });
}

export async function cancelTakeover(flags: SecretFlags, signal: AbortSignal): Promise<CommandResult> {
  await using connection = await connect(flags);
  const pin = await askPin(flags, { prompt: 'PIN: ', signal });
  const cancelled = await connection.client.cancelTakeover(pin, { signal, kind: kindOf(flags) });
  const line = cancelled
    ? 'The takeover is cancelled. Change your PIN if it was not you.'
    : 'Nobody is taking it over.';
  return await tell(connection, flags, { value: { cancelled }, lines: [line] });
}
