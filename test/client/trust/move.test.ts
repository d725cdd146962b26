/** A record moves from a retired fleet to the live one: at every point of a crash a secret is there, and the budgets are two. */

import { describe, expect, it } from 'vitest';
import type { TrustedVault } from '../../../src/client/index.ts';
import { bytesToHex, HoldfastError, utf8 } from '../../../src/core/index.ts';
import { hasty, type InProcessFleet } from '../../node/in-process.ts';
import { digestOfManifest, revocationLeaf, WITNESSES } from '../../trust/fixture.ts';
import { bundleNode, DAY, NOW, revocation } from '../../trust/manifests.ts';
import { unreachable } from './log-server.ts';
import { TrustScene } from './trust-scene.ts';

const SECRET = utf8('the backup key');
const OTHER = utf8('another secret');
const PIN = '493027';
const WRONG = '111111';

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  const thrown = await work.then(
    () => 'done',
    (error: unknown) => error,
  );
  return thrown instanceof HoldfastError ? thrown.code : String(thrown);
};

/** The fleet `first` with this user's record; then it retires, and `second` follows. */
async function retiredWithRecord(subject = 'alice'): Promise<{ scene: TrustScene; vault: TrustedVault }> {
  const scene = await TrustScene.create();
  const before = await scene.vault(subject);
  await before.enrol(PIN, SECRET);
  await scene.retire('first');
  await scene.deploy('second');
  return { scene, vault: await scene.vault(subject) };
}

const states = async (scene: TrustScene, subject = 'alice') =>
  await Promise.all(
    ['first', 'second'].map(async (name) => (await (await scene.fleet(name).client(subject)).status()).state),
  );

/** Elements that a majority of a fleet's tokens has evaluated from now on: guesses. */
function countGuesses({ members }: InProcessFleet): () => number {
  const evaluated = new Map<string, Set<number>>();
  members.forEach(({ token }, i) => {
    const evaluate = token.evaluate.bind(token);
    token.evaluate = (input, element) => {
      const name = bytesToHex(element);
      evaluated.set(name, (evaluated.get(name) ?? new Set()).add(i));
      return evaluate(input, element);
    };
  });
  return () => [...evaluated.values()].filter((nodes) => nodes.size >= 2).length;
}

