/** `holdfast tenant`: the key with which a tenant signs user tokens, and the tenant as every node's file has it. */

import { generateTenantKey, type TenantAlgorithm } from '../../access/index.ts';
import { systemRandom, toBase64Url } from '../../core/index.ts';
import { writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';

export interface TenantFlags {
  readonly issuer: string;
  readonly algorithm: TenantAlgorithm;
  /** Seconds. */
  readonly maximumAge: number;
  readonly keyOut: string;
  readonly out: string;
}

/** Makes a tenant's key and id key, and the file of tenants with its public half. */
export async function createTenant(flags: TenantFlags): Promise<CommandResult> {
  const { issuer, algorithm, maximumAge: maximumAgeSeconds } = flags;
  const { privateKey, publicKey } = await generateTenantKey(algorithm);
  const recordIdKey = toBase64Url(systemRandom(32));
  const file = { issuer, privateKey, recordIdKey, maximumAgeSeconds };
  const tenant = { issuer, algorithm, keys: [publicKey], recordIdKey, maximumAgeSeconds };
  await writeWholeFile(flags.keyOut, textOf(file), { mode: 0o600, overwrite: false });
  await writeWholeFile(flags.out, textOf({ tenants: [tenant] }), { mode: 0o600, overwrite: false });
  return {
    value: { issuer, algorithm, kid: publicKey.kid!, maximumAgeSeconds, keyOut: flags.keyOut, out: flags.out },
    lines: [
      `The key that signs user tokens is in ${JSON.stringify(flags.keyOut)}; it belongs where people sign in, and never to a node.`,
      `The tenant is in ${JSON.stringify(flags.out)}: give it to every node as its setting "tenants", over a channel that keeps it secret,`,
      'since its id key says which record is whose.',
    ],
  };
}

const textOf = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;
