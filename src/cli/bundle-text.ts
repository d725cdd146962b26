/** Bundles and checks as lines for people who have to approve them. */

import { toBase64Url } from '../core/index.ts';
import { diffManifests, type Manifest, type NoteSignature } from '../trust/index.ts';

const time = (milliseconds: number): string => new Date(milliseconds).toISOString().replace('.000Z', 'Z');

/** Everything that a manifest says, the nodes' keys too: whoever approves it compares them with what the tokens printed. */
export function manifestLines(manifest: Manifest, digest: string): string[] {
  const { vault, environment, fleet, epoch, serial, kind } = manifest;
  const head = [
    `${kind} of fleet ${fleet} (vault ${vault}, environment ${environment}), serial ${serial}, epoch ${epoch}`,
    `SHA-256    ${digest}`,
  ];
  if (manifest.kind === 'revoke') return [...head, `revokes    ${manifest.revokes}`, `reason     ${manifest.reason}`];
  const {
    previous,
    accepted,
    notBefore,
    notAfter,
    policy,
    nodes,
    coordinators,
    authority,
    evidence,
    earlier = [],
  } = manifest;
  const { waits, takeover, keyStretching } = policy;
  return [
    ...head,
    `follows    ${previous ?? 'nothing'}, accepted ${accepted ?? 'nothing'}`,
    `valid      ${time(notBefore)} until ${time(notAfter)}`,
    ...(manifest.kind === 'retire' ? [`successor  ${manifest.successor}, sunset ${time(manifest.sunset)}`] : []),
    `guesses    ${policy.limit} in a row, ${policy.lifetimeLimit} in a lifetime; waits ${waits.join(', ')} s; destroyed after ${policy.destroyAfter} s`,
    `takeover   ${takeover.kind === 'delayed' ? `after ${takeover.seconds} s` : takeover.kind}`,
    `PIN        stretched with ${keyStretching.memoryKiB} KiB, ${keyStretching.passes} passes, ${keyStretching.parallelism} lanes`,
    `shares     ${policy.minimumShares} of ${nodes.length} at enrolment`,
    ...nodes.flatMap((node, i) => [
      `node ${i + 1}     ${node.name}, operator ${node.operator}, region ${node.region}, token ${node.tokenClass}, ${node.endpoint}`,
      ...(['identity', 'session', 'oprf'] as const).map((use) => `           ${use} ${toBase64Url(node.keys[use])}`),
    ]),
    ...earlier.flatMap((then) => [
      `epoch ${then.epoch}    earlier members, for records that were enrolled then`,
      ...then.nodes.flatMap((node, i) =>
        (['identity', 'oprf'] as const).map((use) => `           node ${i + 1} ${use} ${toBase64Url(node[use])}`),
      ),
    ]),
    `clients at ${coordinators.join(', ')}${authority === undefined ? '' : ' (by an authority of its own)'}`,
    `evidence   ${evidence.sha256} at ${evidence.address}`,
  ];
}

/** What changed from one manifest to the next, and what makes the fleet weaker. */
export function diffLines(before: Manifest | undefined, after: Manifest): string[] {
  const { changes, epochs, weaker } = diffManifests(before, after);
  if (before === undefined) return ['There is no accepted bundle to compare it with: this is the first.'];
  if (changes.length === 0) return ['Nothing has changed.'];
  return [
    `Changes from serial ${before.serial}:`,
    ...changes.flatMap(({ path, before: was, after: is }) => [
      `  ${path}`,
      ...(was === undefined ? [] : [`    - ${was}`]),
      ...(is === undefined ? [] : [`    + ${is}`]),
    ]),
    ...epochs.map((sentence) => `MEMBERSHIP: ${sentence}`),
    ...weaker.map((sentence) => `WEAKER THAN BEFORE: ${sentence}`),
  ];
}

/** The same for programs. */
export function diffValue(before: Manifest | undefined, after: Manifest) {
  const { changes, epochs, weaker } = diffManifests(before, after);
  return {
    changes: changes.map(({ path, before: was, after: is }) => ({ path, before: was ?? null, after: is ?? null })),
    epochs,
    weaker,
  };
}

/** Whose lines a note has, as they call themselves; nothing of it is verified. */
export function signatureLines(signatures: readonly NoteSignature[]): string[] {
  if (signatures.length === 0) return ['signed by  nobody'];
  return signatures.map(({ name, id }) => `signed by  ${name}+${id} (not verified here)`);
}

/** One line of a list of checks. */
export const passedLine = (number: number, name: string, finding?: string): string =>
  `${number}. ${name}: passed${finding === undefined ? '' : ` (${finding})`}`;
