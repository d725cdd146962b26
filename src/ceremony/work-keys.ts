/** Steps on the keys: made by the code that services use, read back whole, tried, and looked for in vendors' certificates. */

import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { bytesToHex, HoldfastError, sha256, systemRandom } from '../core/index.ts';
import { isPublicPoint } from '../crypto/index.ts';
import { generatePurposeKey, keysOfRole } from '../signer/index.ts';
import {
  createTokenKeys,
  destroyKeys,
  findKeys,
  type KeyReading,
  type KeySpec,
  nodeKeySpecs,
  openSigningToken,
  openToken,
  readCertificates,
  readKeys,
  type SigningToken,
} from '../token/index.ts';
import { fromBase64, toBase64 } from '../trust/index.ts';
import type { Left, Outcome, Work } from './conduct.ts';
import { accessOf, ceremonyKeyName, fact, listFact, type Machine, specsOf, tokenOf, userPin } from './machine.ts';
import { writeOver } from './secrets.ts';
import type { Progress } from './transcript/index.ts';

/** Ceremonies are slow by nature, and a token may be; a batch of key generations is one call. */
const TIMEOUT = 120_000;
const MAXIMUM_CERTIFICATE = 65_536;

export interface MadeKey {
  /** `identity` and so on, or the label again. */
  readonly name: string;
  /** CKA_LABEL. */
  readonly label: string;
  readonly algorithm: 'Ed25519' | 'P-256' | null;
  /** 65 bytes uncompressed, 32 bytes of Ed25519; null for a secret key. */
  readonly publicKey: Uint8Array | null;
}

type Profile = Parameters<typeof readKeys>[2];

async function withPin<T>(machine: Machine, body: (access: Parameters<typeof readKeys>[0]) => Promise<T>): Promise<T> {
  using pin = await userPin(machine);
  return await body({ ...accessOf(machine), ...tokenOf(machine.progress), pin });
}

async function withSigning<T>(machine: Machine, body: (token: SigningToken) => Promise<T>): Promise<T> {
  return withPin(machine, async (access) => {
    const token = await openSigningToken({ ...access, timeout: TIMEOUT });
    try {
      return await body(token);
    } finally {
      await token.close();
    }
  });
}

/** The keys that the step `keys` has made. @throws HoldfastError `ceremony_damaged`. */
export function madeKeys({ progress }: Pick<Machine, 'progress'>): readonly MadeKey[] {
  return listFact(progress.outcome('keys').facts, 'keys').map((each) => {
    const [algorithm, publicKey] = [fact(each, 'algorithm'), fact(each, 'publicKey')];
    return {
      name: fact(each, 'name', 'string'),
      label: fact(each, 'label', 'string'),
      algorithm: algorithm === 'Ed25519' || algorithm === 'P-256' ? algorithm : null,
      publicKey: typeof publicKey === 'string' ? fromBase64(publicKey) : null,
    };
  });
}

/** Uncompressed points of a node's three pairs, 65 bytes each. @throws HoldfastError `ceremony_damaged`. */
export function nodePoints(progress: Progress): Record<'identity' | 'session' | 'oprf', Uint8Array> {
  const made = madeKeys({ progress });
  const point = (name: string) => {
    const key = made.find((each) => each.name === name)?.publicKey;
    if (key && isPublicPoint(key)) return key;
    throw new HoldfastError(
      'ceremony_damaged',
      `the transcript has no public key ${name} on P-256; begin a new ceremony`,
    );
  };
  return { identity: point('identity'), session: point('session'), oprf: point('oprf') };
}

/** What the token was found to do, as the keys were made by it. */
export function profileOf({ progress }: Pick<Machine, 'progress'>): Profile {
  const profile = fact(progress.outcome('keys').facts, 'profile');
  return profile === null ? {} : (profile as Profile);
}

/** As the rules are to be read for each key: with the algorithm that it was made for. */
export function specsWithAlgorithms(machine: Pick<Machine, 'progress'>): KeySpec[] {
  const made = madeKeys(machine);
  return specsOf(machine.progress.plan.keys).map((spec) => {
    const algorithm = made.find(({ label }) => label === spec.label)?.algorithm;
    return algorithm ? { ...spec, algorithm } : spec;
  });
}

