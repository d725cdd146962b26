/**
 * What a token can do for Holdfast, found by doing it: each mechanism by itself, then a node's and a signer's whole work
 * with keys of their own, its speed, and that nothing is left behind. RFC 9497 and RFC 9180 end to end.
 */

import { createECDH } from 'node:crypto';
import { p256, p256_oprf } from '@noble/curves/nist.js';
import {
  asHoldfastError,
  bytesToHex,
  equalBytes,
  HoldfastError,
  hexToBytes,
  systemRandom,
  utf8,
} from '../core/index.ts';
import { newRequestRecipient, newRequestSender } from '../crypto/index.ts';
import { measureToken, type Rate } from './measure.ts';
import { type ExaminationStep, WRAPPED } from './pkcs11/examination.ts';
import { type TokenAccess, type WorkerPool, withPool } from './pkcs11/pool.ts';
import { openSigningToken } from './pkcs11/signing-token.ts';
import { createTokenKeys, openToken, type Pkcs11Token } from './pkcs11/token.ts';
import type { SigningAlgorithm, TokenDescription } from './port.ts';
import type { TokenProfile } from './profile.ts';

export type TokenRole = 'node' | 'signer';

export interface Finding {
  readonly step: string;
  readonly works: boolean;
  /** For people: how it works, or why not. */
  readonly detail: string;
  readonly milliseconds: number;
}

export interface Verdict {
  readonly suitable: boolean;
  /** Why not. */
  readonly reasons: readonly string[];
}

export interface TokenReport {
  readonly token: TokenDescription;
  readonly findings: readonly Finding[];
  /** What `openToken` would work by; undefined where a node cannot use the token. */
  readonly profile: TokenProfile | undefined;
  /** With one thread, and with four. */
  readonly rates: readonly (Rate & { readonly workers: number })[];
  readonly algorithms: readonly SigningAlgorithm[];
  readonly verdicts: Readonly<Record<TokenRole, Verdict>>;
  /** What to change, or to know. */
  readonly advice: readonly string[];
  /** Objects of this examination that could not be removed. Empty, or the token is at fault. */
  readonly left: readonly string[];
  /** Other examinations, by the names of their objects, that were under way at the start, or were killed: see `sweep`. */
  readonly others: readonly string[];
  /** How many of their objects were removed. */
  readonly swept: number;
}

export interface ExamineOptions extends TokenAccess {
  /** Told of each step as it begins. */
  readonly onStep?: (step: string) => void;
  /** Removes what other examinations have left on the token. Only while none is under way. Default false. */
  readonly sweep?: boolean;
  readonly signal?: AbortSignal;
}

/** Step, title, and who cannot do without it. */
const STEPS: readonly (readonly [ExaminationStep, string, readonly TokenRole[]])[] = [
  ['session-pair', 'P-256 key pair as session object', []],
  ['sign-key', 'P-256 key that only signs, on the token', ['node', 'signer']],
  ['derive-key', 'P-256 key that only derives, on the token', ['node']],
  ['wrapping', 'keys stay on the token', ['node', 'signer']],
  ['ecdsa', 'ECDSA on P-256', ['node']],
  ['ecdh', 'ECDH on P-256 with a readable result', ['node']],
  ['hmac', 'HMAC-SHA256', []],
  ['ed25519', 'Ed25519', []],
  ['anchor-value', 'data object, new value in place', []],
  ['anchor-label', 'data object, new label in place', []],
  ['anchor-replace', 'data object, destroyed and made anew', []],
  ['anchor-key-label', 'private key, new label in place', []],
  ['sessions', 'parallel sessions', []],
];

const ADVICE: Readonly<Partial<Record<ExaminationStep, string>>> = {
  'derive-key':
    'allow EC keys with CKA_DERIVE alone, whose CKA_LOCAL, CKA_ALWAYS_SENSITIVE and CKA_NEVER_EXTRACTABLE are set',
  ecdh: 'allow CKM_ECDH1_DERIVE with CKD_NULL into a readable generic secret; strict FIPS modes forbid that',
  hmac: 'without HMAC the node uses ECDH of a hashed point instead, about 2 ms more of the host’s time for each use',
  ed25519: 'without CKM_EDDSA a signer uses ECDSA on P-256, which some formats do not take',
  sessions: 'one session only: leave token.workers at 1, and nothing else may use the slot',
};
const ANCHORS: readonly ExaminationStep[] = ['anchor-value', 'anchor-label', 'anchor-replace', 'anchor-key-label'];
const UNNAMED = /^class \w* id \w* $/;
const MANY = 4;
const CALLS = 48;
/** Hardware wears. */
const ANCHOR_WRITES = 12;

