/** The slots that scripts/hil.ts was given, and throwaway names on them. */

import { readFileSync } from 'node:fs';
import { Secret, systemRandom, utf8 } from '../../src/core/index.ts';
import { removeThrowaway, type TokenAccess } from '../../src/token/index.ts';

/** As scripts/hil.ts writes it into HOLDFAST_DEVICES. */
export interface Devices {
  readonly module: string;
  readonly moduleParameters?: string;
  readonly slots: readonly { readonly slot: number; readonly pinFile: string }[];
  /** Whether a wrong PIN may be tried, and what earlier runs left be removed. */
  readonly destructive: boolean;
}

export const devices = JSON.parse(process.env.HOLDFAST_DEVICES ?? '') as Devices;

export function accessTo({ slot, pinFile }: Devices['slots'][number], pin?: string): TokenAccess {
  const { module, moduleParameters } = devices;
  const text = pin ?? readFileSync(pinFile, 'utf8').replace(/\r?\n$/, '');
  return { module, slot, pin: new Secret(utf8(text)), ...(moduleParameters !== undefined && { moduleParameters }) };
}

/** A fleet's name that marks its objects as throwaway. */
export const throwawayName = () => `probe-${Buffer.from(systemRandom(8)).toString('hex')}`;

/** Removes what a throwaway fleet has on all slots. */
export async function clean(name: string): Promise<void> {
  for (const slot of devices.slots) await removeThrowaway(accessTo(slot), name);
}
