/** Policies: which logs are accepted, and which witnesses must have cosigned (C2SP tlog-policy). */

import { bytesToHex, HoldfastError } from '../../core/index.ts';
import type { QuorumRule } from './quorum.ts';
import { parseVerifierKey, type VerifierKey } from './verifier-key.ts';

export interface PolicyLog {
  /** Its name is the log's origin. */
  readonly key: VerifierKey;
  readonly url: string | undefined;
}

export interface PolicyWitness {
  /** In this policy; not the key's name. */
  readonly name: string;
  /** Of type `cosignature`, or `unknown`: then it counts for nothing here. */
  readonly key: VerifierKey;
  readonly url: string | undefined;
}

export interface PolicyGroup {
  readonly name: string;
  /** At least so many of the members. */
  readonly threshold: number;
  /** Names of witnesses and of groups before this one. */
  readonly members: readonly string[];
}

export interface TlogPolicy {
  readonly logs: readonly PolicyLog[];
  readonly witnesses: readonly PolicyWitness[];
  readonly groups: readonly PolicyGroup[];
  /** Name of a witness or group, or `none`. */
  readonly quorum: string;
  /** The quorum as a tree; null for `none`. */
  readonly rule: QuorumRule | null;
}

/** UTF-16 units of a policy, and how many logs, witnesses and groups it may have of each. */
export const MAXIMUM_POLICY = 262_144;
export const MAXIMUM_POLICY_ITEMS = 64;
const NONE = 'none';

/**
 * Reads a policy. Names are compared as they stand, without any normalisation.
 * @throws HoldfastError `bad_input` with the line's number and what is wrong with it, `too_large` beyond 256 Ki
 * characters.
 */
export function parseTlogPolicy(text: string): TlogPolicy {
  if (text.length > MAXIMUM_POLICY) throw new HoldfastError('too_large', 'the log policy is too long');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what the specification forbids
  if (!text.isWellFormed() || /[\x00-\x08\x0b-\x1f\x7f]/.test(text)) throw bad('has control characters');
  if (!text.endsWith('\n')) throw bad('must end in a newline');
  const builder = new Builder();
  for (const [i, line] of text.slice(0, -1).split('\n').entries()) {
    // White space is space and tab only.
    const words = line.split(/[ \t]+/).filter((word) => word !== '');
    if (words.length === 0 || words[0]!.startsWith('#')) continue;
    try {
      builder.add(words);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      throw new HoldfastError('bad_input', `line ${i + 1} of the log policy: ${error.message}`, { cause: error });
    }
  }
  return builder.finish();
}

/** Takes a policy's lines one by one, and refuses each that does not fit those before it. */
class Builder {
  readonly #logs: PolicyLog[] = [];
  readonly #witnesses: PolicyWitness[] = [];
  readonly #groups: PolicyGroup[] = [];
  readonly #rules = new Map<string, QuorumRule>();
  /** Names that are a member of a group already. */
  readonly #members = new Set<string>();
  #quorum: string | undefined;

  add([keyword, ...words]: readonly string[]): void {
    if (keyword === 'log') this.#addLog(words);
    else if (keyword === 'witness') this.#addWitness(words);
    else if (keyword === 'group') this.#addGroup(words);
    else if (keyword === 'quorum') this.#setQuorum(words);
    else throw line('it begins with none of log, witness, group, quorum');
  }

  #addLog(words: readonly string[]): void {
    const [vkey, url] = counted(words, 1, 2, 'log <vkey> [<url>]');
    const key = parseVerifierKey(vkey!);
    if (key.type === 'cosignature') throw line('the key is a witness’s, not a log’s');
    add(this.#logs, { key, url }, 'logs');
  }

  #addWitness(words: readonly string[]): void {
    const [name, vkey, url] = counted(words, 2, 3, 'witness <name> <vkey> [<url>]');
    const key = parseVerifierKey(vkey!);
    if (key.type === 'ed25519' || key.type === 'ecdsa') throw line('the key must be of signature type 0x04');
    this.#define(name!, { name: name! });
    add(this.#witnesses, { name: name!, key, url }, 'witnesses');
  }

