/** A trust anchor and what comes of it: several sources, state, grace, retirement, revocation, news from coordinators. */

import { describe, expect, it } from 'vitest';
import { HoldfastError, MemoryTrustStore } from '../../../src/client/index.ts';
import {
  MAXIMUM_TRUST_SET,
  noteLeaf,
  parseTrustState,
  serialiseNote,
  trustSetDigest,
} from '../../../src/trust/index.ts';
import {
  COSIGNER,
  digestOfManifest,
  nextPolicy,
  revocationLeaf,
  signBundle,
  signPolicy,
  WITNESSES,
} from '../../trust/fixture.ts';
import { bundleNode, DAY, NOW, revocation } from '../../trust/manifests.ts';
import { COSIGNER_URL, MIRROR_URL, unreachable } from './log-server.ts';
import { TrustScene } from './trust-scene.ts';

const witnessedAt = (time: number) => Object.fromEntries(WITNESSES.map((name) => [name, time]));
const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  return thrown instanceof HoldfastError ? thrown.code : `no HoldfastError: ${String(thrown)}`;
};

describe('opening', () => {
  it('gives the verified fleet, and stores what was seen before anything is used', async () => {
    const scene = await TrustScene.create();
    const trust = await scene.open();
    const { fleets, failure } = await trust.view();
    expect(failure).toBeUndefined();
    expect(fleets).toHaveLength(1);
    expect(fleets[0]).toMatchObject({ mode: 'fresh', standing: { state: 'live' }, policyVersion: 1 });
    expect(fleets[0]!.fleet).toEqual(scene.fleet('first').fleet);
    const state = parseTrustState((await scene.store.load())!);
    expect(state.fleets).toEqual([
      { fleet: 'first', serial: 1, digest: digestOfManifest(scene.manifests.get('first')!), successor: null },
    ]);
    expect(state.size).toBe(fleets[0]!.checkpoint.size);
    expect(scene.server.asked).toEqual([`${COSIGNER_URL}/trust/first`]);
  });

  it('asks the next source where one is silent, lies, or sends without end', async () => {
    const scene = await TrustScene.create();
    const liars: ((url: URL) => Response | Promise<Response>)[] = [
      unreachable,
      () => new Response('nothing', { status: 404 }),
      () => new Response('{"format":"holdfast/trust-set/v1"}'),
      async () => new Response((await scene.server.set('first')).map((byte, i) => (i === 500 ? byte ^ 1 : byte))),
      () =>
        new Response(
          new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(MAXIMUM_TRUST_SET)) }),
        ),
    ];
    for (const lie of liars) {
      scene.server.intercept = (url) => (url.origin === COSIGNER_URL ? lie(url) : undefined);
      scene.server.asked.length = 0;
      await scene.open({ state: new MemoryTrustStore() });
      expect(scene.server.asked.slice(0, 2)).toEqual([`${COSIGNER_URL}/trust/first`, `${MIRROR_URL}/trust/first`]);
    }
  });

  it('fails with its own code where nothing can be fetched, and asks nobody once it is cancelled', async () => {
    const scene = await TrustScene.create();
    scene.server.intercept = unreachable;
    expect(await codeOf(scene.open())).toBe('trust_unavailable');
    scene.server.asked.length = 0;
    expect(await codeOf(scene.open({ signal: AbortSignal.abort() }))).toBe('cancelled');
    expect(scene.server.asked).toEqual([]);
  });

  it('does not wait for a source that never answers', async () => {
    const scene = await TrustScene.create();
    // Made ahead, so that the mirror answers at once, however slow this machine is.
    const trustSet = await scene.server.set('first');
    scene.server.intercept = (url, { signal }) =>
      url.origin === MIRROR_URL
        ? new Response(trustSet)
        : new Promise((_, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)));
    expect((await (await scene.open({ timeout: 1000 })).view()).fleets).toHaveLength(1);
    const controller = new AbortController();
    const hanging = codeOf(scene.open({ signal: controller.signal, timeout: 60_000 }));
    controller.abort();
    expect(await hanging).toBe('cancelled');
  });

  it('says so where the stored state is damaged, and asks nobody', async () => {
    const scene = await TrustScene.create();
    await scene.store.compareAndSwap(undefined, new TextEncoder().encode('{}'));
    expect(await codeOf(scene.open())).toBe('trust_state_damaged');
    expect(scene.server.asked).toEqual([]);
  });

  it('goes on with what was kept while no source can be reached, as long as its witnesses are fresh enough', async () => {
    const scene = await TrustScene.create();
    await scene.open();
    scene.server.intercept = unreachable;
    expect((await (await scene.open()).view()).fleets[0]!.mode).toBe('fresh');
    scene.now = NOW + 2 * DAY;
    const [grace] = (await (await scene.open()).view()).fleets;
    expect(grace).toMatchObject({ mode: 'grace', notice: expect.stringMatching(/^No witness has vouched/) });
    scene.now = NOW + 15 * DAY;
    expect(await codeOf(scene.open())).toBe('log_stale');
  });
});

