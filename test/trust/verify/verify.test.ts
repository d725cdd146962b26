import { p256 } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256, utf8 } from '../../../src/core/index.ts';
import {
  ecdsaToDer,
  establishLiveFleet,
  establishTrust,
  fleetOf,
  type NoteSigner,
  newVerifierKey,
  parseTrustSet,
  parseTrustState,
  type RetireManifest,
  serialiseTrustSet,
  serialiseTrustState,
  type TrustRequest,
  type TrustState,
  trustSetDigest,
  verifyTrustSet,
} from '../../../src/trust/index.ts';
import { COSIGNER, digestOfManifest, hex, ORIGIN, signPolicy, TestLog, trustPolicy } from '../fixture.ts';
import { bundleNode, DAY, deployment, NOW, retirement } from '../manifests.ts';
import { FIRST, following, MemoryStateStore, readerOf, SECOND, scene, verdict } from './scene.ts';

const otherNodes = [1, 2, 3].map((number) => bundleNode(number, `other-${number}`));

describe('a fleet that passes all steps', () => {
  it('is given with what the client has to remember', async () => {
    const { log, request, policy } = await scene();
    const verified = await verifyTrustSet(request);
    expect(verified.fleet).toEqual(fleetOf(FIRST));
    expect(verified).toMatchObject({ standing: { state: 'live' }, notice: undefined, witnessedAt: NOW - 3_600_000 });
    expect(verified.nextState).toEqual({
      vault: 'family',
      environment: 'production',
      policyVersion: 1,
      policyDigest: policy.digest,
      origin: ORIGIN,
      size: 6,
      root: hex(await log.root()),
      time: NOW / 1000 - 3600,
      fleets: [{ fleet: 'first', serial: 1, digest: digestOfManifest(FIRST), successor: null }],
    });
  });

  it('comes with a notice where witnesses are late', async () => {
    const { log, request, state } = await scene();
    const witnessed = Object.fromEntries(log.policy.tlog.witnesses.map(({ key }) => [key.name, NOW - 3 * DAY]));
    const set = await log.trustSet('first', { witnessed });
    const earlier = { ...state, time: 1 };
    const verified = await verifyTrustSet({ ...request, set, state: earlier, operation: 'recover' });
    expect(verified.notice).toContain('3 days');
    expect(verified.nextState.time).toBe(NOW / 1000 - 3 * 86_400);
  });

  it('is fetched again with nothing to prove, and after many serials with everything in between', async () => {
    const { log, request, state } = await scene();
    expect(await verdict({ ...request, state })).toBe('trusted');
    const third = following(SECOND, { coordinators: ['https://d.vault.example'] });
    for (const manifest of [SECOND, third]) await log.accept(manifest);
    const set = await log.trustSet();
    expect(await verdict({ ...request, state, set, reader: readerOf(log, FIRST, SECOND) })).toBe('trusted');
    await expect(verifyTrustSet({ ...request, state, set, reader: readerOf(log, FIRST) })).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('an operator whose token has no Ed25519', () => {
  it('signs with ECDSA on P-256', async () => {
    const secret = sha256(utf8('operator'));
    const name = 'operator.example/ecdsa';
    const publicKey = newVerifierKey(name, 'ecdsa', p256.getPublicKey(secret, false));
    const signer: NoteSigner = {
      name,
      verifierKey: publicKey.text,
      sign: async (message) => ecdsaToDer(p256.sign(message, secret, { prehash: true })),
    };
    const organisations = new Map([...trustPolicy().organisations, [name, 'operator.example']]);
    const policy = await signPolicy(trustPolicy({ operator: publicKey, organisations }));
    const log = new TestLog(policy);
    await log.accept(FIRST, COSIGNER, signer);
    const { request } = await scene();
    expect(await verdict({ ...request, policy, set: await log.trustSet() })).toBe('trusted');
    expect(await verdict({ ...request, set: await log.trustSet() })).toBe('signature_missing');
  });
});

describe('a fleet that has retired', () => {
  it('leads to its successor, and no other fleet is reached', async () => {
    const { log, request, state } = await scene();
    const successor = deployment({ fleet: 'second', nodes: otherNodes });
    const stranger = deployment({
      fleet: 'third',
      nodes: [4, 5, 6].map((n, i) => ({ ...bundleNode(i + 1), keys: bundleNode(n).keys })),
    });
    await log.accept(retirement(following(FIRST)));
    await log.accept(successor);
    await log.accept(stranger);
    const reader = readerOf(log, FIRST, retirement(following(FIRST)));
    const at = async (fleet: string, from: TrustState | undefined, operation: TrustRequest['operation']) => ({
      ...request,
      reader,
      operation,
      state: from,
      set: await log.trustSet(fleet),
      configuration: { ...request.configuration, fleet },
    });
    expect(await verdict(await at('second', state, 'enrol'))).toBe('wrong_environment');
    const followed = await verifyTrustSet(await at('first', state, 'follow'));
    expect(followed.standing).toEqual({ state: 'retired', successor: 'second', sunset: NOW + 90 * DAY });
    const moved = await verifyTrustSet(await at('second', followed.nextState, 'move'));
    expect(moved.nextState.fleets.map(({ fleet, successor }) => [fleet, successor])).toEqual([
      ['first', 'second'],
      ['second', null],
    ]);
    expect(await verdict(await at('third', moved.nextState, 'enrol'))).toBe('wrong_environment');
  });

  it('is followed to the one that is live, and the way is remembered', async () => {
    const { log, request } = await scene();
    const retired = retirement(following(FIRST), { sunset: NOW - DAY });
    await log.accept(retired);
    await log.accept(deployment({ fleet: 'second', nodes: otherNodes }));
    const store = new MemoryStateStore();
    const fetched: string[] = [];
    const fetchSet = async (fleet: string) => {
      fetched.push(fleet);
      return await log.trustSet(fleet);
    };
    const follow = { ...request, reader: readerOf(log, FIRST, retired), operation: 'enrol' as const };
    const { manifest } = await establishLiveFleet(follow, fetchSet, store);
    expect([manifest.fleet, ...fetched]).toEqual(['second', 'first', 'second']);
    expect(parseTrustState(store.stored!).fleets).toHaveLength(2);
  });

  it('is not followed without end', async () => {
    const { log, request } = await scene();
    const retirements: RetireManifest[] = [];
    for (let i = 0; i < 18; i++) {
      const fleet = i === 0 ? 'first' : `fleet-${i}`;
      const nodes = i === 0 ? FIRST.nodes : [1, 2, 3].map((node) => bundleNode(node, `${fleet}-${node}`));
      const first = i === 0 ? FIRST : deployment({ fleet, nodes });
      if (i > 0) await log.accept(first);
      retirements.push(retirement(following(first), { successor: `fleet-${i + 1}` }));
      await log.accept(retirements.at(-1)!);
    }
    const follow = { ...request, reader: readerOf(log, ...retirements), operation: 'move' as const };
    const followed = establishLiveFleet(follow, (fleet) => log.trustSet(fleet), new MemoryStateStore());
    await expect(followed).rejects.toMatchObject({ code: 'chain_broken' });
  });

  it.each([
    ['fleet_weakened', false],
    ['trusted', true],
  ])('leads to a weaker one only with consent: %s', async (code, consent) => {
    const strong = deployment({ nodes: FIRST.nodes.map((node) => ({ ...node, tokenClass: 'attested' })) });
    const retired = retirement(following(strong));
    const weaker = deployment({ fleet: 'second', nodes: otherNodes });
    const weakerBundles = consent ? [digestOfManifest(weaker)] : [];
    const policy = await signPolicy(trustPolicy({ weakerBundles }));
    const log = new TestLog(policy);
    for (const manifest of [strong, retired, weaker]) await log.accept(manifest);
    const request = { ...(await scene()).request, policy, reader: readerOf(log, strong, retired) };
    const followed = await verifyTrustSet({ ...request, operation: 'follow', set: await log.trustSet() });
    const configuration = { ...request.configuration, fleet: 'second' };
    const set = await log.trustSet('second');
    expect(await verdict({ ...request, configuration, set, state: followed.nextState })).toBe(code);
  });

  it.each([
    ['fleet_weakened', false],
    ['trusted', true],
  ])('is not followed where it was weakened before it retired, unless with consent: %s', async (code, consent) => {
    const strong = deployment({ nodes: FIRST.nodes.map((node) => ({ ...node, tokenClass: 'attested' })) });
    const weak = following(strong, { nodes: FIRST.nodes });
    const retired = retirement(following(weak));
    const policy = await signPolicy(trustPolicy({ weakerBundles: consent ? [digestOfManifest(weak)] : [] }));
    const log = new TestLog(policy);
    await log.accept(strong);
    const request = { ...(await scene()).request, policy, reader: readerOf(log, strong, weak) };
    const { nextState: state } = await verifyTrustSet({ ...request, set: await log.trustSet() });
    for (const manifest of [weak, retired]) await log.accept(manifest);
    expect(await verdict({ ...request, state, operation: 'follow', set: await log.trustSet() })).toBe(code);
  });
});

describe('what is stored', () => {
  const states: fc.Arbitrary<TrustState> = fc.record({
    vault: fc.constant('family'),
    environment: fc.constant('production'),
    policyVersion: fc.integer({ min: 1, max: 100 }),
    policyDigest: fc.stringMatching(/^[0-9a-f]{64}$/),
    origin: fc.stringMatching(/^[a-z/.]{1,40}$/),
    size: fc.integer({ min: 1, max: 2 ** 50 }),
    root: fc.stringMatching(/^[0-9a-f]{64}$/),
    time: fc.integer({ min: 1, max: 2 ** 40 }),
    fleets: fc.array(
      fc.record({
        fleet: fc.stringMatching(/^[a-z]{1,9}$/),
        serial: fc.integer({ min: 1, max: 100 }),
        digest: fc.stringMatching(/^[0-9a-f]{64}$/),
        successor: fc.option(fc.stringMatching(/^[a-z]{1,9}$/)),
      }),
      { minLength: 1, maxLength: 5 },
    ),
  });

  it('is read back as it was written, and refused with any byte changed that still is a state', () => {
    fc.assert(
      fc.property(states, fc.nat(), fc.integer({ min: 1, max: 255 }), (state, at, flip) => {
        const bytes = serialiseTrustState(state);
        expect(parseTrustState(bytes)).toEqual(state);
        const changed = bytes.slice();
        changed[at % bytes.length]! ^= flip;
        try {
          expect(parseTrustState(changed)).not.toEqual(state);
        } catch (error) {
          expect((error as { name?: string }).name).toBe('HoldfastError');
        }
      }),
      { numRuns: 100 },
    );
  });

  it('is stored before the fleet is used, and not again for the same', async () => {
    const { request } = await scene();
    const store = new MemoryStateStore();
    const verified = await establishTrust(request, store);
    expect(parseTrustState(store.stored!)).toEqual(verified.nextState);
    store.beforeSwap = () => {
      throw new Error('nothing has changed');
    };
    await establishTrust(request, store);
  });

  it('is verified against anew where another process came in between', async () => {
    const { log, request } = await scene();
    await log.accept(SECOND);
    const newer = await log.trustSet();
    const other = new MemoryStateStore();
    await establishTrust({ ...request, set: newer }, other);
    const store = new MemoryStateStore();
    store.beforeSwap = () => {
      store.stored = other.stored;
    };
    // The older set was right until the other process had seen the newer one.
    await expect(establishTrust(request, store)).rejects.toMatchObject({ code: 'rolled_back' });
    expect(store.stored).toEqual(other.stored);
  });

  it('is not overwritten if others keep replacing it', async () => {
    const { request } = await scene();
    const store = new MemoryStateStore();
    let time = 1;
    store.beforeSwap = () => {
      const digest = digestOfManifest(FIRST);
      const fleets = [{ fleet: 'first', serial: 1, digest, successor: null }];
      store.stored = serialiseTrustState({ ...base, fleets, time: time++ });
    };
    const base = (await verifyTrustSet(request)).nextState;
    await expect(establishTrust(request, store)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('fails closed if it cannot be read', async () => {
    const { request } = await scene();
    const store = new MemoryStateStore();
    store.stored = new Uint8Array([123]);
    await expect(establishTrust(request, store)).rejects.toMatchObject({ code: 'bad_input' });
  });
});

describe('a trust set', () => {
  it('is read back as it was written, and has one form', async () => {
    const { log } = await scene();
    const bytes = await log.trustSet();
    expect(serialiseTrustSet(parseTrustSet(bytes))).toEqual(bytes);
    expect(trustSetDigest(bytes)).toMatch(/^[0-9a-f]{64}$/);
    const text = new TextDecoder().decode(bytes);
    for (const changed of [text.trimEnd(), ` ${text}`, text.replace('{', '{ '), text.replace('{', '{"more":1,')]) {
      expect(() => parseTrustSet(new TextEncoder().encode(changed))).toThrow(
        expect.objectContaining({ code: 'bundle_malformed' }),
      );
    }
  });

  it('is refused with any byte changed, policies apart that the application has already', async () => {
    const { log, request: honest } = await scene();
    const request = { ...honest, set: await log.trustSet('first', { changes: { policies: [] } }) };
    expect(await verdict(request)).toBe('trusted');
    await fc.assert(
      fc.asyncProperty(fc.nat(request.set.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const set = request.set.slice();
        set[at]! ^= flip;
        expect(await verdict({ ...request, set })).not.toBe('trusted');
      }),
      { numRuns: 200 },
    );
  });
});
