/** A node and the signatures of clients for whole HPKE contexts: what they authenticate, and what they do not. */

import { beforeEach, describe, expect, it } from 'vitest';
import { generateClientKey, hashUserToken, signAsClient } from '../../src/access/client.ts';
import { createUserToken, generateTenantKey } from '../../src/access/index.ts';
import { type Clock, HoldfastError, systemRandom } from '../../src/core/index.ts';
import { newRequestSender } from '../../src/crypto/index.ts';
import { createClientAuthentication } from '../../src/node/authentication.ts';
import { createRequestSealing } from '../../src/node/sealing.ts';
import {
  decodeRequestContent,
  encodeOuter,
  encodeRequestContent,
  encodeSealingInfo,
  type Operation,
  type Outer,
} from '../../src/protocol/index.ts';
import { SoftwareToken } from '../../src/token/index.ts';

const FLEET = 'fleet';
const ISSUER = 'https://tenant.example';
const BEGIN = Date.UTC(2030, 0, 1);
const record = (byte: number) => new Uint8Array(32).fill(byte);
const keys = await generateTenantKey('EdDSA');

/** Node 1, or another one with keys of its own. */
function newNode(clock: Clock, number = 1) {
  const token = new SoftwareToken();
  const sealing = createRequestSealing(token, systemRandom, clock);
  const tenants = [{ issuer: ISSUER, algorithm: 'EdDSA', keys: [keys.publicKey] } as const];
  const authentication = createClientAuthentication({ fleet: FLEET, tenants, clock });
  return {
    ...{ number, publicKey: token.publicKeys.session },
    /** "ok", or why it was refused. */
    async take({ outer, enc, ciphertext }: Sealed): Promise<unknown> {
      try {
        const { plaintext, context } = await sealing.open(outer, enc, ciphertext);
        await authentication.check(outer, decodeRequestContent(plaintext), context);
        return 'ok';
      } catch (thrown) {
        if (!(thrown instanceof HoldfastError)) throw thrown;
        return thrown.details.reason ?? thrown.code;
      }
    },
  };
}
type Node = ReturnType<typeof newNode>;

interface Sealed {
  readonly outer: Outer;
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
}

type Key = ReturnType<typeof generateClientKey>;

async function newToken(
  clientKey: Key,
  of = record(7),
  scope = ['status', 'attempt', 'confirm'],
  lifetimeSeconds = 600,
) {
  return createUserToken({
    ...{ tenantKey: keys.privateKey, issuer: ISSUER, subject: 'alice', fleet: FLEET, scope },
    ...{ clientKey: clientKey.publicKey, record: of, issuedAt: BEGIN, lifetimeSeconds },
  } as Parameters<typeof createUserToken>[0]);
}

/** A context with a node, made by whoever calls this. */
async function newContext(node: Node) {
  const info = encodeSealingInfo({ fleet: FLEET, epoch: 1, node: node.number });
  const sender = await newRequestSender({ publicKey: node.publicKey, info });
  return {
    enc: sender.enc,
    /** @param signature over the outer fields that the request has, or undefined for none. */
    async seal(
      operation: Operation,
      userToken: string,
      signature: ((outer: Uint8Array) => Uint8Array) | undefined,
      parts: { readonly version?: 1 | 2; readonly record?: Uint8Array } = {},
    ): Promise<Sealed> {
      const outer: Outer = {
        ...{ fleet: FLEET, epoch: 1, node: node.number, operation, record: parts.record ?? record(7) },
        ...{ generation: 1, attempt: 1, argumentsHash: record(1) },
      };
      const aad = encodeOuter(outer);
      const clientSignature = signature?.(aad);
      const content =
        parts.version === 1
          ? { version: 1 as const, clientSignature: clientSignature! }
          : { version: 2 as const, clientSignature };
      const plaintext = encodeRequestContent({ ...content, userToken, blindedElement: undefined });
      return { outer, ...(await sender.seal(aad, plaintext)) };
    },
  };
}