describe('each step that fails', () => {
  const hour = 3_600_000;
  it.each<[string, (scene: TrustScene) => Promise<Uint8Array<ArrayBuffer>>]>([
    ['bundle_malformed', async () => new TextEncoder().encode('{"format":"holdfast/trust-set/v2"}')],
    [
      'signature_missing',
      async ({ server, manifests }) => {
        const half = await signBundle(manifests.get('first')!, COSIGNER);
        return await server.log.trustSet('first', { changes: { bundle: serialiseNote(half) } });
      },
    ],
    ['quorum_not_met', ({ server }) => server.log.trustSet('first', { witnessed: { [WITNESSES[3]]: NOW - hour } })],
    ['log_stale', ({ server }) => server.log.trustSet('first', { witnessed: witnessedAt(NOW - 2 * DAY) })],
    ['clock_fault', ({ server }) => server.log.trustSet('first', { witnessed: witnessedAt(NOW + 2 * hour) })],
    [
      'proof_invalid',
      async ({ server: { log } }) =>
        await log.trustSet('first', { changes: { acceptance: await log.proof(1, await log.checkpoint()) } }),
    ],
    [
      'wrong_environment',
      async (scene) => {
        await scene.deploy('other');
        return await scene.server.set('other');
      },
    ],
  ])('is told by its code: %s', async (code, setOf) => {
    const scene = await TrustScene.create();
    const set = await setOf(scene);
    scene.server.intercept = (url) => (url.pathname === '/trust/first' ? new Response(set) : undefined);
    expect(await codeOf(scene.open())).toBe(code);
    expect(await scene.store.load()).toBeUndefined();
  });
});

