/**
 * What signing keys are for: one purpose each, and the texts that a key of that purpose may sign.
 *
 * Ed25519 over raw text (signed-note's type 0x01) has no context of its own, so a key shared by two purposes would let a
 * text of one pass for the other. Each key here signs nothing but well-formed texts of its purpose and its scope.
 */

import { fromUtf8, HoldfastError } from '../core/index.ts';
import { parseEvidence } from '../evidence/index.ts';
import { type Manifest, parseBundle, parseCheckpoint, parsePolicy, parseRoster, toBase64 } from '../trust/index.ts';
import { parsePlexiMessage } from './plexi.ts';

/**
 * `bundle`, `roster`, `checkpoint`, `plexi`, `policy`: as docs on trust distribution say. `witness`: cosignatures of
 * type 0x04; `audit`: the same by an auditing witness, whose key states more. `evidence`: in-toto statements in DSSE.
 */
export const PURPOSES = ['bundle', 'roster', 'checkpoint', 'plexi', 'policy', 'witness', 'audit', 'evidence'] as const;
export type Purpose = (typeof PURPOSES)[number];

/** Purposes whose readers know Ed25519 only: logs, witnesses and Plexi's statements. */
export const ED25519_ONLY: readonly Purpose[] = ['checkpoint', 'plexi', 'witness', 'audit'];

/** Which texts of its purpose a key may sign. */
export type SigningScope =
  | {
      readonly purpose: 'bundle';
      readonly vault: string;
      readonly environment: string;
      /** Default: all kinds. A revoker's key signs `revoke` only. */
      readonly kinds?: readonly Manifest['kind'][];
    }
  | { readonly purpose: 'policy'; readonly vault: string; readonly environment: string }
  | { readonly purpose: 'roster' | 'checkpoint'; readonly origin: string }
  | { readonly purpose: 'plexi'; readonly namespace?: string }
  /** `origins`: the logs that are known; default any. */
  | { readonly purpose: 'witness' | 'audit'; readonly origins?: readonly string[] }
  | { readonly purpose: 'evidence' };

/** What a message says, as far as the journal and a person need it. */
export interface SigningSubject {
  /** One line, for example `checkpoint of log.example/1, size 7, root ...`. */
  readonly about: string;
  /** The tree head that the message vouches for. */
  readonly tree?: { readonly origin: string; readonly size: number; readonly root: Uint8Array };
}

/** The longest message that any purpose has, in bytes. */
const MAXIMUM_TEXT = 1_000_000;
/** How far a cosignature's time may be from the clock, in milliseconds, either way. */
const TIME_TOLERANCE = 300_000;
const COSIGNATURE = /^cosignature\/v1\ntime ([1-9][0-9]{0,15})\n/;

const refused = (problem: string, cause?: unknown) =>
  new HoldfastError('signing_refused', `this key does not sign that: ${problem}`, { cause });

/**
 * What `message` is, if a key of this scope may sign it.
 * @param now milliseconds since 1970.
 * @throws HoldfastError `signing_refused`.
 */
export function subjectOf(scope: SigningScope, message: Uint8Array, now: number): SigningSubject {
  if (message.length > MAXIMUM_TEXT) throw refused(`it has more than ${MAXIMUM_TEXT} bytes`);
  try {
    return read(scope, message, now);
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'signing_refused') throw error;
    const reason = error instanceof HoldfastError ? error.message : 'it cannot be read';
    throw refused(`it is no text of the purpose ${scope.purpose} (${reason})`, error);
  }
}

function read(scope: SigningScope, message: Uint8Array, now: number): SigningSubject {
  switch (scope.purpose) {
    case 'bundle': {
      const { manifest } = parseBundle(fromUtf8(message));
      requireSame('vault', manifest.vault, scope.vault);
      requireSame('environment', manifest.environment, scope.environment);
      if (scope.kinds && !scope.kinds.includes(manifest.kind)) throw refused(`its kind is ${manifest.kind}`);
      return { about: `${manifest.kind} of fleet ${manifest.fleet}, serial ${manifest.serial}` };
    }
    case 'policy': {
      const { policy } = parsePolicy(fromUtf8(message));
      requireSame('vault', policy.vault, scope.vault);
      requireSame('environment', policy.environment, scope.environment);
      return { about: `trust policy, version ${policy.version}` };
    }
    case 'roster': {
      const roster = parseRoster(fromUtf8(message));
      requireSame('origin', roster.origin, scope.origin);
      return { about: `roster ${roster.number} of ${roster.origin}` };
    }
    case 'checkpoint': {
      const tree = parseCheckpoint(fromUtf8(message));
      requireSame('origin', tree.origin, scope.origin);
      return aboutTree('checkpoint', tree);
    }
    case 'witness':
    case 'audit':
      return cosigned(scope.origins, fromUtf8(message), now);
    case 'plexi': {
      const { namespace, epoch } = parsePlexiMessage(message);
      if (scope.namespace !== undefined) requireSame('namespace', namespace, scope.namespace);
      return { about: `Plexi statement on ${namespace}, epoch ${epoch}` };
    }
    case 'evidence':
      return { about: `evidence statement, ${parseEvidence(message).length} bytes` };
  }
}

function cosigned(origins: readonly string[] | undefined, text: string, now: number): SigningSubject {
  const [header, seconds] = COSIGNATURE.exec(text) ?? [];
  if (header === undefined) throw refused('it is no cosignature/v1 message');
  // A date in the future would pass for freshness later on.
  if (Math.abs(Number(seconds) * 1000 - now) > TIME_TOLERANCE) {
    throw refused('its time is more than 5 minutes from the clock; set the clock right');
  }
  const tree = parseCheckpoint(text.slice(header.length), { extensions: 'allow' });
  if (origins && !origins.includes(tree.origin))
    throw refused(`the log ${JSON.stringify(tree.origin)} is unknown here`);
  return aboutTree('cosignature', tree);
}

function aboutTree(what: string, tree: { origin: string; size: number; root: Uint8Array }): SigningSubject {
  const { origin, size, root } = tree;
  return { about: `${what} of ${origin}, size ${size}, root ${toBase64(root)}`, tree: { origin, size, root } };
}

function requireSame(what: string, found: string, expected: string): void {
  if (found !== expected) {
    throw refused(`its ${what} is ${JSON.stringify(found)}, the key’s is ${JSON.stringify(expected)}`);
  }
}