  #addGroup(words: readonly string[]): void {
    const [name, k, ...members] = counted(words, 3, 2 + 2 * MAXIMUM_POLICY_ITEMS, 'group <name> <k|any|all> <name>...');
    if (this.#groups.length >= MAXIMUM_POLICY_ITEMS) throw line(`more than ${MAXIMUM_POLICY_ITEMS} groups`);
    const rules = members.map((member) => {
      const rule = this.#rules.get(member);
      if (rule === undefined) throw line('it has a member that no line before it defines');
      if (this.#members.has(member)) throw line('it has a member that is a member of a group already');
      this.#members.add(member);
      return rule;
    });
    const threshold = k === 'all' ? members.length : k === 'any' ? 1 : thresholdOf(k!, members.length);
    this.#define(name!, { name: name!, threshold, members: rules });
    this.#groups.push({ name: name!, threshold, members });
  }

  #setQuorum(words: readonly string[]): void {
    const [name] = counted(words, 1, 1, 'quorum <name>');
    if (this.#quorum !== undefined) throw line('there is a quorum already');
    if (name !== NONE && !this.#rules.has(name!)) throw line('no line before it defines that name');
    this.#quorum = name!;
  }

  #define(name: string, rule: QuorumRule): void {
    if (name === NONE) throw line('the name none has a meaning of its own');
    if (this.#rules.has(name)) throw line('the name is defined already');
    this.#rules.set(name, rule);
  }

  finish(): TlogPolicy {
    if (this.#quorum === undefined) throw bad('has no quorum');
    return {
      logs: this.#logs,
      witnesses: this.#witnesses,
      groups: this.#groups,
      quorum: this.#quorum,
      rule: this.#rules.get(this.#quorum) ?? null,
    };
  }
}

function add<T extends { readonly key: VerifierKey }>(items: T[], item: T, what: string): void {
  const bytes = bytesToHex(item.key.publicKey);
  // Two vkeys of one public key are duplicates, whatever their names.
  if (items.some(({ key }) => bytesToHex(key.publicKey) === bytes)) throw line(`two ${what} have the same public key`);
  if (items.length >= MAXIMUM_POLICY_ITEMS) throw line(`more than ${MAXIMUM_POLICY_ITEMS} ${what}`);
  items.push(item);
}

function counted(words: readonly string[], minimum: number, maximum: number, form: string): readonly string[] {
  if (words.length < minimum || words.length > maximum) throw line(`its form must be: ${form}`);
  return words;
}

function thresholdOf(text: string, members: number): number {
  const threshold = /^[1-9][0-9]{0,2}$/.test(text) ? Number(text) : 0;
  if (threshold < 1 || threshold > members) throw line(`its threshold must be any, all, or from 1 to ${members}`);
  return threshold;
}

/**
 * The policy as text, in one form: logs, witnesses, groups, quorum; thresholds in digits.
 * @throws HoldfastError `bad_input` for what `parseTlogPolicy` would refuse or read differently.
 */
export function serialiseTlogPolicy(policy: Omit<TlogPolicy, 'rule'>): string {
  const url = (address: string | undefined) => (address === undefined ? [] : [address]);
  const lines = [
    ...policy.logs.map((log) => ['log', log.key.text, ...url(log.url)]),
    ...policy.witnesses.map((witness) => ['witness', witness.name, witness.key.text, ...url(witness.url)]),
    ...policy.groups.map((group) => ['group', group.name, String(group.threshold), ...group.members]),
    ['quorum', policy.quorum],
  ];
  const text = lines.map((words) => `${words.join(' ')}\n`).join('');
  if (contentOf(parseTlogPolicy(text)) !== contentOf(policy)) {
    throw bad('cannot be written: a name or URL is empty, has spaces or begins like a comment');
  }
  return text;
}

/** Two policies are the same if these are. */
function contentOf({ logs, witnesses, groups, quorum }: Omit<TlogPolicy, 'rule'>): string {
  return JSON.stringify([
    logs.map(({ key, url }) => [key.text, url ?? null]),
    witnesses.map(({ name, key, url }) => [name, key.text, url ?? null]),
    groups.map(({ name, threshold, members }) => [name, threshold, members]),
    quorum,
  ]);
}

function line(problem: string): HoldfastError {
  return new HoldfastError('bad_input', problem);
}

function bad(problem: string): HoldfastError {
  return new HoldfastError('bad_input', `the log policy ${problem}`);
}