/**
 * Takes a few seconds on a software token. Makes objects named `holdfast/probe-...` and removes them, also where it fails or
 * is aborted. @throws HoldfastError `token_*` where the token cannot be opened or stops working; `cancelled`.
 */
export async function examineToken(options: ExamineOptions): Promise<TokenReport> {
  const name = `probe-${bytesToHex(systemRandom(8))}`;
  const scratch = `holdfast/${name}/`;
  const examination = new Examination(options, name, scratch);
  const single = { ...options, workers: 1 };
  let before: readonly string[] = [];
  let token: TokenDescription | undefined;
  let profile: TokenProfile | undefined;
  try {
    await withPool(single, undefined, async (pool, description) => {
      token = description;
      before = await pool.callFirst('objects', {});
      await examination.lookAtOthers(pool, before);
      await examination.mechanisms(pool);
      await pool.close();
    });
    profile = await examination.node();
    await examination.signer();
  } finally {
    // Whatever happened: a token that still answers is left as it was found.
    const after = await withPool(single, undefined, async (pool) => {
      await pool.callFirst('remove', { prefix: scratch });
      const objects = await pool.callFirst('objects', {});
      await pool.close();
      return objects;
    }).catch((error: unknown) => asHoldfastError(error));
    if (after instanceof HoldfastError) {
      if (before.length > 0 || token)
        examination.leave([`not known (${after.message}); remove what is named ${scratch}*`]);
    } else {
      // Others may use the token meanwhile: what is new and has their names is not ours.
      const known = new Set(before);
      const ours = (line: string) => line.includes(scratch) || (UNNAMED.test(line) && !known.has(line));
      examination.leave(after.filter(ours));
    }
  }
  return examination.report(token!, profile);
}

export interface BenchOptions extends ExamineOptions {
  readonly calls: number;
}

/** Rates of a node's operations with keys of their own, which are removed again. @throws as `examineToken`. */
export async function benchToken(options: BenchOptions): Promise<Rate[]> {
  const name = `probe-${bytesToHex(systemRandom(8))}`;
  const place = { ...options, fleet: name, node: 'node' };
  try {
    await createTokenKeys(place);
    options.signal?.throwIfAborted();
    const token = await openToken(place);
    try {
      return await measureToken(token, { calls: options.calls });
    } finally {
      await token.close();
    }
  } finally {
    await removeThrowaway(options, name);
  }
}

/**
 * Destroys everything of a fleet called `probe-` and 16 hexadecimal digits, as examinations and tests on hardware name
 * theirs. @returns how many objects. @throws HoldfastError `usage` for another name, `token_*`.
 */
export async function removeThrowaway(access: TokenAccess, fleet: string): Promise<number> {
  return withPool({ ...access, workers: 1 }, undefined, async (pool) => {
    const removed = await pool.callFirst('remove', { prefix: `holdfast/${fleet}/` });
    await pool.close();
    return removed;
  });
}

class Examination {
  readonly #options: ExamineOptions;
  readonly #name: string;
  readonly #scratch: string;
  readonly #findings: Finding[] = [];
  readonly #failed = new Set<ExaminationStep>();
  readonly #reasons: Record<TokenRole, string[]> = { node: [], signer: [] };
  readonly #rates: (Rate & { workers: number })[] = [];
  readonly #algorithms: SigningAlgorithm[] = [];
  #left: readonly string[] = [];
  #others: readonly string[] = [];
  #swept = 0;

  constructor(options: ExamineOptions, name: string, scratch: string) {
    this.#options = options;
    this.#name = name;
    this.#scratch = scratch;
  }