describe('in a context that its token’s client has signed for', () => {
  const clock = { time: BEGIN, now: () => clock.time, sleep: () => Promise.reject(new Error('nobody sleeps')) };
  const alice = generateClientKey();
  const mallory = generateClientKey();
  let node: Node;
  beforeEach(() => {
    clock.time = BEGIN;
    node = newNode(clock);
  });

  /** Alice's context, for which she has signed a status. */
  async function signedFor(token?: string) {
    const userToken = token ?? (await newToken(alice));
    const context = await newContext(node);
    const sign = (outer: Uint8Array) => signAsClient(alice, outer, hashUserToken(userToken), context.enc);
    const first = await context.seal('status', userToken, sign);
    return { userToken, context, sign, first };
  }

  it('further requests with that token need no signature, in any order, repeated too', async () => {
    const { userToken, context, first } = await signedFor();
    const attempt = await context.seal('attempt', userToken, undefined);
    const confirm = await context.seal('confirm', userToken, undefined);
    expect(await node.take(attempt)).toBe('client_signature');
    expect(await node.take(first)).toBe('ok');
    for (const request of [confirm, attempt, attempt]) expect(await node.take(request)).toBe('ok');
  });

  it('the token is still checked each time: what it allows, its record, and until when', async () => {
    const userToken = await newToken(alice, record(7), ['status']);
    const { context, first } = await signedFor(userToken);
    expect(await node.take(first)).toBe('ok');
    expect(await node.take(await context.seal('attempt', userToken, undefined))).toBe('scope');
    const other = { record: record(8) };
    expect(await node.take(await context.seal('status', userToken, undefined, other))).toBe('record');
    const brief = await newToken(alice, record(7), ['status'], 5);
    clock.time = BEGIN + 60_000;
    const again = await signedFor(brief);
    const unsigned = await again.context.seal('status', brief, undefined);
    expect(await node.take(again.first)).toBe('ok');
    // Nodes bear with a minute's difference of clocks.
    clock.time = BEGIN + 64_999;
    expect(await node.take(unsigned)).toBe('ok');
    clock.time = BEGIN + 65_000;
    expect(await node.take(unsigned)).toBe('expired');
  });

  it('outer fields are those that were sealed', async () => {
    const { userToken, context, first } = await signedFor();
    expect(await node.take(first)).toBe('ok');
    const status = await context.seal('status', userToken, undefined);
    const changes: Partial<Outer>[] = [
      { operation: 'attempt' },
      { attempt: 2 },
      { generation: 2 },
      { record: record(8) },
    ];
    for (const change of changes) {
      expect(await node.take({ ...status, outer: { ...status.outer, ...change } })).toBe('malformed');
    }
  });

  it('a token of another client’s is refused without that client’s signature', async () => {
    const { context, first } = await signedFor();
    const stolen = await newToken(mallory);
    expect(await node.take(first)).toBe('ok');
    expect(await node.take(await context.seal('attempt', stolen, undefined))).toBe('client_signature');
  });

  it('a token for another record, or another token of the same client’s, is refused unsigned, and taken signed', async () => {
    const { userToken, context, first } = await signedFor();
    expect(await node.take(first)).toBe('ok');
    const other = await newToken(alice, record(8));
    const place = { record: record(8) };
    expect(await node.take(await context.seal('status', other, undefined, place))).toBe('client_signature');
    expect(await node.take(await context.seal('status', userToken, undefined, place))).toBe('record');
    const renewed = await newToken(alice, record(7), ['status', 'attempt']);
    expect(await node.take(await context.seal('attempt', renewed, undefined))).toBe('client_signature');
    const sign = (outer: Uint8Array) => signAsClient(alice, outer, hashUserToken(renewed), context.enc);
    expect(await node.take(await context.seal('attempt', renewed, sign))).toBe('ok');
    expect(await node.take(await context.seal('attempt', renewed, undefined))).toBe('ok');
  });

  it('a signature for another context is refused, and authenticates neither', async () => {
    const { userToken, first, sign } = await signedFor();
    expect(await node.take(first)).toBe('ok');
    // Whoever has a token of Alice's and saw a signature of hers, in a context of their own.
    const own = await newContext(node);
    expect(await node.take(await own.seal('status', userToken, sign))).toBe('client_signature');
    expect(await node.take(await own.seal('status', userToken, undefined))).toBe('client_signature');
  });

  it('a signature for one request, shown by another in a context of their own, opens nothing but that request', async () => {
    const { userToken } = await signedFor();
    const own = await newContext(node);
    const sign = (outer: Uint8Array) => signAsClient(alice, outer, hashUserToken(userToken));
    expect(await node.take(await own.seal('status', userToken, sign, { version: 1 }))).toBe('ok');
    expect(await node.take(await own.seal('status', userToken, undefined))).toBe('client_signature');
    expect(await node.take(await own.seal('attempt', userToken, undefined))).toBe('client_signature');
    expect(await node.take(await own.seal('status', userToken, sign))).toBe('client_signature');
  });

  it('neither kind of signature is taken for the other, nor one for another operation', async () => {
    const { userToken, context, sign } = await signedFor();
    expect(await node.take(await context.seal('status', userToken, sign, { version: 1 }))).toBe('client_signature');
    const status = encodeOuter((await context.seal('status', userToken, sign)).outer);
    expect(await node.take(await context.seal('attempt', userToken, () => sign(status)))).toBe('client_signature');
    expect(await node.take(await context.seal('attempt', userToken, undefined))).toBe('client_signature');
  });

  it('what another node was shown is worth nothing here', async () => {
    const other = newNode(clock, 2);
    const userToken = await newToken(alice);
    const theirs = await newContext(other);
    const signatures: Uint8Array[] = [];
    const sign = (outer: Uint8Array) => {
      signatures.push(signAsClient(alice, outer, hashUserToken(userToken), theirs.enc));
      return signatures[0]!;
    };
    expect(await other.take(await theirs.seal('status', userToken, sign))).toBe('ok');
    const own = await newContext(node);
    expect(await node.take(await own.seal('status', userToken, () => signatures[0]!))).toBe('client_signature');
    expect(await node.take(await own.seal('status', userToken, undefined))).toBe('client_signature');
  });

  it('it is over after 30 seconds, used or not, and with a restart; then one signature begins it anew', async () => {
    const { userToken, context, first, sign } = await signedFor();
    const attempt = await context.seal('attempt', userToken, undefined);
    expect(await node.take(first)).toBe('ok');
    clock.time += 29_999;
    expect(await node.take(attempt)).toBe('ok');
    expect(await node.take(await context.seal('confirm', userToken, sign))).toBe('ok');
    clock.time += 1;
    expect(await node.take(attempt)).toBe('client_signature');
    expect(await node.take(await context.seal('confirm', userToken, sign))).toBe('ok');
    expect(await node.take(attempt)).toBe('ok');
  });

  it('two that come at once as the first ones lose no signature', async () => {
    for (const signedLast of [false, true]) {
      const { userToken, context, first } = await signedFor();
      const unsigned = await context.seal('attempt', userToken, undefined);
      const sent = signedLast ? [unsigned, first] : [first, unsigned];
      await Promise.all(sent.map((request) => node.take(request)));
      expect(await node.take(unsigned)).toBe('ok');
    }
  });
});
