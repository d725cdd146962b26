/** Manifests and keys for tests of trust, made from names, so that every run has the same. */

import { p256 } from '@noble/curves/nist.js';
import { sha256, utf8 } from '../../src/core/index.ts';
import type { Membership, NodeKeys } from '../../src/protocol/index.ts';
import { DEFAULT_POLICY } from '../../src/protocol/index.ts';
import type {
  BundleNode,
  DeployManifest,
  LiveManifest,
  RetireManifest,
  RevokeManifest,
} from '../../src/trust/index.ts';

export const DAY = 86_400_000;
/** 2026-11-21. */
export const NOW = Date.UTC(2026, 10, 21);

const points = new Map<string, Uint8Array>();

/** A real point on P-256 whose secret is made from `name`. */
export function point(name: string): Uint8Array {
  const known = points.get(name);
  if (known) return known;
  const made = p256.getPublicKey(sha256(utf8(name)), false);
  points.set(name, made);
  return made;
}

export function nodeKeys(name: string): NodeKeys {
  return { identity: point(`${name} identity`), session: point(`${name} session`), oprf: point(`${name} oprf`) };
}

export function bundleNode(number: number, keysOf = `node-${number}`): BundleNode {
  return {
    name: `node-${number}`,
    operator: `operator-${number}.example`,
    region: `region-${number}`,
    keys: nodeKeys(keysOf),
    tokenClass: 'declared',
    endpoint: `https://node-${number}.vault.example:7443`,
  };
}

/** Serial 1 of the fleet `first`: three nodes, each with an operator of its own. */
export function deployment(changes: Partial<DeployManifest> = {}): DeployManifest {
  return {
    kind: 'deploy',
    vault: 'family',
    environment: 'production',
    fleet: 'first',
    epoch: 1,
    serial: 1,
    previous: null,
    accepted: null,
    notBefore: NOW - 10 * DAY,
    notAfter: NOW + 355 * DAY,
    policy: { ...DEFAULT_POLICY, minimumShares: 3 },
    nodes: [1, 2, 3].map((number) => bundleNode(number)),
    coordinators: ['https://a.vault.example', 'https://b.vault.example'],
    authority: undefined,
    evidence: { sha256: 'e'.repeat(64), address: 'https://vault.example/evidence/first.json' },
    ...changes,
  };
}

/** The epoch after `before`, in which the nodes with these numbers have tokens of another name. */
export function nextEpoch(before: LiveManifest, replaced: Readonly<Record<number, string>>) {
  const { epoch, nodes } = before;
  return {
    epoch: epoch + 1,
    nodes: nodes.map((node, i) => {
      const name = replaced[i + 1];
      return name === undefined ? node : { ...node, keys: nodeKeys(name) };
    }),
    earlier: [...(before.earlier ?? []), membership(before)],
  };
}

export function membership({ epoch, nodes }: LiveManifest): Membership {
  return { epoch, nodes: nodes.map(({ keys: { identity, oprf } }) => ({ identity, oprf })) };
}

export function retirement(of: LiveManifest, changes: Partial<RetireManifest> = {}): RetireManifest {
  return { ...of, kind: 'retire', successor: 'second', sunset: NOW + 90 * DAY, ...changes };
}

export function revocation(
  of: { fleet: string; serial: number; digest: string },
  changes: Partial<RevokeManifest> = {},
): RevokeManifest {
  return {
    kind: 'revoke',
    vault: 'family',
    environment: 'production',
    fleet: of.fleet,
    epoch: 1,
    serial: of.serial,
    revokes: of.digest,
    reason: 'a node’s keys left its token',
    ...changes,
  };
}
