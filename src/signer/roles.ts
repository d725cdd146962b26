/** Who has which keys: a role's purposes, and the names of its keys. */

import { HoldfastError } from '../core/index.ts';
import type { Purpose } from './purposes.ts';

export const ROLES = ['cosigner', 'operator', 'policy', 'revoker', 'witness', 'auditor'] as const;
export type Role = (typeof ROLES)[number];

const PURPOSES_OF: Readonly<Record<Role, readonly Purpose[]>> = {
  cosigner: ['bundle', 'roster', 'checkpoint', 'plexi'],
  operator: ['bundle', 'evidence'],
  policy: ['policy'],
  revoker: ['bundle'],
  witness: ['witness'],
  auditor: ['audit'],
};

/**
 * The keys of a role. `name` is a schema-less URL such as `cosigner.example`; a log's checkpoint key is named like its
 * origin (C2SP tlog-checkpoint), a witness's like the witness.
 * @throws HoldfastError `usage` for a cosigner without `origin`.
 */
export function keysOfRole(
  role: Role,
  name: string,
  origin?: string,
): readonly { readonly purpose: Purpose; readonly name: string }[] {
  return PURPOSES_OF[role].map((purpose) => {
    if (purpose === 'witness' || purpose === 'audit') return { purpose, name };
    if (purpose !== 'checkpoint') return { purpose, name: `${name}/${role === 'revoker' ? 'revoke' : purpose}` };
    if (origin === undefined) {
      throw new HoldfastError('usage', 'a cosigner’s log needs its origin, such as log.example/vault/production');
    }
    return { purpose, name: origin };
  });
}
