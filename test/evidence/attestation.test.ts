/** Vendors' chains: what proves that a key was made in a device, and everything that only looks like it. */

import '../../src/pki/reflect.ts';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import { publicKeyOf, type VendorRoot, verifyAttestation } from '../../src/evidence/index.ts';
import { DAY, NOW, point } from '../trust/manifests.ts';

type Algorithm = RsaHashedKeyGenParams | (EcKeyGenParams & { readonly hash: string });
const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const P384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' } as const;
const rsa = (modulusLength: number): RsaHashedKeyGenParams => ({
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
});

const engine = globalThis.crypto;
x509.cryptoProvider.set(engine);
const KEY = point('node-1 identity');

interface Authority {
  readonly name: string;
  readonly keys: CryptoKeyPair;
  readonly algorithm: Algorithm;
}

async function authority(name: string, algorithm: Algorithm): Promise<Authority> {
  const keys = (await engine.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  return { name: `CN=${name}`, keys, algorithm };
}

interface Wanted {
  readonly subject: string;
  readonly publicKey: CryptoKey;
  readonly issuer: Authority;
  readonly extensions?: readonly x509.Extension[];
  readonly from?: number;
  readonly to?: number;
}

const CA = [new x509.BasicConstraintsExtension(true, undefined, true)];

async function certificate({ subject, publicKey, issuer, extensions = [], from, to }: Wanted): Promise<Uint8Array> {
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: '01',
    subject,
    issuer: issuer.name,
    publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: issuer.algorithm,
    notBefore: new Date(from ?? NOW - 300 * DAY),
    notAfter: new Date(to ?? NOW + 3000 * DAY),
    extensions: [...extensions],
  });
  return new Uint8Array(made.rawData);
}

const nodeKey = (raw = KEY) =>
  engine.subtle.importKey('spki', publicKeyOf('P-256', raw).spki.slice(), P256, true, ['verify']);

/** Root, device, key: all in order. */
async function chainOf(
  root: Authority,
  device: Authority,
  changes: { own?: Partial<Wanted>; device?: Partial<Wanted> } = {},
) {
  const top: VendorRoot = {
    vendor: 'Example Tokens',
    certificate: await certificate({
      subject: root.name,
      publicKey: root.keys.publicKey,
      issuer: root,
      extensions: CA,
    }),
  };
  const middle = await certificate({
    subject: device.name,
    publicKey: device.keys.publicKey,
    issuer: root,
    extensions: CA,
    ...changes.device,
  });
  const own = await certificate({ subject: 'CN=key', publicKey: await nodeKey(), issuer: device, ...changes.own });
  return { roots: [top], chain: [own, middle] };
}

