/** Carries out requests on one connection, synchronously: the inside of a worker, without the worker. */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { evaluate } from '../evaluate.ts';
import type { KeyProfile } from '../profile.ts';
import { FolderSync } from '../sync.ts';
import { Anchors } from './anchors.ts';
import type { Connection } from './connection.ts';
import { finalizeModule, type Handle } from './cryptoki.ts';
import { tokenError } from './errors.ts';
import { examine, listObjects, removeScratch } from './examination.ts';
import { findPrivateKeys, generateKey, type KeySpec, keyObjects, type LoadedKey, loadKey } from './keys.ts';
import { deriveX, ecdhPrf, hmac, signEcdsa, signEddsa } from './mechanisms.ts';
import { failureOf, type Operations, type Request } from './messages.ts';
import { probeProfile, probeSigning } from './probing.ts';

type Input<N extends keyof Operations> = Operations[N]['input'];

const notInUse = () => new HoldfastError('token_failed', 'no such keys are in use; open the token first');

/**
 * A result that nothing here could verify, made until it comes out the same twice in a row: a wrong one would be a wrong
 * share or a wrong anchor, which only others would notice.
 */
function twice(make: () => Uint8Array): Uint8Array {
  let last = make();
  for (let i = 0; i < 3; i++) {
    const again = make();
    if (equalBytes(again, last)) return again;
    last = again;
  }
  throw new HoldfastError('token_failed', 'the token answers the same question differently; take it out of service', {
    details: { operation: 'prf' },
  });
}

