/** What changed from one bundle to the next, in plain words: made of the difference that operators approve by. */

import { parseJson } from '../../core/index.ts';
import { diffManifests, type LiveManifest, type ManifestChange } from '../../trust/index.ts';
import { TEXTS } from './texts.ts';

export interface Changes {
  /** One sentence each; empty where nothing that people have to know of has changed. */
  readonly sentences: readonly string[];
  /** What makes the fleet weaker, one sentence each. */
  readonly weaker: readonly string[];
}

/** Members that say where a bundle stands among others, or that a sentence of its own is made of. */
const PASSED_OVER = /^(serial|previous|accepted|notBefore|kind|epoch|earlier\..*|nodes\.[^.]+(\.node|\.name)?)$/;
const KEYS = ['identity', 'session', 'oprf'];

/** @param before undefined for the fleet's first bundle. */
export function changesOf(before: LiveManifest | undefined, after: LiveManifest): Changes {
  const words = TEXTS.changes;
  if (before === undefined) {
    return { sentences: [words.first(after.nodes.length, operatorsOf(after))], weaker: [] };
  }
  const { changes, epochs, weaker } = diffManifests(before, after);
  const sentences: string[] = [];
  if (after.kind === 'retire' && before.kind === 'deploy') {
    sentences.push(words.retired(after.successor, TEXTS.words.date(after.sunset)));
  }
  sentences.push(...epochs.map(sentence), ...nodeSentences(before, after, changes));
  for (const change of changes) {
    if (PASSED_OVER.test(change.path) || change.path.startsWith('nodes.')) continue;
    if (['successor', 'sunset'].includes(change.path)) continue;
    sentences.push(fieldSentence(change));
  }
  return { sentences, weaker: weaker.map(sentence) };
}

function nodeSentences(before: LiveManifest, after: LiveManifest, changes: readonly ManifestChange[]): string[] {
  const words = TEXTS.changes;
  const names = (manifest: LiveManifest) => manifest.nodes.map(({ name }) => name);
  const [was, is] = [names(before), names(after)];
  const found = [
    ...is.filter((name) => !was.includes(name)).map(words.nodeAdded),
    ...was.filter((name) => !is.includes(name)).map(words.nodeRemoved),
  ];
  for (const name of is.filter((one) => was.includes(one))) {
    const [then, now] = [before, after].map((each) => each.nodes.find((node) => node.name === name)!);
    const at = (member: string) => changes.some(({ path }) => path === `nodes.${name}.${member}`);
    if (KEYS.some(at)) found.push(words.nodeKeys(name));
    if (at('operator')) found.push(words.nodeOperator(name, then!.operator, now!.operator));
    if (at('region')) found.push(words.nodeRegion(name, then!.region, now!.region));
    if (at('tokenClass')) found.push(words.nodeClass(name, then!.tokenClass, now!.tokenClass));
    if (at('endpoint')) found.push(words.nodeEndpoint(name));
  }
  return found;
}

function fieldSentence({ path, before, after }: ManifestChange): string {
  const words = TEXTS.changes;
  const known = words.fields[path];
  const [was, is] = [plain(before), plain(after)];
  if (path === 'evidence.sha256') return words.evidence;
  if (path === 'evidence.address') return words.evidenceAddress;
  if (path === 'authority') return words.authority;
  if (path === 'notAfter') return words.validUntil(TEXTS.words.date(Date.parse(is)));
  return words.field(known ?? path, was, is);
}

/** A member's value, which is canonical JSON, without quotation marks. */
function plain(value: string | undefined): string {
  if (value === undefined) return TEXTS.changes.nothing;
  const read = parseJson(value, 'bundle_malformed').value;
  return Array.isArray(read) ? read.join(', ') : String(read);
}

const operatorsOf = (manifest: LiveManifest) => new Set(manifest.nodes.map(({ operator }) => operator)).size;

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