describe('later', () => {
  it('a grown log is followed by its tiles, and a newer bundle by its predecessors', async () => {
    const scene = await TrustScene.create();
    const trust = await scene.open();
    const second = scene.next('first', { coordinators: ['https://c.vault.example'] });
    await scene.accept(second);
    await scene.accept(scene.next('first', { coordinators: ['https://d.vault.example'] }));
    const { fleets } = await trust.refresh();
    expect(fleets[0]!.manifest.serial).toBe(3);
    const paths = scene.server.asked.map((url) => new URL(url).pathname.split('/').slice(1, 3).join('/'));
    expect(paths).toEqual(expect.arrayContaining(['tile/0', 'trust/bundles']));
  });

  it('wrong tiles of one source are no split view where another has the right ones', async () => {
    const scene = await TrustScene.create();
    const trust = await scene.open();
    await scene.accept(scene.next('first', { coordinators: ['https://c.vault.example'] }));
    const wrongTiles = (url: URL) => url.pathname.startsWith('/tile/') && new Response(new Uint8Array(8192));
    scene.server.intercept = (url) => (url.origin === COSIGNER_URL && wrongTiles(url)) || undefined;
    expect((await trust.refresh()).fleets[0]!.manifest.serial).toBe(2);
    const lonely = await TrustScene.create();
    await lonely.open();
    await lonely.accept(lonely.next('first', { coordinators: ['https://c.vault.example'] }));
    lonely.server.intercept = (url) => wrongTiles(url) || undefined;
    expect(await codeOf(lonely.open())).toBe('split_view');
  });

  it('an older state of the log is refused, whoever shows it', async () => {
    const scene = await TrustScene.create();
    const old = await scene.server.set('first');
    await scene.accept(scene.next('first', { coordinators: ['https://c.vault.example'] }));
    await scene.open();
    scene.server.intercept = (url) => (url.pathname === '/trust/first' ? new Response(old) : undefined);
    const kept = await scene.open();
    // What was kept is newer, and still fresh.
    expect((await kept.view()).fleets[0]!.manifest.serial).toBe(2);
    expect(await codeOf(scene.open({ cache: { load: async () => undefined, store: async () => {} } }))).toBe(
      'rolled_back',
    );
  });

  it('a revocation ends all use, although another source still shows the bundle as live', async () => {
    const scene = await TrustScene.create();
    const trust = await scene.open();
    const old = await scene.server.set('first');
    const manifest = scene.manifests.get('first')!;
    await scene.server.log.append(
      await revocationLeaf(revocation({ fleet: 'first', serial: 1, digest: digestOfManifest(manifest) })),
    );
    scene.server.intercept = (url) =>
      url.origin === MIRROR_URL && url.pathname === '/trust/first' ? new Response(old) : undefined;
    expect(await codeOf(trust.refresh())).toBe('bundle_revoked');
    expect(await codeOf(scene.open())).toBe('bundle_revoked');
  });

  it('a newer policy is taken, and shows', async () => {
    const scene = await TrustScene.create();
    const next = await signPolicy(nextPolicy(scene.policy, { maxAge: 43_200 }));
    await scene.server.log.append(noteLeaf('policy', next.note));
    expect((await (await scene.open()).view()).fleets[0]!.policyVersion).toBe(2);
  });
});

describe('a fleet in its second epoch', () => {
  it('is given with the keys of the first, and of no other bundle than the newest', async () => {
    const scene = await TrustScene.create();
    const { nodes } = scene.manifests.get('first')!;
    await scene.accept(scene.next('first', { coordinators: ['https://c.vault.example'] }));
    const earlier = [{ epoch: 1, nodes: nodes.map(({ keys: { identity, oprf } }) => ({ identity, oprf })) }];
    const replaced = nodes.map((node, i) => (i === 2 ? { ...node, keys: bundleNode(9).keys } : node));
    await scene.accept(scene.next('first', { epoch: 2, nodes: replaced, earlier }));
    expect((await (await scene.open()).view()).fleets[0]!.fleet).toMatchObject({ epoch: 2, earlier });
    scene.server.intercept = unreachable;
    expect((await (await scene.open()).view()).fleets[0]!.fleet).toMatchObject({ epoch: 2, earlier });
  });
});

