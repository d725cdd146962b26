/** Revocations: one signature of cosigner, operator or a revoker is enough, so that whoever learns of a theft can act. */

import { HoldfastError } from '../core/index.ts';
import {
  type Bundle,
  findSignature,
  type NoteSigner,
  parseBundle,
  parseNote,
  parseTrustSet,
  type RevokeManifest,
  type SignedNote,
  type SignedPolicy,
  signText,
} from '../trust/index.ts';
import { type Site, until, type Waiting, waitForLeaf } from './announce.ts';

/**
 * The revocation with one line.
 * @throws HoldfastError `signing_refused` for a key of nobody who may revoke; and whatever the signer throws.
 */
export async function signRevocation(
  { text }: Bundle<RevokeManifest>,
  signer: NoteSigner,
  { policy }: SignedPolicy,
): Promise<SignedNote> {
  const { cosigner, operator, revokers } = policy;
  if (![cosigner, operator, ...revokers].some((key) => key.text === signer.verifierKey)) {
    const names = [cosigner, operator, ...revokers].map(({ name }) => name).join(', ');
    throw new HoldfastError(
      'signing_refused',
      `${signer.name} may not revoke by the trust policy; these may: ${names}`,
      {
        details: { key: signer.verifierKey },
      },
    );
  }
  return { text, signatures: [await signText(text, signer)] };
}

/** Whether one of those who may revoke has signed `note`. @throws HoldfastError `signature_missing`, `signature_invalid`. */
export function requireRevocation(note: SignedNote, { policy }: SignedPolicy): void {
  const { cosigner, operator, revokers } = policy;
  const found = [cosigner, operator, ...revokers].map((key) => findSignature(note, key, 'a revoker'));
  if (found.some((signature) => signature !== undefined)) return;
  throw new HoldfastError('signature_missing', 'the revocation has no signature of anybody who may revoke');
}

/**
 * Waits until everybody can see a revocation, the leaf of this index: in the log, and in the fleet's trust set, unless that has
 * a later bundle, or there is none because nothing was ever accepted.
 * @throws HoldfastError `not_ready` when patience ends.
 */
export async function waitForRevocation(
  site: Site,
  { fleet, serial }: Pick<RevokeManifest, 'fleet' | 'serial'>,
  index: number,
  waiting: Waiting = {},
): Promise<void> {
  await waitForLeaf(site, index, waiting);
  await until(waiting, 'a trust set with the revocation', async (signal) => {
    const bytes = await site.trustSet(fleet, signal);
    if (bytes === undefined) return true;
    const { bundle, revocation } = parseTrustSet(bytes);
    const isLater = parseBundle(parseNote(bundle).text).manifest.serial > serial;
    return isLater || revocation !== undefined ? true : undefined;
  });
}
