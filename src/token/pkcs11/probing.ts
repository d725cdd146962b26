/** Finds a token's profile by trying each mechanism on throwaway objects, which are destroyed again. */

import { createECDH, createHash, randomBytes } from 'node:crypto';
import { equalBytes, HoldfastError } from '../../core/index.ts';
import { lowS } from '../../crypto/index.ts';
import type { SigningAlgorithm } from '../port.ts';
import type { SigningProfile, TokenProfile } from '../profile.ts';
import { verifySignature } from '../signature.ts';
import { changeData, createData, findData, readData } from './anchors.ts';
import { CK, type Cryptoki, type Handle, plainMechanism } from './cryptoki.ts';
import { CURVES } from './curves.ts';
import { ckrName, losesSession } from './errors.ts';
import { pairTemplates, readPoint, secretTemplate } from './keys.ts';
import { deriveX, hmac, signEcdsa, signEddsa } from './mechanisms.ts';

/**
 * @param scratch CKA_APPLICATION of the throwaway data object; one that a crashed probe left is destroyed first.
 * @throws HoldfastError `token_unsuitable` naming what the token cannot do.
 */
export function probeProfile(module: Cryptoki, session: Handle, scratch: string): TokenProfile {
  const ecdsa = probeEcdsa(module, session);
  if (!ecdsa) throw missing('ECDSA on P-256');
  const ecdhPoint = probeEcdh(module, session);
  if (!ecdhPoint) throw missing('ECDH on P-256 with a readable result (CKM_ECDH1_DERIVE, CKD_NULL)');
  const anchor = probeAnchor(module, session, scratch);
  if (!anchor) throw missing('private data objects, or changes of a private key’s label');
  return { ecdsa, ecdhPoint, prf: probeHmac(module, session) ?? 'ecdh', anchor };
}

/**
 * What a token can sign with, for roles that need nothing else of it; leaves nothing behind.
 * @throws HoldfastError `token_unsuitable` for a token with neither EdDSA nor ECDSA.
 */
export function probeSigning(module: Cryptoki, session: Handle): SigningProfile {
  const ecdsa = probeEcdsa(module, session);
  const eddsa = probeEddsa(module, session);
  if (!ecdsa && !eddsa) throw missing('Ed25519 (CKM_EDDSA) or ECDSA on P-256');
  return { ecdsa, eddsa };
}

const missing = (what: string) =>
  new HoldfastError('token_unsuitable', `the token cannot do ${what}; use another token`, {
    details: { missing: what },
  });

/** The first choice for which `attempt` returns true; a token's refusal counts as false. */
function firstThatWorks<T>(choices: readonly T[], attempt: (choice: T) => boolean): T | undefined {
  return choices.find((choice) => {
    try {
      return attempt(choice);
    } catch (error) {
      // What the module says is an answer; a lost session or an error of ours is not.
      if (ckrName(error) === undefined && !(error instanceof HoldfastError)) throw error;
      if (ckrName(error) === 'CKR_GENERAL_ERROR' || ckrName(error) === 'CKR_FUNCTION_FAILED') return false;
      if (losesSession(error)) throw error;
      return false;
    }
  });
}

/** Runs `body` with a throwaway EC pair: a session object, or a token object where the token has no others. */
function withPair<T>(
  module: Cryptoki,
  session: Handle,
  usage: number,
  body: (privateKey: Handle, publicKey: Uint8Array) => T | undefined,
  algorithm: SigningAlgorithm = 'P-256',
  profile: Partial<SigningProfile> = {},
): T | undefined {
  const curve = CURVES[algorithm];
  let pair: { privateKey: Handle; publicKey: Handle } | undefined;
  const onToken = firstThatWorks([false, true], (stored) => {
    const templates = pairTemplates(usage, stored, [], [], curve.parameters(profile));
    pair = module.C_GenerateKeyPair(session, plainMechanism(curve.generation), templates.public, templates.private);
    return true;
  });
  if (onToken === undefined || !pair) return undefined;
  try {
    return body(pair.privateKey, readPoint(module, session, pair.publicKey, algorithm));
  } finally {
    module.C_DestroyObject(session, pair.privateKey);
    module.C_DestroyObject(session, pair.publicKey);
  }
}

/** Whether what `sign` makes of a random message is right: the private key's own answer, and not only an answer. */
function signsRight(algorithm: SigningAlgorithm, publicKey: Uint8Array, sign: (message: Uint8Array) => Uint8Array) {
  const message = randomBytes(40);
  const made = sign(message);
  return verifySignature({ algorithm, publicKey }, message, algorithm === 'P-256' ? lowS(made) : made);
}

export function probeEcdsa(module: Cryptoki, session: Handle): TokenProfile['ecdsa'] | undefined {
  return withPair(module, session, CK.CKA_SIGN, (privateKey, publicKey) => {
    return firstThatWorks(['digest', 'message'] as const, (hashing) =>
      signsRight('P-256', publicKey, (message) => signEcdsa(module, session, privateKey, message, hashing)),
    );
  });
}

export function probeEddsa(module: Cryptoki, session: Handle): SigningProfile['eddsa'] {
  const works = (privateKey: Handle, publicKey: Uint8Array) =>
    signsRight('Ed25519', publicKey, (message) => signEddsa(module, session, privateKey, message));
  return firstThatWorks(
    ['name', 'oid'] as const,
    (eddsa) => withPair(module, session, CK.CKA_SIGN, works, 'Ed25519', { eddsa }) ?? false,
  );
}

export function probeEcdh(module: Cryptoki, session: Handle): TokenProfile['ecdhPoint'] | undefined {
  return withPair(module, session, CK.CKA_DERIVE, (privateKey, publicKey) => {
    const other = createECDH('prime256v1');
    const point = other.generateKeys();
    const expected = other.computeSecret(publicKey);
    return firstThatWorks(['raw', 'der'] as const, (encoding) =>
      equalBytes(deriveX(module, session, privateKey, point, encoding), expected),
    );
  });
}

export function probeHmac(module: Cryptoki, session: Handle): 'hmac-generic' | 'hmac-sha256' | undefined {
  return firstThatWorks(['hmac-generic', 'hmac-sha256'] as const, (prf) => {
    const key = firstKey(module, session, prf);
    if (!key) return false;
    try {
      const [once, again, other] = ['a', 'a', 'b'].map((text) =>
        hmac(module, session, key, createHash('sha256').update(text).digest()),
      );
      return equalBytes(once!, again!) && !equalBytes(once!, other!);
    } finally {
      module.C_DestroyObject(session, key);
    }
  });
}

function firstKey(module: Cryptoki, session: Handle, prf: 'hmac-generic' | 'hmac-sha256'): Handle | undefined {
  let key: Handle | undefined;
  firstThatWorks([false, true], (stored) => {
    const { mechanism, template } = secretTemplate(prf, stored, []);
    key = module.C_GenerateKey(session, mechanism, template);
    return true;
  });
  return key;
}

function probeAnchor(module: Cryptoki, session: Handle, scratch: string): TokenProfile['anchor'] | undefined {
  for (const left of findData(module, session, scratch)) module.C_DestroyObject(session, left);
  const [before, after] = [randomBytes(100), randomBytes(100)];
  return firstThatWorks(['value', 'label', 'replace', 'key-label'] as const, (method) => {
    const object = createData(module, session, scratch, before, method);
    try {
      if (method !== 'replace') changeData(module, session, object, after, method);
      const found = readData(module, session, object);
      return found !== undefined && equalBytes(found, method === 'replace' ? before : after);
    } finally {
      module.C_DestroyObject(session, object);
    }
  });
}
