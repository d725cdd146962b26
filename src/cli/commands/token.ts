/** `holdfast token`: what is on a PKCS#11 module, and whether a token can do what a node needs. */

import { HoldfastError } from '../../core/index.ts';
import {
  benchToken,
  examineToken,
  findSoftHsm,
  readInventory,
  readPin,
  type TokenReport,
  type TokenRole,
} from '../../token/index.ts';
import { StepLine } from '../progress.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';

export interface TokenFlags {
  readonly module?: string;
  readonly moduleParameters?: string;
}

export interface LoginFlags extends TokenFlags {
  readonly slot?: number;
  readonly serial?: string;
  readonly label?: string;
  readonly pinFile?: string;
}

function moduleOf({ module }: TokenFlags): string {
  const found = module ?? findSoftHsm();
  if (found) return found;
  throw new HoldfastError('usage', 'name the PKCS#11 module, a shared library: --module PATH');
}

function parametersOf({ moduleParameters }: TokenFlags) {
  return { ...(moduleParameters !== undefined && { moduleParameters }) };
}

/** Which token of which module; at least one of its names is needed. */
function selectorOf(flags: LoginFlags) {
  const { slot, label, serial } = flags;
  if (slot === undefined && label === undefined && serial === undefined) {
    throw new HoldfastError('usage', 'say which token: --label LABEL, --serial SERIAL or --slot NUMBER');
  }
  return {
    module: moduleOf(flags),
    ...parametersOf(flags),
    ...(slot !== undefined && { slot }),
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
  };
}

const pinOf = async ({ pinFile }: LoginFlags) =>
  pinFile === undefined ? askHidden('PIN of the token: ') : (await readPin({ file: pinFile })).pin;

export async function list(flags: TokenFlags): Promise<CommandResult> {
  const inventory = { module: moduleOf(flags), ...parametersOf(flags) };
  const { module, library, manufacturer, slots } = await readInventory(inventory);
  const free = slots.flatMap(({ number, token }) => (token ? [] : [number]));
  const tokens = slots.flatMap(({ number, token }) => {
    if (!token) return [];
    const { mechanisms: _, objects: __, ...described } = token;
    return [{ slot: number, ...described }];
  });
  return {
    value: { module, library, manufacturer, tokens, free },
    lines: [
      `${library.trim()} (${manufacturer.trim()}), ${module}`,
      ...tokens.map(
        ({ slot, label, model, serial, firmware }) =>
          `  slot ${slot}: ${label.trim()}  ${model.trim()}  serial ${serial.trim()}  firmware ${firmware}`,
      ),
      ...free.map((slot) => `  slot ${slot}: no token, or one that is not initialised`),
    ],
  };
}

export async function inventory(flags: LoginFlags): Promise<CommandResult> {
  const { slot, label, serial } = flags;
  const named = slot !== undefined || label !== undefined || serial !== undefined;
  const login = named ? { ...selectorOf(flags), pin: await pinOf(flags) } : undefined;
  const found = await readInventory({ module: moduleOf(flags), ...parametersOf(flags), ...(login && { login }) });
  login?.pin.wipe();
  const lines = found.slots.flatMap(({ number, token }) => {
    if (!token) return [];
    const names = token.mechanisms.map(({ name }) => name);
    return [
      `slot ${number}: ${token.label.trim()}, serial ${token.serial.trim()}`,
      `  flags: ${token.flags.join(' ')}`,
      `  mechanisms: ${names.join(' ')}`,
      ...token.objects.map(({ class: kind, label, attributes }) => {
        const set = Object.entries(attributes).flatMap(([name, value]) => (value ? [name] : []));
        return `  ${kind} ${label}: ${set.join(' ')}`;
      }),
    ];
  });
  return { value: { ...found }, lines };
}

/** Milliseconds for a call, as a service gives a token by itself: whether it suits is asked. */
const SERVICE_TIMEOUT = 10_000;

export interface ProbeFlags extends LoginFlags {
  readonly require?: TokenRole;
  readonly sweep?: boolean;
}

const VERDICTS: Readonly<Record<TokenRole, string>> = { node: 'Vault node', signer: 'Signer' };

export async function probe(flags: ProbeFlags, signal: AbortSignal): Promise<CommandResult> {
  const access = selectorOf(flags);
  using pin = await pinOf(flags);
  using progress = new StepLine();
  const { sweep = false } = flags;
  const report = await examineToken({
    ...{ ...access, pin, sweep, signal, timeout: SERVICE_TIMEOUT },
    onStep: (step) => progress.show(`Trying: ${step}`),
  });
  const role = flags.require;
  if (role !== undefined && !report.verdicts[role].suitable) {
    throw new HoldfastError('token_unsuitable', `not for a ${role}: ${report.verdicts[role].reasons.join('; ')}`, {
      details: { reasons: report.verdicts[role].reasons },
    });
  }
  return { value: { ...report }, lines: linesOf(report) };
}

function linesOf({ token, findings, profile, verdicts, advice, left, swept }: TokenReport): string[] {
  const width = Math.max(...findings.map(({ step }) => step.length));
  return [
    `${token.label} (${token.manufacturer} ${token.model}, serial ${token.serial}, firmware ${token.firmware})`,
    ...findings.map(
      ({ step, works, detail, milliseconds }) =>
        `  ${works ? 'yes' : 'NO '}  ${step.padEnd(width)}  ${String(milliseconds).padStart(5)} ms  ${detail}`,
    ),
    ...(profile ? [`Profile: ${Object.entries(profile).flat().join(' ')}`] : []),
    ...(Object.keys(VERDICTS) as TokenRole[]).map((role) => {
      const { suitable, reasons } = verdicts[role];
      return `${VERDICTS[role]}: ${suitable ? 'suitable' : `not suitable: ${reasons.join('; ')}`}`;
    }),
    ...advice.map((line) => `Note: ${line}.`),
    ...(swept > 0 ? [`Removed ${swept} objects of probes that had been killed.`] : []),
    left.length === 0 ? 'Nothing was left on the token.' : `Left on the token: ${left.join('; ')}`,
  ];
}

export interface BenchFlags extends LoginFlags {
  readonly calls: number;
  readonly workers: number;
}

export async function bench(flags: BenchFlags, signal: AbortSignal): Promise<CommandResult> {
  const access = selectorOf(flags);
  using pin = await pinOf(flags);
  const { calls, workers } = flags;
  const rates = await benchToken({ ...access, pin, workers, calls, signal, timeout: SERVICE_TIMEOUT });
  return {
    value: { workers, calls, rates },
    lines: [
      `${calls} calls each, ${workers} thread${workers > 1 ? 's' : ''}:`,
      ...rates.map(
        ({ operation, concurrency, perSecond, medianMicroseconds }) =>
          `  ${operation.padEnd(12)} ${String(perSecond).padStart(7)}/s  median ${medianMicroseconds} µs, ${concurrency} under way`,
      ),
    ],
  };
}