  /** A process that was killed cleans nothing up, and nobody can tell it from one that goes on. */
  async lookAtOthers(pool: WorkerPool, objects: readonly string[]): Promise<void> {
    const names = objects.flatMap((line) => /holdfast\/(probe-[0-9a-f]{16})\//.exec(line)?.[1] ?? []);
    this.#others = [...new Set(names)].sort();
    if (!this.#options.sweep) return;
    for (const name of this.#others) {
      this.#options.onStep?.(`removing what ${name} left`);
      this.#swept += await pool.callFirst('remove', { prefix: `holdfast/${name}/` });
    }
  }

  async mechanisms(pool: WorkerPool): Promise<void> {
    for (const [step, title, needed] of STEPS) {
      const found = await this.#step(title, () => pool.callFirst('examine', { step, scratch: this.#scratch }));
      if (found.works) continue;
      this.#failed.add(step);
      for (const role of needed) this.#reasons[role].push(`${title}: ${found.detail}`);
    }
    if (ANCHORS.every((step) => this.#failed.has(step))) {
      this.#reasons.node.push('no private object of which the content can be replaced (anchors)');
    }
  }

  /** A node's whole work, with keys of its own. @returns the profile, where the token can do it. */
  async node(): Promise<TokenProfile | undefined> {
    if (this.#reasons.node.length > 0) return undefined;
    const place = { ...this.#options, fleet: this.#name, node: 'node', workers: 1 };
    const made = await this.#step('a node’s five keys', async () => {
      const { profile } = await createTokenKeys(place);
      return { works: true, detail: Object.entries(profile).flat().join(' '), profile };
    });
    if (!made.works) {
      this.#reasons.node.push(`a node’s five keys: ${made.detail}`);
      return undefined;
    }
    for (const workers of [1, MANY]) {
      let token: Pkcs11Token | undefined;
      const opened = await this.#step(`opened with ${workers} thread${workers > 1 ? 's' : ''}`, async () => {
        token = await openToken({ ...place, workers });
        return { works: true, detail: 'keys checked and tried' };
      });
      try {
        if (!token) {
          this.#reasons.node.push(`opening: ${opened.detail}`);
          continue;
        }
        const using = token;
        if (workers === 1) await this.#endToEnd(using);
        await this.#step(`speed with ${workers} thread${workers > 1 ? 's' : ''}`, async () => {
          const rates = await measureToken(using, { calls: CALLS, anchorWrites: ANCHOR_WRITES, concurrency: 8 });
          this.#rates.push(...rates.map((rate) => ({ ...rate, workers })));
          return { works: true, detail: rates.map((rate) => `${rate.operation} ${rate.perSecond}/s`).join(', ') };
        });
      } finally {
        await token?.close();
      }
    }
    return made.profile;
  }

  async #endToEnd(token: Pkcs11Token): Promise<void> {
    const checks: readonly (readonly [string, () => Promise<boolean>])[] = [
      ['signatures verify (ECDSA)', async () => (await token.sign(utf8('probe'))).length === 64],
      ['RFC 9497, end to end', () => checkOprf(token)],
      ['RFC 9180, end to end', () => checkHpke(token)],
      ['keyed function repeats itself', () => checkMac(token)],
      ['anchors are kept in turn', () => checkAnchors(token)],
    ];
    for (const [title, check] of checks) {
      const found = await this.#step(title, async () => {
        const works = await check();
        return { works, detail: works ? 'right' : 'a wrong result' };
      });
      if (!found.works) this.#reasons.node.push(`${title}: ${found.detail}`);
    }
  }

  async signer(): Promise<void> {
    if (this.#reasons.signer.length > 0) return;
    const token = await openSigningToken({ ...this.#options, workers: 1 }).catch((error: unknown) => {
      const failure = asHoldfastError(error);
      if (failure.code !== 'token_unsuitable') throw failure;
      this.#reasons.signer.push(failure.message);
    });
    if (!token) return;
    try {
      for (const algorithm of token.algorithms) {
        const found = await this.#step(`signing key, ${algorithm}`, async () => {
          const key = await token.generate(`${this.#scratch}${algorithm}`, algorithm);
          const started = performance.now();
          for (let i = 0; i < 10; i++) await key.sign(utf8(`message ${i}`));
          const each = (performance.now() - started) / 10;
          return { works: true, detail: `${each.toFixed(2)} ms for each signature, verified` };
        });
        if (found.works) this.#algorithms.push(algorithm);
      }
    } finally {
      await token.close();
    }
    if (this.#algorithms.length === 0) this.#reasons.signer.push('no key that signs could be made');
  }

  leave(objects: readonly string[]): void {
    this.#left = objects;
  }

  report(token: TokenDescription, profile: TokenProfile | undefined): TokenReport {
    const advice = [...this.#failed].flatMap((step) => ADVICE[step] ?? []);
    if (this.#findings.some(({ detail }) => detail === WRAPPED)) {
      advice.push(
        'do not use it: a key marked as not extractable can leave it; look for a policy that forbids wrapping',
      );
    }
    if (profile?.anchor === 'replace') {
      advice.push(
        'each anchor is an object destroyed and made anew, which wears flash: raise batchIntervalMilliseconds',
      );
    }
    if (profile && !this.#failed.has('sessions') && this.#gain() < 1.3) {
      advice.push('more threads gain little here: leave token.workers at 1');
    }
    if (this.#others.length > 0 && !this.#options.sweep) {
      advice.push(
        `there are objects of other probes (${this.#others.join(', ')}): where none is under way they were killed, and --sweep removes them`,
      );
    }
    if (this.#left.length > 0)
      advice.push('objects were left behind that the token would not destroy: remove them by hand');
    const verdict = (role: TokenRole): Verdict => ({
      suitable: this.#reasons[role].length === 0,
      reasons: this.#reasons[role],
    });
    return {
      token,
      findings: this.#findings,
      profile,
      rates: this.#rates,
      algorithms: this.#algorithms,
      verdicts: { node: verdict('node'), signer: verdict('signer') },
      advice,
      left: this.#left,
      others: this.#others,
      swept: this.#swept,
    };
  }

  /** How much faster evaluations are with several threads. */
  #gain(): number {
    const [one, many] = [1, MANY].map(
      (workers) =>
        this.#rates.find((rate) => rate.workers === workers && rate.operation === 'evaluate')?.perSecond ?? 0,
    );
    return one ? many! / one : 0;
  }

  /** A token’s refusal is a finding; one that is gone or hangs ends the examination. */
  async #step<T extends { works: boolean; detail: string }>(
    step: string,
    body: () => Promise<T>,
  ): Promise<{ works: boolean; detail: string } & Partial<T>> {
    this.#options.signal?.throwIfAborted();
    this.#options.onStep?.(step);
    const started = performance.now();
    let found: { works: boolean; detail: string } & Partial<T>;
    try {
      found = await body();
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.code === 'token_removed' || error.details.hung === true || error.code === 'unexpected') throw error;
      found = { works: false, detail: error.message } as { works: boolean; detail: string } & Partial<T>;
    }
    const { works, detail } = found;
    this.#findings.push({ step, works, detail, milliseconds: Math.round(performance.now() - started) });
    return found;
  }
}

