/** The exact bytes of everything that is signed, logged, served or stored: they never change without a new version. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fromUtf8 } from '../../src/core/index.ts';
import { descriptionText, serialiseBundle, serialiseTrustState } from '../../src/trust/index.ts';
import { digestOfManifest, evidence, revocationLeaf } from './fixture.ts';
import { deployment, nextEpoch, retirement, revocation } from './manifests.ts';
import { FIRST, following, scene } from './verify/scene.ts';

const revoked = revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST) });
const authority = `-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}\n-----END CERTIFICATE-----\n`;

/** By the name of its file. */
const GOLDEN: Readonly<Record<string, () => Promise<string | Uint8Array>>> = {
  'bundle-deploy.txt': async () => serialiseBundle(FIRST),
  'bundle-retire.txt': async () => serialiseBundle(retirement(following(FIRST, { authority }))),
  'bundle-next-epoch.txt': async () => serialiseBundle(following(FIRST, nextEpoch(FIRST, { 3: 'new-3' }))),
  'bundle-revoke.txt': async () => serialiseBundle(revoked),
  'description.txt': async () => descriptionText(deployment()),
  'leaf-evidence.txt': async () => evidence(),
  'leaf-revocation.txt': async () => await revocationLeaf(revoked),
  'leaf-policy.txt': async () => (await scene()).log.entries[0]!,
  'leaf-proposal.txt': async () => (await scene()).log.entries[3]!,
  'leaf-acceptance.txt': async () => (await scene()).log.entries[4]!,
  'leaf-roster.txt': async () => (await scene()).log.entries[5]!,
  'trust-set.txt': async () => (await scene()).request.set,
  'trust-state.txt': async () => serialiseTrustState((await scene()).state),
};

const folder = new URL('golden/', import.meta.url);

describe('the exact bytes', () => {
  it.each(Object.entries(GOLDEN))('of %s', async (name, make) => {
    const made = await make();
    expect(typeof made === 'string' ? made : fromUtf8(made)).toBe(readFileSync(new URL(name, folder), 'utf8'));
  });

  it('has no file without a test', () => {
    expect(readdirSync(folder).sort()).toEqual(Object.keys(GOLDEN).sort());
  });
});
