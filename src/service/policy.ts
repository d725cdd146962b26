/** Reading a trust policy that an operator has put into a file. */

import { readNamedFile } from '../http/index.ts';
import { parseSignedPolicy, type SignedPolicy, verifyFirstPolicy } from '../trust/index.ts';

/**
 * A policy by itself, signed by its own threshold: whoever configures the file vouches for it.
 * @throws HoldfastError `usage`, `policy_malformed`, `policy_signatures`.
 */
export async function readPolicyFile(path: string): Promise<SignedPolicy> {
  const policy = parseSignedPolicy(await readNamedFile('the trust policy', path));
  verifyFirstPolicy(policy);
  return policy;
}