export function makeKeys(machine: Machine): Work {
  const { keys } = machine.progress.plan;
  const specs = specsOf(keys);
  return {
    left: async (): Promise<Left> => {
      const there = await withPin(machine, (access) => findKeys(access, specs));
      if (there.length === 0) return { state: 'nothing' };
      const outcome = there.length === specs.length ? await openAll(machine).catch(onlyUnsuitable) : undefined;
      if (outcome) return { state: 'all', outcome };
      return {
        state: 'part',
        what: `what an interrupted attempt has made: ${there.join(', ')}`,
        remove: () => withPin(machine, async (access) => void (await destroyKeys(access, specs))),
      };
    },
    run: async () => {
      if (keys.kind === 'node') {
        const { fleet, node } = keys;
        await withPin(machine, (access) => createTokenKeys({ ...access, fleet, node, timeout: TIMEOUT }));
      }
      await withSigning(machine, async (token) => {
        const named = keys.kind === 'node' ? [] : keysOfRole(keys.role, keys.name, keys.origin ?? undefined);
        for (const { purpose, name } of named) await generatePurposeKey(token, purpose, name);
        await generatePurposeKey(token, 'evidence', ceremonyKeyName(keys));
      });
      return await openAll(machine);
    },
  };
}

function onlyUnsuitable(error: unknown): undefined {
  if (error instanceof HoldfastError && error.code === 'token_unsuitable') return undefined;
  throw error;
}

/** Opens every key as services do, which checks its attributes and tries it. */
async function openAll(machine: Machine): Promise<Outcome> {
  const { keys } = machine.progress.plan;
  const made: { name: string; label: string; algorithm: string | null; publicKey: string | null }[] = [];
  let profile: Readonly<Record<string, string>> | null = null;
  if (keys.kind === 'node') {
    const { fleet, node } = keys;
    const token = await withPin(machine, (access) => openToken({ ...access, fleet, node, timeout: TIMEOUT }));
    try {
      profile = { ...token.profile };
      for (const { name, label } of nodeKeySpecs(keys)) {
        const point = name === 'tweak' || name === 'anchor' ? undefined : token.publicKeys[name as 'identity'];
        made.push({ name, label, algorithm: point ? 'P-256' : null, publicKey: point ? toBase64(point) : null });
      }
      if ((await token.anchorMac(systemRandom(32))).length !== 32) {
        throw new HoldfastError('token_unsuitable', 'the key anchor gives no hash of 32 bytes; do not use this token');
      }
    } finally {
      await token.close();
    }
  }
  await withSigning(machine, async (token) => {
    for (const { name, label } of specsOf(keys).filter((spec) => !made.some((each) => each.label === spec.label))) {
      const { algorithm, publicKey } = await token.open(label);
      made.push({ name, label, algorithm, publicKey: toBase64(publicKey) });
    }
  });
  return { finding: `${made.length} keys were made on the token`, facts: { profile, keys: made } };
}

/** Every key as the token tells of it now. */
export function readBack(machine: Machine): Promise<KeyReading[]> {
  return withPin(machine, (access) => readKeys(access, specsWithAlgorithms(machine), profileOf(machine)));
}

export function readAttributes(machine: Machine): Work {
  return {
    left: async () => ({ state: 'nothing' }),
    run: async () => {
      const readings = await readBack(machine);
      const missing = specsOf(machine.progress.plan.keys).find(
        ({ label }) => !readings.some((each) => each.label === label),
      );
      if (missing) throw new HoldfastError('token_unsuitable', `key ${missing.label} is not on the token any more`);
      for (const { label, publicKey } of readings) {
        const made = madeKeys(machine).find((each) => each.label === label)?.publicKey ?? null;
        if (toHex(publicKey) !== toHex(made)) {
          throw new HoldfastError(
            'token_unsuitable',
            `the public key of ${label} is another one than was made; do not use this token`,
          );
        }
      }
      const wrong = readings.find(({ faults }) => faults.length > 0);
      if (wrong) {
        throw new HoldfastError(
          'token_unsuitable',
          `key ${wrong.label} is not as required: ${wrong.faults.join('; ')}; do not use this token`,
        );
      }
      const count = readings.reduce((sum, { required }) => sum + Object.keys(required).length, 0);
      return {
        finding: `${readings.length} keys, ${count} attributes, each as section 3 of docs/protocol.md asks`,
        facts: {
          keys: readings.map(({ name, label, object, type, curve, length, mechanism, attributes, required }) => ({
            ...{ name, label, object, type, curve, length, mechanism },
            attributes: { ...attributes },
            required: { ...required },
          })),
        },
      };
    },
  };
}

const toHex = (bytes: Uint8Array | null) => (bytes === null ? '' : bytesToHex(bytes));