const verdict = async (chain: readonly Uint8Array[], roots: readonly VendorRoot[], key = KEY, at = NOW) => {
  try {
    return (await verifyAttestation(chain, key, roots, at)).device;
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
};

let root: Authority;
let device: Authority;
beforeAll(async () => {
  root = await authority('Vendor Root', P384);
  device = await authority('Vault 2 no. 17', P256);
});

describe('a vendor’s chain', () => {
  it('over the very key, up to a pinned root, names the device', async () => {
    const { chain, roots } = await chainOf(root, device);
    expect(await verifyAttestation(chain, KEY, roots, NOW)).toEqual({
      vendor: 'Example Tokens',
      device: 'Vault 2 no. 17',
    });
  });

  it('goes no further down than its authorities may', async () => {
    const below = await authority('Below', P256);
    const verdicts: unknown[] = [];
    for (const [length, between] of [
      [0, false],
      [0, true],
      [1, true],
      [undefined, true],
    ] as const) {
      const extensions = [new x509.BasicConstraintsExtension(true, length, true)];
      const issuer = between ? below : device;
      const { chain, roots } = await chainOf(root, device, { device: { extensions }, own: { issuer } });
      const more = await certificate({
        ...{ subject: below.name, publicKey: below.keys.publicKey, issuer: device, extensions: CA },
      });
      verdicts.push(await verdict(between ? [chain[0]!, more, chain[1]!] : chain, roots));
    }
    expect(verdicts).toEqual(['Vault 2 no. 17', 'token_class_unproven', 'Below', 'Below']);
  });

  it.each([
    ['RSA', rsa(2048), rsa(2048)],
    ['RSA over ECDSA', rsa(3072), P256],
    ['ECDSA on P-384', P384, P384],
  ] as const)('verifies with %s', async (_name, of, by) => {
    const { chain, roots } = await chainOf(await authority('Root', of), await authority('Device', by));
    expect(await verdict(chain, roots)).toBe('Device');
  });

  it('with RSA of 1,024 bits proves nothing', async () => {
    const { chain, roots } = await chainOf(await authority('Root', rsa(1024)), device);
    expect(await verdict(chain, roots)).toBe('token_class_unproven');
  });

  it('may come from the root itself', async () => {
    const { roots } = await chainOf(root, device);
    const own = await certificate({ subject: 'CN=key', publicKey: await nodeKey(), issuer: root });
    expect(await verdict([own], roots)).toBe('Vendor Root');
  });

  it('proves nothing without a pinned root, or with another of the same name', async () => {
    const { chain, roots } = await chainOf(root, device);
    expect(await verdict(chain, [])).toBe('token_class_unproven');
    const other = await chainOf(await authority('Vendor Root', P384), device);
    expect(await verdict(chain, other.roots)).toBe('token_class_unproven');
    expect(await verdict([], roots)).toBe('token_class_unproven');
  });

  it('proves nothing of another key', async () => {
    const { chain, roots } = await chainOf(root, device);
    expect(await verdict(chain, roots, point('node-2 identity'))).toBe('token_class_unproven');
  });

  it.each([
    ['a device that may not certify', { device: { extensions: [] } }],
    [
      'a device whose key is for other things',
      {
        device: { extensions: [...CA, new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)] },
      },
    ],
    ['a certificate that has run out', { own: { to: NOW - DAY } }],
    ['a certificate that is not valid yet', { device: { from: NOW + DAY } }],
  ] as const)('with %s proves nothing', async (_what, changes) => {
    const { chain, roots } = await chainOf(root, device, changes as Parameters<typeof chainOf>[2]);
    expect(await verdict(chain, roots)).toBe('token_class_unproven');
  });

  it('with what is critical and unknown is refused', async () => {
    const extensions = [new x509.Extension('1.2.3.4.5', true, new Uint8Array([5, 0]))];
    const { chain, roots } = await chainOf(root, device, { own: { extensions } });
    expect(await verdict(chain, roots)).toBe('evidence_malformed');
    const harmless = [new x509.Extension('1.2.3.4.5', false, new Uint8Array([5, 0]))];
    const other = await chainOf(root, device, { own: { extensions: harmless } });
    expect(await verdict(other.chain, other.roots)).toBe('Vault 2 no. 17');
  });

  it('in another order, or with a link left out, proves nothing', async () => {
    const { chain, roots } = await chainOf(root, device);
    expect(await verdict(chain.toReversed(), roots)).toBe('token_class_unproven');
    expect(await verdict(chain.slice(0, 1), roots)).toBe('token_class_unproven');
  });

  it('with any byte changed proves nothing, and never crashes', async () => {
    const { chain, roots } = await chainOf(root, device);
    const places = chain.flatMap((bytes, i) => Array.from(bytes, (_, at) => [i, at] as const));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), fc.integer({ min: 1, max: 255 }), async ([i, at], flip) => {
        const changed = chain.map((bytes, j) => (i === j ? bytes.with(at, bytes[at]! ^ flip) : bytes));
        expect(['token_class_unproven', 'evidence_malformed']).toContain(await verdict(changed, roots));
      }),
      { numRuns: 150 },
    );
  });

  it('of any bytes at all never crashes', async () => {
    const { roots, chain } = await chainOf(root, device);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.nat(chain[0]!.length), async (bytes, cut) => {
        expect(await verdict([bytes], roots)).toBe('evidence_malformed');
        const shortened = chain[0]!.slice(0, cut);
        expect(await verdict([shortened, chain[1]!], roots)).toBe(
          cut < chain[0]!.length ? 'evidence_malformed' : 'Vault 2 no. 17',
        );
      }),
      { numRuns: 100 },
    );
  });
});
