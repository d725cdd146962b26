/**
 * Password-protected secret sharing from independent OPRFs (Jarecki, Kiayias and Krawczyk): the seed is split by
 * Shamir's scheme over GF(256), and each node's share is masked with that node's OPRF output.
 *
 * The attack that decides the form: a malicious node can compute its own output for every PIN. Whatever can be compared
 * with something made from that one output alone lets it sort out PINs offline. So exactly the 32 bytes of the share,
 * which are uniform to anybody with fewer than the threshold of them, are masked. The x coordinate, which is predictable,
 * stands in the clear, and there is no tag and no commitment per node: whether a PIN was right shows only in the seed.
 */

import { combine, split } from 'shamir-secret-sharing';
import { codec, concatBytes, equalBytes, HoldfastError, Secret } from '../core/index.ts';
import { hkdf } from './hkdf.ts';
import { SEED_BYTES } from './seed.ts';

/** A fleet has at most nine nodes; that also bounds the subsets tried to 126. */
export const MAXIMUM_SHARES = 9;

/** What one node's OPRF gave for the PIN. */
export interface NodeOutput {
  readonly node: number;
  /** 32 bytes, from `finalize`. Secret. */
  readonly output: Uint8Array;
}

/** One node's entry in the public document of a record. It holds nothing else, for the reason above. */
export interface MaskedShare {
  readonly node: number;
  /** The share's x coordinate, 1 to 255, distinct from the others'. */
  readonly x: number;
  /** The share's 32 bytes, XOR the mask of the node's output. */
  readonly masked: Uint8Array;
}

const maskLabel = codec.message('holdfast v1 share mask', { node: codec.uint });

/** Masks the 32 bytes of a share, or unmasks them. `output` is 32 bytes. */
export function maskShare(share: Uint8Array, { node, output }: NodeOutput): Uint8Array<ArrayBuffer> {
  const mask = hkdf(output, maskLabel.encode({ node }), share.length);
  return mask.map((byte, i) => byte ^ share[i]!);
}

/**
 * Splits a seed of 32 bytes so that the outputs of any `threshold` of these nodes give it back.
 * @param options.outputs one for each node, 1 to 9 of them, nodes distinct.
 * @returns one share for each output, in the same order.
 * @throws HoldfastError `bad_input` for sizes or numbers out of range. With `threshold` 1 there is exactly one node.
 */
export async function protectSeed(options: {
  readonly seed: Secret;
  readonly threshold: number;
  readonly outputs: readonly NodeOutput[];
}): Promise<MaskedShare[]> {
  const { threshold, outputs } = options;
  const seed = options.seed.reveal();
  if (seed.length !== SEED_BYTES) throw new HoldfastError('bad_input', `a seed has ${SEED_BYTES} bytes`);
  checkOutputs(outputs);
  checkThreshold(threshold, outputs.length);
  // The library takes no threshold of 1: one node's share is then the seed itself (development only).
  const shares =
    threshold === 1
      ? [concatBytes(seed, Uint8Array.of(1))]
      : await split(new Uint8Array(seed), outputs.length, threshold);
  return outputs.map((output, i) => {
    const share = shares[i]!;
    return { node: output.node, x: share[SEED_BYTES]!, masked: maskShare(share.subarray(0, SEED_BYTES), output) };
  });
}

/**
 * Finds the seed from the document's shares and the nodes' answers to one PIN.
 *
 * Every subset of `threshold` answers is tried until `accept` says that a seed is the record's; it compares the public
 * keys made from it with the document's. Then a node whose answer does not fit the accepted seed is named as lying.
 * @param options.shares all of the document's.
 * @param options.outputs of the nodes that answered; those without a share in the document are left out.
 * @param options.accept must not keep the seed: those that it refuses are wiped.
 * @returns the seed, and the nodes that answered wrongly, ascending.
 * @throws HoldfastError `wrong_pin` if no subset is accepted: the PIN is wrong, or so many answers are. Its detail
 *   `spare` tells whether there were more answers than needed; without a spare one faulty node looks the same.
 *   `no_majority` with fewer than `threshold` answers, `malformed` for shares or answers that no honest document has.
 */