export class Executor {
  readonly #connection: Connection;
  #profile: KeyProfile = {};
  #specs = new Map<string, KeySpec>();
  /** Object handles of this session; found and checked anew after a loss. */
  #handles = new Map<string, Handle>();
  #anchors: Anchors | undefined;
  #sync: FolderSync | undefined;

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.onReopen(() => {
      this.#handles.clear();
      this.#anchors?.forget();
    });
  }

  /** @throws HoldfastError `token_*` or `too_large`. */
  execute(request: Request): unknown {
    switch (request.operation) {
      case 'open':
        return this.#connection.open();
      case 'probe':
        return this.#run('probe', true, (session) => probeProfile(this.#connection.module, session, request.scratch));
      case 'probeSigning':
        return this.#run('probe', true, (session) => probeSigning(this.#connection.module, session));
      case 'examine':
        return this.#run('probe', true, (session) => examine(this.#module, session, request.step, request.scratch));
      case 'objects':
        return this.#run('find', true, (session) => listObjects(this.#module, session));
      case 'remove':
        return this.#run('remove', true, (session) => removeScratch(this.#module, session, request.prefix));
      case 'find':
        return this.#run('find', true, (session) => findPrivateKeys(this.#module, session, request.prefix));
      case 'use':
        return this.#use(request);
      case 'generate':
        return this.#generate(request);
      case 'sign':
        return this.#sign(request);
      case 'ecdh':
        return this.#ecdh(request);
      case 'prf':
        return this.#prf(request);
      case 'evaluate':
        return this.#evaluate(request);
      case 'readAnchors':
        return this.#run('anchor_read', true, (session) => this.#anchorObjects().read(session));
      case 'writeAnchor':
        return this.#writeAnchor(request);
      case 'close':
        this.#connection.close();
        if (request.finalize) finalizeModule(this.#module);
        return undefined;
    }
  }

  get #module() {
    return this.#connection.module;
  }

  #run<T>(operation: string, idempotent: boolean, body: (session: Handle) => T, count?: number): T {
    return this.#connection.run(operation, idempotent, body, count);
  }

  #known<N extends keyof KeyProfile>(name: N): NonNullable<KeyProfile[N]> {
    const value = this.#profile[name];
    if (value === undefined) throw notInUse();
    return value;
  }

  #anchorObjects(): Anchors {
    if (!this.#anchors) throw notInUse();
    return this.#anchors;
  }

  #sign({ key, message }: Input<'sign'>): Uint8Array {
    return this.#run('sign', true, (session) => {
      const handle = this.#key(session, key);
      if (this.#specs.get(key)?.algorithm === 'Ed25519') return signEddsa(this.#module, session, handle, message);
      return signEcdsa(this.#module, session, handle, message, this.#known('ecdsa'));
    });
  }

  #use(request: Input<'use'>): LoadedKey[] {
    this.#profile = request.profile;
    this.#specs = new Map(request.keys.map((spec) => [spec.name, spec]));
    const { anchorPrefix } = request;
    this.#anchors =
      anchorPrefix === undefined ? undefined : new Anchors(this.#module, this.#known('anchor'), anchorPrefix);
    this.#sync = request.syncFolder === undefined ? undefined : new FolderSync(request.syncFolder);
    return this.#run('check_keys', true, (session) =>
      request.keys.map((spec) => {
        const { handle, key } = loadKey(this.#module, session, spec, request.profile);
        this.#handles.set(spec.name, handle);
        return key;
      }),
    );
  }

  #key(session: Handle, name: string): Handle {
    const cached = this.#handles.get(name);
    if (cached) return cached;
    const spec = this.#specs.get(name);
    if (!spec) throw new HoldfastError('token_failed', `the token was opened without a key ${name}`);
    const { handle } = loadKey(this.#module, session, spec, this.#profile);
    this.#handles.set(name, handle);
    return handle;
  }

  #ecdh({ key, points }: Input<'ecdh'>): Uint8Array[] {
    const multiply = (session: Handle) => {
      const handle = this.#key(session, key);
      return points.map((point) => deriveX(this.#module, session, handle, point, this.#known('ecdhPoint')));
    };
    return this.#run('ecdh', true, multiply, points.length);
  }

  #prf({ key, messages }: Input<'prf'>): Uint8Array[] {
    const compute = (session: Handle) => {
      const handle = this.#key(session, key);
      const prf = this.#known('prf');
      const once = (message: Uint8Array) =>
        prf === 'ecdh'
          ? ecdhPrf(this.#module, session, handle, message, this.#known('ecdhPoint'))
          : hmac(this.#module, session, handle, message);
      return messages.map((message) => twice(() => once(message)));
    };
    return this.#run('prf', true, compute, messages.length);
  }

  #evaluate({ tweak, oprf, publicKey, tweakInput, blindedElement }: Input<'evaluate'>): Uint8Array {
    const primitives = {
      publicKey,
      prf: (messages: readonly Uint8Array[]) => this.#prf({ key: tweak, messages }),
      ecdh: (points: readonly Uint8Array[]) => this.#ecdh({ key: oprf, points }),
      onFault: () => this.#connection.note('fault', 1),
    };
    return evaluate(primitives, tweakInput, blindedElement);
  }

  /** Nothing is signed before the anchor is on stable storage, and nothing at all where that is not known. */
  #writeAnchor({ value, sign }: Input<'writeAnchor'>): Operations['writeAnchor']['output'] {
    this.#run('anchor_write', false, (session) => this.#anchorObjects().write(session, value));
    try {
      this.#sync?.sync();
    } catch (cause) {
      throw new HoldfastError('token_failed', 'the token’s folder could not be synced; check its disk', {
        cause,
        details: { operation: 'anchor_write' },
      });
    }
    if (!sign) return undefined;
    try {
      return { signature: this.#sign(sign) };
    } catch (thrown) {
      return { failure: failureOf(tokenError(thrown, 'sign')) };
    }
  }

  #generate({ keys, profile, now }: Input<'generate'>): LoadedKey[] {
    return this.#run('generate', false, (session) => {
      for (const spec of keys) {
        if (keyObjects(this.#module, session, spec).length > 0) {
          throw new HoldfastError(
            'token_unsuitable',
            `the token already holds a key ${spec.label}; choose another name, or destroy the old key first`,
            { details: { key: spec.label } },
          );
        }
      }
      try {
        return keys.map((spec) => {
          generateKey(this.#module, session, spec, profile, now);
          return loadKey(this.#module, session, spec, profile).key;
        });
      } catch (error) {
        // All of them were absent before, so whatever is there now is of this call.
        for (const object of keys.flatMap((spec) => keyObjects(this.#module, session, spec))) {
          this.#module.C_DestroyObject(session, object);
        }
        throw error;
      }
    });
  }
}
