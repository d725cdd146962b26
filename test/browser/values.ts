/** The client's computations on fixed input, for comparing what two runtimes make of it. Loads nothing by itself. */

import type { Secret, standardSuite } from '../../src/client/index.ts';

export interface Sdk {
  readonly standardSuite: typeof standardSuite;
  readonly Secret: typeof Secret;
}

/** One vector of RFC 9497 appendix A.3.1, in hexadecimal. */
export type OprfVector = Readonly<
  Record<'Input' | 'Blind' | 'BlindedElement' | 'EvaluationElement' | 'Output', string>
>;

/** In a form that JSON carries. */
export interface ValueInput {
  readonly oprf: readonly OprfVector[];
  /** Made from `SEED` with the outputs of `outputOf`. */
  readonly shares: readonly { readonly node: number; readonly x: number; readonly masked: readonly number[] }[];
}

export type Values = Readonly<Record<string, unknown>>;

export const SEED: readonly number[] = Array.from({ length: 32 }, (_, i) => 7 * i + 1);
export const THRESHOLD = 2;

/** A node's OPRF output, 32 bytes. */
export const outputOf = (node: number) => ({ node, output: new Uint8Array(32).fill(node) });

const fromHex = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
export const toHex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const text = (words: string) => new TextEncoder().encode(words);

/** Randomness of which the OPRF library makes exactly this scalar: it reduces modulo the order less one and adds one. */
const randomGiving = (scalar: string) => (length: number) =>
  fromHex((BigInt(`0x${scalar}`) - 1n).toString(16).padStart(2 * length, '0'));

/** Everything that must not depend on where it was computed. */
export async function computeValues({ standardSuite, Secret }: Sdk, input: ValueInput): Promise<Values> {
  const suite = standardSuite();
  const stretched = await suite.stretch(text('246810'), new Uint8Array(32).fill(5), {
    memoryKiB: 65_536,
    passes: 3,
    parallelism: 1,
  });
  const oprf = input.oprf.map((vector) => {
    const { blind, blindedElement } = standardSuite(randomGiving(vector.Blind)).blind(fromHex(vector.Input));
    const output = suite.finalize(fromHex(vector.Input), blind, fromHex(vector.EvaluationElement));
    return { Blind: toHex(blind.reveal()), BlindedElement: toHex(blindedElement), Output: toHex(output) };
  });
  const seed = () => new Secret(Uint8Array.from(SEED));
  const keys = suite.deriveKeys(seed());
  const signature = suite.sign(keys.ownerKey, text('signed'));
  const { ed25519 } = suite.checks;
  const binding = text('binding');
  const envelope = suite.sealEnvelope(keys.encryptionKey, binding, text('secret'));
  const recovered = await suite.recoverSeed({
    shares: input.shares.map((share) => ({ ...share, masked: Uint8Array.from(share.masked) })),
    // The last one lies.
    outputs: [outputOf(1), outputOf(2), { node: 3, output: new Uint8Array(32) }],
    threshold: THRESHOLD,
    accept: (candidate) => toHex(candidate.reveal()) === toHex(seed().reveal()),
  });
  return {
    stretched: toHex(stretched),
    oprf,
    encryptionKey: toHex(keys.encryptionKey.reveal()),
    confirmKey: toHex(keys.confirmKey.publicKey),
    ownerKey: toHex(keys.ownerKey.publicKey),
    signature: toHex(signature),
    verifies: ed25519(keys.ownerKey.publicKey, text('signed'), signature),
    verifiesAnother: ed25519(keys.ownerKey.publicKey, text('other'), signature),
    envelope: toHex(envelope),
    opened: toHex(suite.openEnvelope(keys.encryptionKey, binding, envelope).reveal()),
    seed: toHex(recovered.seed.reveal()),
    lying: recovered.lying,
  };
}