/** Appendix A.1.3.1 of RFC 9497 gives input, blind and blinded element; what the token's own key makes of them is compared. */
const VECTOR = {
  input: hexToBytes('5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a'),
  blind: hexToBytes('3338fa65ec36e0290022b48eb562889d89dbfa691d1cde91517fa222ed7ad364'),
  blindedElement: hexToBytes('03cc1df781f1c2240a64d1c297b3f3d16262ef5d4cf102734882675c26231b0838'),
};

/** Known answers: (r * G) gives r * Y with Y = the answer for G; and the blind makes no difference to the output. */
async function checkOprf(token: Pkcs11Token): Promise<boolean> {
  const record = utf8('probe');
  const { Point } = p256;
  const publicKey = Point.fromBytes(await token.evaluate(record, Point.BASE.toBytes(true)));
  for (let i = 0; i < 4; i++) {
    const scalar = Point.Fn.fromBytes(p256.utils.randomSecretKey());
    const answer = await token.evaluate(record, Point.BASE.multiply(scalar).toBytes(true));
    if (!Point.fromBytes(answer).equals(publicKey.multiply(scalar))) return false;
  }
  const { input, blind, blindedElement } = VECTOR;
  const inverse = Point.Fn.inv(Point.Fn.fromBytes(blind));
  const bare = Point.fromBytes(blindedElement).multiply(inverse);
  const one = Point.Fn.toBytes(1n);
  const outputs = [
    p256_oprf.oprf.finalize(input, blind, await token.evaluate(record, blindedElement)),
    p256_oprf.oprf.finalize(input, one, await token.evaluate(record, bare.toBytes(true))),
  ];
  return equalBytes(outputs[0]!, outputs[1]!);
}

async function checkHpke(token: Pkcs11Token): Promise<boolean> {
  const publicKey = token.publicKeys.session;
  const [info, aad, plaintext] = [utf8('info'), utf8('aad'), utf8('sealed to the token')];
  const sender = await newRequestSender({ publicKey, info });
  const { enc, ciphertext, openAnswer } = await sender.seal(aad, plaintext);
  const dh = await token.deriveSession(enc);
  const opened = newRequestRecipient({ dh, enc, publicKey, info }).open(aad, ciphertext);
  const answer = await openAnswer(aad, opened.sealAnswer(aad, utf8('answered'), systemRandom));
  const other = createECDH('prime256v1');
  const point = Uint8Array.from(other.generateKeys());
  const derived = await token.deriveSession(point);
  return (
    equalBytes(opened.plaintext, plaintext) &&
    equalBytes(answer, utf8('answered')) &&
    equalBytes(derived, other.computeSecret(publicKey))
  );
}

async function checkMac(token: Pkcs11Token): Promise<boolean> {
  const [once, again, other] = [utf8('a'), utf8('a'), utf8('b')].map((message) => token.anchorMac(message));
  return equalBytes(await once!, await again!) && !equalBytes(await once!, await other!);
}

async function checkAnchors(token: Pkcs11Token): Promise<boolean> {
  for (const text of ['1', '2', '3']) await token.writeAnchor(utf8(text));
  const kept = (await token.readAnchors()).map((value) => Buffer.from(value).toString()).sort();
  return kept.join(' ') === '2 3';
}