describe('a retired fleet', () => {
  it('is followed to the live one, and both are given', async () => {
    const scene = await TrustScene.create();
    await scene.retire('first');
    await scene.deploy('second');
    const { fleets } = await (await scene.open()).view();
    expect(fleets.map(({ fleet, standing }) => [fleet.fleet, standing.state])).toEqual([
      ['first', 'retired'],
      ['second', 'live'],
    ]);
    expect(fleets.every(({ refusal }) => refusal === undefined)).toBe(true);
  });

  it('is refused after its sunset, and its successor is not', async () => {
    const scene = await TrustScene.create();
    await scene.retire('first', { sunset: NOW + DAY });
    await scene.deploy('second');
    await scene.open();
    scene.now = NOW + 2 * DAY;
    scene.server.witnessed = witnessedAt(scene.now);
    const [first, second] = (await (await scene.open()).view()).fleets;
    expect(first!.refusal).toMatchObject({ code: 'bundle_retired' });
    expect(second!.refusal).toBeUndefined();
  });

  it('that is revoked later does not take its successor with it, once that was verified', async () => {
    const scene = await TrustScene.create();
    await scene.retire('first');
    await scene.deploy('second');
    await scene.open();
    const digest = digestOfManifest(scene.manifests.get('first')!);
    await scene.server.log.append(await revocationLeaf(revocation({ fleet: 'first', serial: 2, digest })));
    const { fleets, failures } = await (await scene.open()).view();
    expect(fleets.map(({ fleet }) => fleet.fleet)).toEqual(['second']);
    expect(failures.get('first')).toMatchObject({ code: 'bundle_revoked' });
    expect(await codeOf(scene.open({ state: new MemoryTrustStore() }))).toBe('bundle_revoked');
  });

  it('whose successor does not verify serves on, and says why', async () => {
    const scene = await TrustScene.create();
    await scene.retire('first');
    const nodes = [7, 8, 9].map((number) => ({ ...bundleNode(number), tokenClass: 'emulated' as const }));
    await scene.deploy('second', { nodes });
    const { fleets, failure } = await (await scene.open()).view();
    expect(fleets).toHaveLength(1);
    expect(failure).toMatchObject({ code: 'policy_floor' });
  });
});

describe('what a coordinator claims', () => {
  const claim = (serial: number) => ({ fleet: 'first', serial, url: 'https://a.vault.example' });

  it('is looked into before the next use, and taken from the coordinator where no source has it yet', async () => {
    const scene = await TrustScene.create();
    const old = await scene.server.set('first');
    const trust = await scene.open();
    await scene.accept(scene.next('first', { coordinators: ['https://c.vault.example'] }));
    const newer = await scene.server.set('first');
    scene.server.intercept = (url) => {
      if (url.pathname === '/trust/first') return new Response(old);
      return url.href === 'https://a.vault.example/v1/trust' ? new Response(newer) : undefined;
    };
    trust.claimed(claim(2));
    expect(trust.stale).toBe(true);
    expect((await trust.view()).fleets[0]!.manifest.serial).toBe(2);
    expect(trust.stale).toBe(false);
  });

  it.each([
    ['an old set', (old: Uint8Array<ArrayBuffer>) => new Response(old)],
    ['nothing', () => new Response('', { status: 404 })],
    ['rubbish', () => new Response('rubbish')],
  ])('changes nothing where it shows %s, and is not looked into at every answer', async (_what, answer) => {
    const scene = await TrustScene.create();
    const old = await scene.server.set('first');
    await scene.accept(scene.next('first', { coordinators: ['https://a.vault.example'] }));
    const trust = await scene.open();
    scene.server.intercept = (url) => (url.pathname === '/v1/trust' ? answer(old) : undefined);
    trust.claimed(claim(Number.MAX_SAFE_INTEGER));
    expect((await trust.view()).fleets[0]).toMatchObject({ mode: 'fresh', manifest: { serial: 2 } });
    const asked = scene.server.asked.length;
    trust.claimed(claim(Number.MAX_SAFE_INTEGER));
    expect(trust.stale).toBe(false);
    await trust.view();
    expect(scene.server.asked).toHaveLength(asked);
    scene.now += 61_000;
    trust.claimed(claim(9));
    expect(trust.stale).toBe(true);
  });

  it('of a set of another fleet changes nothing', async () => {
    const scene = await TrustScene.create();
    await scene.deploy('other');
    const other = await scene.server.set('other');
    const trust = await scene.open();
    scene.server.intercept = (url) => (url.pathname === '/v1/trust' ? new Response(other) : undefined);
    trust.claimed(claim(5));
    const { fleets } = await trust.view();
    expect(fleets.map(({ fleet }) => fleet.fleet)).toEqual(['first']);
    expect(trustSetDigest((await scene.cache.load('first'))!)).not.toBe(trustSetDigest(other));
  });
});