describe('moving', () => {
  it('happens at the next use of the PIN, without anything else to do', async () => {
    const { scene, vault } = await retiredWithRecord();
    expect(await vault.status()).toMatchObject({ fleet: 'first', state: 'active' });
    const recovered = await vault.recover(PIN);
    expect(recovered.secret.reveal()).toEqual(SECRET);
    expect(recovered).toMatchObject({ fleet: 'second', generation: 1, degraded: false });
    expect(recovered.notices).toEqual([expect.stringMatching(/has moved from the fleet first to second/)]);
    expect(await states(scene)).toEqual(['destroyed', 'active']);
    const again = await vault.recover(PIN);
    expect(again.secret.reveal()).toEqual(SECRET);
    expect(again).toMatchObject({ fleet: 'second', notices: [] });
    expect(await vault.status()).toMatchObject({ fleet: 'second', state: 'active' });
  });

  it('is resumed after a crash after any request, and loses nothing at any point', async () => {
    const { scene } = await retiredWithRecord('user 0');
    const seen = new Set<string>();
    let done = false;
    for (let stop = 0; !done; stop++) {
      const user = `user ${stop}`;
      if (stop > 0) await (await scene.fleet('first').client(user)).enrol(PIN, SECRET);
      const controller = new AbortController();
      let sent = 0;
      for (const fleet of scene.fleets.values()) {
        fleet.intercept = async (_, next) => {
          const last = sent++ === stop;
          const answer = await next();
          if (last) controller.abort();
          return answer;
        };
      }
      const vault = await scene.vault(user);
      const outcome = await codeOf(vault.recover(PIN, { signal: controller.signal }));
      for (const fleet of scene.fleets.values()) fleet.intercept = (_, next) => next();
      done = sent <= stop;
      const where = await states(scene, user);
      // After the very last answer there is nothing left to cancel.
      if (outcome === 'done') expect(where).toEqual(['destroyed', 'active']);
      else expect([outcome, done]).toEqual(['cancelled', false]);
      seen.add(where.join());
      expect(where).toContain('active');
      // Each record that is there gives the secret back, on its own.
      for (const [i, name] of ['first', 'second'].entries()) {
        if (where[i] !== 'active') continue;
        const { secret } = await (await scene.fleet(name).client(user)).recover(PIN);
        expect(secret.reveal()).toEqual(SECRET);
      }
      const resumed = await (await scene.vault(user)).recover(PIN);
      expect(resumed.secret.reveal()).toEqual(SECRET);
      expect(resumed.fleet).toBe('second');
      expect(await states(scene, user)).toEqual(['destroyed', 'active']);
      const left = await (await scene.fleet('second').client(user)).status();
      expect(left).toMatchObject({ attemptsLeft: 10, attemptsSinceSuccess: 0 });
      expect(stop).toBeLessThan(60);
    }
    expect(seen).toEqual(new Set(['active,none', 'active,active', 'destroyed,active']));
  });

  it('gives a guesser no more than the budgets of two records, also with a copy in each', {
    timeout: 60_000,
  }, async () => {
    const { scene } = await retiredWithRecord();
    await (await scene.fleet('second').client('alice')).enrol(PIN, SECRET);
    const guesses = [...scene.fleets.values()].map(countGuesses);
    const thief = await scene.vault('alice');
    for (let i = 0; i < 14; i++) expect(await codeOf(thief.recover(`wrong ${i}`))).not.toBe('done');
    expect(guesses.map((count) => count())).toEqual([10, 10]);
    expect(await codeOf(thief.recover(PIN))).toMatch(/spent|destroyed/);
  });

  it('does not happen with a wrong PIN, which counts once', async () => {
    const { scene, vault } = await retiredWithRecord();
    expect(await codeOf(vault.recover(WRONG))).toBe('wrong_pin');
    expect(await states(scene)).toEqual(['active', 'none']);
    expect(await vault.status()).toMatchObject({ fleet: 'first', attemptsLeft: 9 });
  });

  it('deletes nothing until a majority of the new fleet has given the secret back', async () => {
    const { scene } = await retiredWithRecord();
    const vault = await scene.vault('alice', { clock: hasty() });
    const second = scene.fleet('second');
    // The enrolment becomes active, and the recovery that proves it finds no majority.
    second.intercept = async (request, next) => {
      if (request.operation === 'attempt') throw new HoldfastError('no_majority', 'out of reach');
      return next();
    };
    const recovered = await vault.recover(PIN);
    expect(recovered.secret.reveal()).toEqual(SECRET);
    expect(recovered).toMatchObject({ fleet: 'first', notices: [expect.stringMatching(/stays in the fleet first/)] });
    expect(await states(scene)).toEqual(['active', 'active']);
    second.intercept = (_, next) => next();
    expect(await vault.recover(PIN)).toMatchObject({ fleet: 'second', notices: [] });
    expect(await states(scene)).toEqual(['destroyed', 'active']);
  });

  it('counts the old record as deleted only with the word of a majority', async () => {
    const { scene } = await retiredWithRecord();
    const vault = await scene.vault('alice', { clock: hasty() });
    const first = scene.fleet('first');
    first.intercept = async (request, next) => {
      const answer = await next();
      return request.operation === 'delete' ? { ...answer, nodes: answer.nodes.slice(0, 1) } : answer;
    };
    const recovered = await vault.recover(PIN);
    expect(recovered.notices).toEqual([
      expect.stringMatching(/has moved/),
      expect.stringMatching(/copy in first is still there/),
    ]);
  });

  it('waits while the new fleet cannot be reached, or has no credential for the user', async () => {
    const { scene } = await retiredWithRecord();
    const vault = await scene.vault('alice', { clock: hasty() });
    for (const node of [1, 2, 3]) scene.fleet('second').kill(node);
    const recovered = await vault.recover(PIN);
    expect(recovered.secret.reveal()).toEqual(SECRET);
    expect(recovered.notices).toEqual([expect.stringMatching(/stays in the fleet first/)]);
    const without = await scene.vault('alice', { fleets: ['first'] });
    expect((await without.recover(PIN)).notices).toEqual([expect.stringMatching(/no credential for the fleet second/)]);
  });

  it('waits while the successor does not verify, with the step that failed', async () => {
    const scene = await TrustScene.create();
    await (await scene.vault('alice')).enrol(PIN, SECRET);
    await scene.retire('first');
    const nodes = [7, 8, 9].map((number) => ({ ...bundleNode(number), tokenClass: 'emulated' as const }));
    await scene.deploy('second', { nodes });
    const vault = await scene.vault('alice', { fleets: ['first'] });
    const recovered = await vault.recover(PIN);
    expect(recovered.secret.reveal()).toEqual(SECRET);
    expect(recovered.notices).toEqual([expect.stringMatching(/weaker than your application allows/)]);
    expect(await codeOf(vault.enrol(PIN, SECRET))).toBe('policy_floor');
  });

  it('says that the new fleet was revoked, not that the record which moved there is destroyed', async () => {
    const { scene, vault } = await retiredWithRecord();
    await vault.recover(PIN);
    const digest = digestOfManifest(scene.manifests.get('second')!);
    await scene.server.log.append(await revocationLeaf(revocation({ fleet: 'second', serial: 1, digest })));
    const after = await scene.vault('alice');
    expect(await codeOf(after.recover(PIN))).toBe('bundle_revoked');
    expect(await codeOf(after.status())).toBe('bundle_revoked');
    expect(await codeOf(after.delete(PIN))).toBe('bundle_revoked');
  });

  it('never deletes a record with another secret, nor one that the PIN does not open', async () => {
    const { scene, vault } = await retiredWithRecord();
    await (await scene.fleet('second').client('alice')).enrol(PIN, OTHER);
    const recovered = await vault.recover(PIN);
    expect(recovered.secret.reveal()).toEqual(OTHER);
    expect(recovered.notices).toEqual([expect.stringMatching(/another secret/)]);
    expect(await states(scene)).toEqual(['active', 'active']);
  });

  it('finds the person’s own record behind one that somebody else enrolled in the new fleet', async () => {
    const { scene, vault } = await retiredWithRecord();
    await (await scene.fleet('second').client('alice')).enrol('somebody else’s', OTHER);
    const recovered = await vault.recover(PIN);
    expect(recovered.secret.reveal()).toEqual(SECRET);
    expect(recovered.fleet).toBe('first');
    expect(recovered.notices.join(' ')).toMatch(/another record, which this PIN does not open/);
    expect(await states(scene)).toEqual(['active', 'active']);
  });

  it('leaves a stale copy alone after few tries, so that its PIN’s owner is not locked out', async () => {
    const { scene, vault } = await retiredWithRecord();
    await (await scene.fleet('second').client('alice')).enrol('newer', SECRET);
    for (let i = 0; i < 6; i++) expect((await vault.recover('newer')).notices).toHaveLength(1);
    expect(await (await scene.fleet('first').client('alice')).status()).toMatchObject({ attemptsLeft: 7 });
  });

  it('over two retirements ends in the live fleet', async () => {
    const { scene } = await retiredWithRecord();
    await scene.retire('second', { successor: 'third' });
    await scene.deploy('third');
    const vault = await scene.vault('alice');
    expect(await vault.recover(PIN)).toMatchObject({ fleet: 'third' });
    expect(await states(scene)).toEqual(['destroyed', 'none']);
  });

  it('a new PIN is set in the new fleet, after the move', async () => {
    const { scene, vault } = await retiredWithRecord();
    expect(await vault.changePin(PIN, 'new one')).toMatchObject({ fleet: 'second', generation: 2 });
    expect(await states(scene)).toEqual(['destroyed', 'active']);
    expect((await vault.recover('new one')).secret.reveal()).toEqual(SECRET);
  });

  it('deleting deletes every copy', async () => {
    const { scene, vault } = await retiredWithRecord();
    await (await scene.fleet('second').client('alice')).enrol(PIN, SECRET);
    await vault.delete(PIN);
    expect(await states(scene)).toEqual(['destroyed', 'destroyed']);
    expect(await vault.status()).toMatchObject({ state: 'destroyed' });
  });

  it('a second record beside the old one is refused', async () => {
    const { scene } = await retiredWithRecord();
    const vault = await scene.vault('alice', { clock: hasty() });
    expect(await codeOf(vault.enrol(PIN, OTHER))).toBe('owner_required');
    for (const node of [1, 2, 3]) scene.fleet('first').kill(node);
    expect(await codeOf(vault.enrol(PIN, OTHER))).toBe('no_majority');
    expect(await codeOf(vault.status())).toBe('no_majority');
  });
});

