/**
 * Holding the signing journal of one's own token against the log. A signature that only the log has was made by somebody
 * else with the same key; one that only the journal has was withheld by the log, or never handed in.
 */

import { bytesToHex, sha256, utf8 } from '../../core/index.ts';
import { parseLeaf, type SignedNote, serialiseCheckpoint } from '../../trust/index.ts';
import type { LogReplay } from '../replay/index.ts';
import type { Finding } from './findings.ts';

/** One signature as a signing journal has it (`JournalEntry` of src/signer). */
export interface JournalLine {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly purpose: string;
  /** Name and ID of the key, `<name>+<id>`. */
  readonly key: string;
  /** Hex SHA-256 of what was signed. */
  readonly digest: string;
  /** For people. */
  readonly about: string;
}

export interface JournalSource {
  /** All lines. @throws HoldfastError where the journal is damaged or cannot be read. */
  readonly read: () => Promise<readonly JournalLine[]>;
}

/** What belongs into the log; cosignatures, Plexi statements and evidence stand elsewhere. */
const LOGGED_PURPOSES: readonly string[] = ['bundle', 'roster', 'policy', 'checkpoint'];

/** `before`: signatures made later (milliseconds since 1970) may still be on their way. */
export async function journalFindings(
  source: JournalSource | undefined,
  replay: LogReplay,
  before: number,
): Promise<Finding[]> {
  if (!source) return [];
  const signed = (await source.read()).filter(({ purpose }) => LOGGED_PURPOSES.includes(purpose));
  const keys = new Set(signed.map(({ key }) => key));
  const logged = loggedSignatures(replay, keys);
  const known = new Set(signed.map(nameOf));
  const findings: Finding[] = [];
  for (const line of signed) {
    if (logged.has(nameOf(line)) || line.time >= before) continue;
    const message = `${line.key} signed this on ${new Date(line.time).toISOString()}, and it is not in the log: ${line.about}`;
    findings.push({ rule: 'signed_not_logged', subject: nameOf(line), message });
  }
  for (const [name, { key, index }] of logged) {
    // The journal of a key begins with its first signature; that the log shows checkpoints is no leaf's doing.
    if (known.has(name) || index === undefined) continue;
    const message = `leaf ${index} is signed by ${key}, whose journal does not have it; somebody else may use the key`;
    findings.push({ rule: 'logged_not_signed', subject: name, message });
  }
  return findings;
}

const nameOf = ({ key, digest }: Pick<JournalLine, 'key' | 'digest'>) => `${key} ${digest}`;
const digestOfText = (text: string) => bytesToHex(sha256(utf8(text)));

/** Every signature by one of `keys` that the leaves carry, and every checkpoint that they allow; these without an index. */
function loggedSignatures(replay: LogReplay, keys: ReadonlySet<string>) {
  const logged = new Map<string, { readonly key: string; readonly index: number | undefined }>();
  const [log] = replay.state.policy.tlog.logs;
  const logKey = log && `${log.key.name}+${log.key.id}`;
  let index = -1;
  for (const entry of replay.mirror.entries()) {
    index++;
    const leaf = noteOf(entry);
    if (!leaf) continue;
    const digest = digestOfText(leaf.note.text);
    for (const { name, id } of leaf.note.signatures) {
      const key = `${name}+${id}`;
      if (keys.has(key)) logged.set(nameOf({ key, digest }), { key, index });
    }
    if (leaf.isRoster && logKey !== undefined && keys.has(logKey)) {
      const size = index + 1;
      const text = serialiseCheckpoint({ origin: replay.origin, size, root: replay.mirror.root(size) });
      logged.set(nameOf({ key: logKey, digest: digestOfText(text) }), { key: logKey, index: undefined });
    }
  }
  return logged;
}

function noteOf(entry: Uint8Array): { note: SignedNote; isRoster: boolean } | undefined {
  try {
    const leaf = parseLeaf(entry);
    return leaf.type === 'evidence' ? undefined : { note: leaf.note, isRoster: leaf.type === 'roster' };
  } catch {
    return undefined;
  }
}