export async function recoverSeed(options: {
  readonly shares: readonly MaskedShare[];
  readonly outputs: readonly NodeOutput[];
  readonly threshold: number;
  readonly accept: (seed: Secret) => boolean | Promise<boolean>;
}): Promise<{ readonly seed: Secret; readonly lying: readonly number[] }> {
  const { shares, outputs, threshold, accept } = options;
  checkShares(shares);
  checkOutputs(outputs);
  checkThreshold(threshold, shares.length);
  const answers = unmask(shares, outputs);
  if (answers.length < threshold) {
    throw new HoldfastError('no_majority', `only ${answers.length} of ${threshold} nodes needed answered; try later`);
  }
  try {
    for (const subset of subsets(answers, threshold)) {
      const seed = new Secret(await join(subset));
      if (await accept(seed)) return { seed, lying: await findLying(answers, subset, seed) };
      seed.wipe();
    }
  } finally {
    for (const { share } of answers) share.fill(0);
  }
  const spare = answers.length > threshold;
  const advice = spare ? 'the PIN is wrong' : 'the PIN is wrong, or a node is faulty; wait before you try again';
  throw new HoldfastError('wrong_pin', advice, { details: { spare } });
}

/** One node's unmasked share: 32 bytes and x, in the library's form. */
interface Answer {
  readonly node: number;
  readonly share: Uint8Array;
}

function unmask(shares: readonly MaskedShare[], outputs: readonly NodeOutput[]): Answer[] {
  return outputs.flatMap((output) => {
    const share = shares.find(({ node }) => node === output.node);
    if (share === undefined) return [];
    return [{ node: output.node, share: concatBytes(maskShare(share.masked, output), Uint8Array.of(share.x)) }];
  });
}

async function join(answers: readonly Answer[]): Promise<Uint8Array> {
  if (answers.length === 1) return answers[0]!.share.slice(0, SEED_BYTES);
  return combine(answers.map(({ share }) => share));
}

/**
 * The nodes that do not fit. All but one of the accepted answers, with the seed at x = 0, fix the polynomial. So one
 * other answer in that one's place gives the same seed exactly if it lies on the polynomial.
 */
async function findLying(answers: readonly Answer[], accepted: readonly Answer[], seed: Secret): Promise<number[]> {
  const lying: number[] = [];
  for (const answer of answers) {
    if (accepted.includes(answer)) continue;
    const swapped = await join([...accepted.slice(1), answer]);
    if (!equalBytes(swapped, seed.reveal())) lying.push(answer.node);
    swapped.fill(0);
  }
  return lying.sort((a, b) => a - b);
}

/** All subsets of `size` items, each in the items' order. */
function* subsets<T>(items: readonly T[], size: number, from = 0): Generator<T[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (let i = from; i <= items.length - size; i++) {
    for (const rest of subsets(items, size - 1, i + 1)) yield [items[i]!, ...rest];
  }
}

function checkThreshold(threshold: number, shares: number): void {
  const inRange = Number.isInteger(threshold) && threshold >= 1 && threshold <= shares;
  if (!inRange || (threshold === 1 && shares > 1)) {
    throw new HoldfastError('bad_input', `a threshold of ${threshold} does not suit ${shares} nodes`);
  }
}

function checkOutputs(outputs: readonly NodeOutput[]): void {
  const nodes = new Set(outputs.map(({ node }) => node));
  if (outputs.length > MAXIMUM_SHARES || nodes.size !== outputs.length) {
    throw new HoldfastError('bad_input', 'give at most nine answers, one for each node');
  }
  if (outputs.some(({ output }) => output.length !== 32)) {
    throw new HoldfastError('bad_input', 'an OPRF output has 32 bytes');
  }
}

/** A share with x = 0 would be the seed itself, and two with one x cannot be interpolated. */
function checkShares(shares: readonly MaskedShare[]): void {
  const distinct = (values: readonly number[]) => new Set(values).size === values.length;
  const valid =
    shares.length >= 1 &&
    shares.length <= MAXIMUM_SHARES &&
    distinct(shares.map(({ node }) => node)) &&
    distinct(shares.map(({ x }) => x)) &&
    shares.every(({ x, masked }) => Number.isInteger(x) && x >= 1 && x <= 255 && masked.length === SEED_BYTES);
  if (!valid) throw new HoldfastError('malformed', 'the record’s shares are not well-formed; do not use this document');
}
