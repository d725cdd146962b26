/** Single steps of a token's examination (../examine.ts): each tries one thing on throwaway objects and destroys them. */

import { randomBytes } from 'node:crypto';
import { bytesToHex, equalBytes, HoldfastError } from '../../core/index.ts';
import type { TokenProfile } from '../profile.ts';
import { changeData, createData, findData, readData } from './anchors.ts';
import {
  CK,
  type Cryptoki,
  findObjects,
  flagAttribute,
  type Handle,
  numberAttribute,
  plainMechanism,
  readAttribute,
  textAttribute,
} from './cryptoki.ts';
import { ckrName } from './errors.ts';
import { generateKey, type KeyUse, keyObjects, loadKey, pairTemplates } from './keys.ts';
import { probeEcdh, probeEcdsa, probeEddsa, probeHmac } from './probing.ts';

export type ExaminationStep =
  | 'session-pair'
  | 'sign-key'
  | 'derive-key'
  | 'ecdsa'
  | 'ecdh'
  | 'hmac'
  | 'ed25519'
  | 'anchor-value'
  | 'anchor-label'
  | 'anchor-replace'
  | 'anchor-key-label'
  | 'wrapping'
  | 'sessions';

export interface StepResult {
  readonly works: boolean;
  /** What was found, or how the token refused: for people. */
  readonly detail: string;
}

/** Objects that an examination makes are named so; nothing else is ever removed. */
export const SCRATCH = /^holdfast\/probe-[0-9a-f]{16}\//;
/** Names of nodes that throwaway fleets have. */
const NODES = ['node', ...Array.from({ length: 9 }, (_, i) => `node-${i + 1}`)];
/** The worst that can be found. */
export const WRAPPED = 'a key that is not extractable was wrapped';
const SESSIONS = 8;

type Step = (module: Cryptoki, session: Handle, scratch: string) => StepResult;

const found = (how: string | undefined): StepResult => ({ works: how !== undefined, detail: how ?? 'no' });

/** One step; what the module says is an answer, never an error. `scratch` begins as `SCRATCH` says. */
export function examine(module: Cryptoki, session: Handle, step: ExaminationStep, scratch: string): StepResult {
  try {
    return STEPS[step](module, session, scratch);
  } catch (error) {
    const reason = ckrName(error) ?? (error instanceof HoldfastError ? error.message : undefined);
    if (reason === undefined) throw error;
    return { works: false, detail: reason };
  }
}

/** A key as a node has it, made, read back and destroyed. */
const storedKey =
  (use: KeyUse): Step =>
  (module, session, scratch) => {
    const spec = { name: use, label: `${scratch}${use}`, use };
    const profile = { prf: 'ecdh' } as const;
    try {
      generateKey(module, session, spec, profile, Date.now());
      loadKey(module, session, spec, profile);
      return { works: true, detail: 'made, and read back as asked' };
    } finally {
      destroyAll(module, session, keyObjects(module, session, spec));
    }
  };

const anchor =
  (method: TokenProfile['anchor']): Step =>
  (module, session, scratch) => {
    const [before, after] = [randomBytes(272), randomBytes(272)];
    try {
      const object = createData(module, session, scratch, before, method);
      const started = performance.now();
      if (method === 'replace') {
        module.C_DestroyObject(session, object);
        createData(module, session, scratch, after, method);
      } else changeData(module, session, object, after, method);
      const milliseconds = performance.now() - started;
      const [kept] = findData(module, session, scratch);
      const content = kept && readData(module, session, kept);
      if (!content || !equalBytes(content, after)) return { works: false, detail: 'acknowledged, but not kept' };
      return { works: true, detail: `272 bytes in ${milliseconds.toFixed(2)} ms` };
    } finally {
      destroyAll(module, session, findData(module, session, scratch));
    }
  };

/** The key must stay on the token even where a wrapping key is at hand. */
const wrapping: Step = (module, session, scratch) => {
  const named = [textAttribute(CK.CKA_LABEL, `${scratch}wrapping`)];
  const templates = pairTemplates(CK.CKA_SIGN, true, named);
  const made: Handle[] = [];
  try {
    const pair = module.C_GenerateKeyPair(
      session,
      plainMechanism(CK.CKM_EC_KEY_PAIR_GEN),
      templates.public,
      templates.private,
    );
    made.push(pair.privateKey, pair.publicKey);
    let wrapper: Handle;
    try {
      wrapper = module.C_GenerateKey(session, plainMechanism(CK.CKM_AES_KEY_GEN), [
        ...named,
        numberAttribute(CK.CKA_CLASS, CK.CKO_SECRET_KEY),
        numberAttribute(CK.CKA_KEY_TYPE, CK.CKK_AES),
        numberAttribute(CK.CKA_VALUE_LEN, 32),
        flagAttribute(CK.CKA_TOKEN, false),
        flagAttribute(CK.CKA_WRAP, true),
      ]);
    } catch (error) {
      if (ckrName(error) === undefined) throw error;
      return { works: true, detail: 'no wrapping key can be made' };
    }
    made.push(wrapper);
    const mechanisms = [
      { mechanism: CK.CKM_AES_CBC_PAD, parameter: Buffer.alloc(16) },
      plainMechanism(0x2109),
      plainMechanism(0x210a),
      plainMechanism(0x210b),
    ];
    for (const mechanism of mechanisms) {
      try {
        const wrapped = module.C_WrapKey(session, mechanism, wrapper, pair.privateKey, Buffer.alloc(4096));
        if (wrapped.length > 0) return { works: false, detail: WRAPPED };
      } catch (error) {
        if (ckrName(error) === undefined) throw error;
      }
    }
    return { works: true, detail: 'a key that is not extractable cannot be wrapped' };
  } finally {
    destroyAll(module, session, made);
  }
};

