/** One text of each purpose, and the scope of a key that signs it. */

import { utf8 } from '../../src/core/index.ts';
import { IN_TOTO, type Purpose, preAuthenticationEncoding, type SigningScope } from '../../src/signer/index.ts';
import {
  cosignatureMessage,
  plexiMessage,
  serialiseBundle,
  serialiseCheckpoint,
  serialisePolicy,
  serialiseRoster,
  type TrustPolicy,
} from '../../src/trust/index.ts';
import { trustPolicy } from '../trust/fixture.ts';
import { deployment } from '../trust/manifests.ts';

/** 2026-11-21. */
export const NOW = Date.UTC(2026, 10, 21);
export const ORIGIN = 'log.example/family/production';

export const checkpoint = (size: number, fill = 7, origin = ORIGIN) =>
  serialiseCheckpoint({ origin, size, root: new Uint8Array(32).fill(fill) });

export const bundle = () => serialiseBundle(deployment());

export const roster = (origin = ORIGIN) =>
  serialiseRoster({ origin, number: 1, previous: null, size: 1, policy: null, fleets: [] });

/** The statement of the published vector, unless changed. */
export const plexiStatement = (namespace = 'family.production.first') =>
  plexiMessage({ namespace, timestamp: 1717084639921, epoch: 1, digest: new Uint8Array(32).fill(0x11) });

export const policyText = (changes: Partial<TrustPolicy> = {}) => serialisePolicy(trustPolicy(changes));

const names = { vault: 'family', environment: 'production' };

export const SCOPES: Readonly<Record<Purpose, SigningScope>> = {
  bundle: { purpose: 'bundle', ...names },
  policy: { purpose: 'policy', ...names },
  roster: { purpose: 'roster', origin: ORIGIN },
  checkpoint: { purpose: 'checkpoint', origin: ORIGIN },
  plexi: { purpose: 'plexi' },
  witness: { purpose: 'witness' },
  audit: { purpose: 'audit' },
  evidence: { purpose: 'evidence' },
};

export const TEXTS: Readonly<Record<Purpose, Uint8Array>> = {
  bundle: utf8(bundle()),
  policy: utf8(policyText()),
  roster: utf8(roster()),
  checkpoint: utf8(checkpoint(3)),
  plexi: plexiStatement(),
  witness: cosignatureMessage(checkpoint(3), NOW / 1000),
  audit: cosignatureMessage(checkpoint(3), NOW / 1000),
  evidence: preAuthenticationEncoding(IN_TOTO, utf8('{"_type":"https://in-toto.io/Statement/v1"}')),
};