export function tryKeys(machine: Machine): Work {
  return {
    left: async () => ({ state: 'nothing' }),
    run: async () => {
      const now = fact((await openAll(machine)).facts ?? null, 'keys');
      const then = fact(machine.progress.outcome('keys').facts, 'keys');
      if (JSON.stringify(sorted(now)) !== JSON.stringify(sorted(then))) {
        throw new HoldfastError('token_unsuitable', 'the keys are other ones than were made; do not use this token');
      }
      return { finding: 'each key was opened as a service opens it, and did what it is for' };
    },
  };
}

/** By label, with members in one order: what was read from a transcript has them by name. */
function sorted(keys: unknown) {
  return (keys as { name: string; label: string; algorithm: unknown; publicKey: unknown }[])
    .map(({ name, label, algorithm, publicKey }) => [label, name, algorithm, publicKey])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
}

interface Candidate {
  readonly der: Uint8Array;
  readonly sha256: string;
  readonly from: string;
  readonly certificate: X509Certificate;
}

/** Certificates that name one of the new keys, and those that issued them; anything else on the token is left alone. */
export function takeCertificates(machine: Machine): Work {
  return {
    left: async () => ({ state: 'nothing' }),
    run: async () => {
      const onToken = await withPin(machine, readCertificates);
      const candidates = [
        ...onToken.map(({ der, label }) => ({ der, from: `the token, label ${JSON.stringify(label)}` })),
        ...(await Promise.all(machine.local.attestations.map(readFiles))).flat(),
      ].flatMap(({ der, from }) => candidateOf(der, from));
      const chains = madeKeys(machine).flatMap(({ label, publicKey }) => {
        const chain = publicKey === null ? [] : chainOf(publicKey, candidates);
        return chain.length === 0 ? [] : [{ label, chain }];
      });
      const used = new Map(chains.flatMap(({ chain }) => chain.map((each) => [each.sha256, each] as const)));
      for (const { sha256: digest, der } of used.values()) {
        await writeOver(join(machine.folder.certificates, `${digest}.der`), der);
      }
      const brought = machine.local.attestations.length;
      const finding =
        chains.length > 0
          ? `${used.size} certificates for ${chains.length} keys; whether a vendor stands behind them is for whoever has its root to say`
          : `none: no certificate on the token (${onToken.length}) and no file that was brought (${brought}) names a new key; that the keys are in a device is only stated`;
      return {
        finding,
        facts: {
          chains: chains.map(({ label, chain }) => ({ label, sha256: chain.map((each) => each.sha256) })),
          certificates: [...used.values()].map((each) => ({
            sha256: each.sha256,
            size: each.der.length,
            from: each.from,
          })),
        },
      };
    },
  };
}

function candidateOf(der: Uint8Array, from: string): Candidate[] {
  try {
    return [{ der, from, sha256: bytesToHex(sha256(der)), certificate: new X509Certificate(der) }];
  } catch {
    return []; // some other kind of certificate, of which nothing is claimed
  }
}

/** PEM with one certificate or more, or DER. @throws HoldfastError `usage`, `bad_input`. */
async function readFiles(path: string): Promise<{ der: Uint8Array; from: string }[]> {
  const from = `the file ${basename(path)}`;
  let bytes: Buffer;
  try {
    if ((await stat(path)).size > 16 * MAXIMUM_CERTIFICATE)
      throw new HoldfastError('bad_input', `${from} is too large`);
    bytes = await readFile(path);
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('usage', `${from} cannot be read; check --attestation`, { cause });
  }
  const blocks = bytes.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  try {
    return (blocks ?? [bytes]).map((block) => ({ der: Uint8Array.from(new X509Certificate(block).raw), from }));
  } catch (cause) {
    throw new HoldfastError('bad_input', `${from} is no certificate in PEM or DER`, { cause });
  }
}

/** The key's own certificate first, then who issued it; the root, which issued itself, is left out. At most 8. */
function chainOf(publicKey: Uint8Array, candidates: readonly Candidate[]): Candidate[] {
  const own = candidates.find(({ certificate }) => {
    const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
    return spki.length > publicKey.length && spki.subarray(spki.length - publicKey.length).equals(publicKey);
  });
  const chain: Candidate[] = [];
  for (let next = own; next && chain.length < 8 && !chain.includes(next); ) {
    const { certificate } = next;
    if (certificate.checkIssued(certificate) && chain.length > 0) break;
    chain.push(next);
    next = candidates.find((each) => each !== next && certificate.checkIssued(each.certificate));
  }
  return chain;
}