const sessions: Step = (module, session) => {
  const info = module.C_GetSessionInfo(session);
  const opened: Handle[] = [];
  try {
    for (let i = 0; i < SESSIONS; i++) {
      opened.push(module.C_OpenSession(info.slotID, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION));
    }
  } catch (error) {
    if (ckrName(error) === undefined) throw error;
  } finally {
    for (const one of opened) module.C_CloseSession(one);
  }
  const detail = `${opened.length + 1}${opened.length === SESSIONS ? ' or more' : ''} at the same time`;
  return { works: opened.length > 0, detail };
};

const sessionPair: Step = (module, session) => {
  const templates = pairTemplates(CK.CKA_SIGN, false, []);
  const mechanism = plainMechanism(CK.CKM_EC_KEY_PAIR_GEN);
  const pair = module.C_GenerateKeyPair(session, mechanism, templates.public, templates.private);
  destroyAll(module, session, [pair.privateKey, pair.publicKey]);
  return { works: true, detail: 'made and destroyed' };
};

const STEPS: Readonly<Record<ExaminationStep, Step>> = {
  'session-pair': sessionPair,
  'sign-key': storedKey('sign'),
  'derive-key': storedKey('derive'),
  ecdsa: (module, session) => found(probeEcdsa(module, session)),
  ecdh: (module, session) => found(probeEcdh(module, session)),
  hmac: (module, session) => found(probeHmac(module, session)),
  ed25519: (module, session) => found(probeEddsa(module, session)),
  'anchor-value': anchor('value'),
  'anchor-label': anchor('label'),
  'anchor-replace': anchor('replace'),
  'anchor-key-label': anchor('key-label'),
  wrapping,
  sessions,
};

function destroyAll(module: Cryptoki, session: Handle, objects: readonly Handle[]): void {
  for (const object of objects) {
    try {
      module.C_DestroyObject(session, object);
    } catch (error) {
      // What is left is found by the inventory afterwards, and said.
      if (ckrName(error) === undefined) throw error;
    }
  }
}

/** Text of an attribute, or undefined where the object has none. */
function textOf(module: Cryptoki, session: Handle, object: Handle, type: number): string | undefined {
  try {
    return readAttribute(module, session, object, type)?.toString('latin1');
  } catch (error) {
    if (ckrName(error) === undefined && !(error instanceof TypeError)) throw error;
    return undefined;
  }
}

/** A line for every object that this session can see: class, CKA_ID, name. Sorted. */
export function listObjects(module: Cryptoki, session: Handle): string[] {
  return findObjects(module, session, [])
    .map((object) => {
      const [kind, id] = [CK.CKA_CLASS, CK.CKA_ID].map((type) => textOf(module, session, object, type) ?? '');
      const hex = (text: string) => bytesToHex(Buffer.from(text, 'latin1'));
      return `class ${hex(kind!.slice(0, 4))} id ${hex(id!)} ${nameOf(module, session, object)}`;
    })
    .sort();
}

/** CKA_APPLICATION of a data object, whose label may be its content; else CKA_LABEL. */
function nameOf(module: Cryptoki, session: Handle, object: Handle): string {
  const application = textOf(module, session, object, CK.CKA_APPLICATION);
  return application ? application : (textOf(module, session, object, CK.CKA_LABEL) ?? '');
}

/**
 * Destroys what an examination made: objects whose name begins with `prefix`, and the keys that carry its anchors.
 * @throws HoldfastError `usage` for any other prefix.
 */
export function removeScratch(module: Cryptoki, session: Handle, prefix: string): number {
  if (!SCRATCH.test(prefix)) throw new HoldfastError('usage', 'only what an examination made is ever removed');
  const named = findObjects(module, session, []).filter((object) => nameOf(module, session, object).startsWith(prefix));
  const places = NODES.flatMap((node) => [`${node}/anchor/0`, `${node}/anchor/1`]);
  const carriers = ['', ...places].flatMap((name) => findData(module, session, prefix + name));
  const all = [...new Map([...named, ...carriers].map((object) => [object.toString('hex'), object])).values()];
  destroyAll(module, session, all);
  return all.length;
}