describe('what is allowed', () => {
  it('in grace: recover and delete with a notice; no enrolment and no move', async () => {
    const scene = await TrustScene.create();
    await (await scene.vault('alice')).enrol(PIN, SECRET);
    scene.now = NOW + 3 * DAY;
    const vault = await scene.vault('alice');
    const recovered = await vault.recover(PIN);
    expect(recovered.secret.reveal()).toEqual(SECRET);
    expect(recovered.notices).toEqual([expect.stringMatching(/^No witness has vouched for the log for 3 days.*\.$/)]);
    await expect(vault.enrol(PIN, SECRET)).rejects.toMatchObject({
      code: 'log_stale',
      message: expect.stringMatching(/No witness has vouched/),
    });
    expect(await codeOf(vault.changePin(PIN, 'new'))).toBe('log_stale');
    expect(await codeOf(vault.delete(PIN))).toBe('done');
  });

  it('in grace on a retired fleet: the record stays', async () => {
    const { scene } = await retiredWithRecord();
    await scene.open();
    scene.now = NOW + 3 * DAY;
    const vault = await scene.vault('alice');
    expect((await vault.recover(PIN)).notices.join(' ')).toMatch(/No witness.*stays in the fleet first/);
    expect(await states(scene)).toEqual(['active', 'none']);
  });

  it('while it lives, a vault notices that its trust has become too old', async () => {
    const scene = await TrustScene.create();
    const vault = await scene.vault('alice');
    await vault.enrol(PIN, SECRET);
    scene.server.intercept = unreachable;
    scene.now = NOW + 3 * DAY;
    expect((await vault.recover(PIN)).notices).toHaveLength(1);
    scene.now = NOW + 15 * DAY;
    let sent = 0;
    scene.fleet('first').intercept = (_, next) => {
      sent++;
      return next();
    };
    expect(await codeOf(vault.recover(PIN))).toBe('log_stale');
    expect(await codeOf(vault.status())).toBe('log_stale');
    expect(sent).toBe(0);
  });

  it('a newer bundle that a coordinator tells of is verified before the next request, and decides', async () => {
    const scene = await TrustScene.create();
    const trust = await scene.open();
    const vault = await scene.vault('alice', { trust });
    const sent: string[] = [];
    scene.fleet('first').intercept = async (request, next) => {
      sent.push(request.operation);
      const answer = await next();
      if (request.operation === 'open') {
        await scene.retire('first');
        trust.claimed({ fleet: 'first', serial: 2, url: 'https://a.vault.example' });
      }
      return answer;
    };
    expect(await codeOf(vault.enrol(PIN, SECRET))).toBe('bundle_retired');
    expect(sent.at(-1)).toBe('open');
    expect((await (await scene.fleet('first').client('alice')).status()).state).toBe('none');
  });

  it('after the sunset: the new fleet only', async () => {
    const { scene } = await retiredWithRecord();
    await scene.open();
    scene.now = NOW + 91 * DAY;
    scene.server.witnessed = Object.fromEntries(WITNESSES.map((name) => [name, scene.now]));
    const vault = await scene.vault('alice');
    expect(await vault.status()).toMatchObject({ fleet: 'second', state: 'none' });
  });
});
