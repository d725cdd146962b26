/** The entries of a log, one form for each type: a type line and what it is about (docs/trust.md, section 3). */

import { fromUtf8, HoldfastError, type JsonValue as Json, utf8 } from '../../core/index.ts';
import { type Digest, readAddress, readDigest } from '../fields.ts';
import { parsePolicy, type TrustPolicyText } from '../policy/index.ts';
import { parseDocument, requireCanonical, serialiseDocument, withCode } from '../text.ts';
import { parseNote, type SignedNote, serialiseNote } from '../tlog/index.ts';
import type { LiveManifest, RevokeManifest } from './manifest.ts';
import { type Bundle, parseBundle, requireLive } from './manifest-text.ts';
import { parseRoster, type Roster } from './roster.ts';

export interface Evidence {
  readonly sha256: Digest;
  /** Bytes. */
  readonly size: number;
  readonly address: string;
}

/** What an entry says. Its signatures have been counted, not verified. */
export type Leaf =
  /** One line: the cosigner's. Confers nothing. */
  | { readonly type: 'proposal'; readonly note: SignedNote; readonly bundle: Bundle<LiveManifest> }
  /** Two lines: the cosigner's, then the operator's. */
  | { readonly type: 'acceptance'; readonly note: SignedNote; readonly bundle: Bundle<LiveManifest> }
  /** One line: of the cosigner, the operator or a revoker. */
  | { readonly type: 'revocation'; readonly note: SignedNote; readonly bundle: Bundle<RevokeManifest> }
  | { readonly type: 'evidence'; readonly evidence: Evidence }
  /** Lines of policy keys. */
  | { readonly type: 'policy'; readonly note: SignedNote; readonly policy: TrustPolicyText }
  /** One line: the roster key's. */
  | { readonly type: 'roster'; readonly note: SignedNote; readonly roster: Roster & { readonly digest: Digest } };

/** Bytes of an entry (C2SP tlog-tiles has 16 bits for its length). */
export const MAXIMUM_LEAF = 65_535;

const TYPE_LINES = {
  proposal: 'holdfast/proposal/v1\n',
  acceptance: 'holdfast/acceptance/v1\n',
  revocation: 'holdfast/revocation/v1\n',
  evidence: 'holdfast/evidence/v1\n',
  policy: 'holdfast/policy/v1\n',
  // A roster is its own signed note, the text of which begins so.
  roster: 'holdfast/roster/v1\n',
} as const satisfies Record<Leaf['type'], string>;

/** Lines of signature that a leaf of each type has, at most. */
const LINES = { proposal: 1, acceptance: 2, revocation: 1, policy: 32, roster: 1 } as const;

type NoteType = keyof typeof LINES;

/** @throws HoldfastError `bundle_malformed` or `policy_malformed` for anything that no function below writes. */
export function parseLeaf(entry: Uint8Array): Leaf {
  if (entry.length > MAXIMUM_LEAF)
    throw new HoldfastError('bundle_malformed', `an entry has more than ${MAXIMUM_LEAF} bytes`);
  return withCode('bundle_malformed', () => {
    const text = fromUtf8(entry);
    const found = (Object.keys(TYPE_LINES) as Leaf['type'][]).find((type) => text.startsWith(TYPE_LINES[type]));
    if (found === undefined) throw new HoldfastError('bundle_malformed', 'an entry has no known type');
    return found === 'evidence' ? { type: found, evidence: parseEvidence(text) } : parseNoteLeaf(found, text);
  });
}

function parseNoteLeaf(type: NoteType, text: string): Leaf {
  const note = parseNote(type === 'roster' ? text : text.slice(TYPE_LINES[type].length), {
    maximumBytes: MAXIMUM_LEAF,
  });
  checkLines(type, note);
  if (type === 'roster') return { type, note, roster: parseRoster(note.text) };
  if (type === 'policy') return { type, note, policy: parsePolicy(note.text) };
  const bundle = parseBundle(note.text);
  if (type !== 'revocation') return { type, note, bundle: requireLive(bundle) };
  const { manifest } = bundle;
  if (manifest.kind !== 'revoke')
    throw new HoldfastError('bundle_malformed', 'a revocation must be of the kind revoke');
  return { type, note, bundle: { ...bundle, manifest } };
}

/** The entry for a signed note. @throws HoldfastError `bundle_malformed` or `policy_malformed` for what `parseLeaf` would refuse. */
export function noteLeaf(type: NoteType, note: SignedNote): Uint8Array<ArrayBuffer> {
  const text = withCode('bundle_malformed', () => serialiseNote(note));
  const entry = utf8(type === 'roster' ? text : `${TYPE_LINES[type]}${text}`);
  parseLeaf(entry);
  return entry;
}

/** The entry for a piece of evidence. @throws HoldfastError `bundle_malformed` for what `parseLeaf` would refuse. */
export function evidenceLeaf(evidence: Evidence): Uint8Array<ArrayBuffer> {
  const entry = utf8(evidenceText(evidence));
  parseLeaf(entry);
  return entry;
}

function checkLines(type: NoteType, { signatures }: SignedNote): void {
  const right = type === 'policy' ? signatures.length <= LINES.policy : signatures.length === LINES[type];
  if (!right) throw new HoldfastError('bundle_malformed', `a leaf of type ${type} has a wrong number of signatures`);
}

function parseEvidence(text: string): Evidence {
  const json: Json = parseDocument('holdfast/evidence/v1', text, 2048, 'bundle_malformed');
  const file = json.object(['sha256', 'size', 'address']);
  const evidence = {
    sha256: readDigest(file.required('sha256')),
    size: file.required('size').integer(1),
    address: readAddress(file.required('address')),
  };
  requireCanonical(text, evidenceText(evidence), 'bundle_malformed');
  return evidence;
}

function evidenceText({ sha256, size, address }: Evidence): string {
  return serialiseDocument('holdfast/evidence/v1', { sha256, size, address });
}
