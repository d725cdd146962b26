/** `holdfast token`: what is on a PKCS#11 module, and whether a token can do what a node needs. */

import { HoldfastError } from '../../core/index.ts';
import { findSoftHsm, probeToken, readInventory, readPin } from '../../token/index.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';

export interface TokenFlags {
  readonly module?: string;
}

export interface LoginFlags extends TokenFlags {
  readonly serial?: string;
  readonly label?: string;
  readonly pinFile?: string;
}

function moduleOf({ module }: TokenFlags): string {
  const found = module ?? findSoftHsm();
  if (found) return found;
  throw new HoldfastError('usage', 'name the PKCS#11 module, a shared library: --module PATH');
}

const pinOf = async ({ pinFile }: LoginFlags) =>
  pinFile === undefined ? askHidden('PIN of the token: ') : (await readPin({ file: pinFile })).pin;

export async function list(flags: TokenFlags): Promise<CommandResult> {
  const { module, library, manufacturer, slots } = await readInventory({ module: moduleOf(flags) });
  const tokens = slots.flatMap(({ number, token }) => {
    if (!token) return [];
    const { mechanisms: _, objects: __, ...described } = token;
    return [{ slot: number, ...described }];
  });
  return {
    value: { module, library, manufacturer, tokens },
    lines: [
      `${library.trim()} (${manufacturer.trim()}), ${module}`,
      ...tokens.map(
        ({ slot, label, model, serial, firmware }) =>
          `  slot ${slot}: ${label.trim()}  ${model.trim()}  serial ${serial.trim()}  firmware ${firmware}`,
      ),
    ],
  };
}

export async function inventory(flags: LoginFlags): Promise<CommandResult> {
  const { serial } = flags;
  const login = serial === undefined ? undefined : { serial, pin: await pinOf(flags) };
  const found = await readInventory({ module: moduleOf(flags), ...(login && { login }) });
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

export async function probe(flags: LoginFlags): Promise<CommandResult> {
  const { label, serial } = flags;
  if (label === undefined && serial === undefined) {
    throw new HoldfastError('usage', 'say which token: --label LABEL or --serial SERIAL');
  }
  using pin = await pinOf(flags);
  const profile = await probeToken({
    module: moduleOf(flags),
    pin,
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
  });
  return {
    value: { profile },
    lines: [
      'The token can do what a node needs:',
      ...Object.entries(profile).map(([what, how]) => `  ${what}: ${how}`),
    ],
  };
}
