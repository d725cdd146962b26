/** A guess that was counted and not answered costs one number, however often the same PIN is tried again. */

import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { UnansweredGuesses } from '../../src/client/unanswered.ts';
import { bytesToHex, type Clock, Secret, sha256, utf8 } from '../../src/core/index.ts';
import { ARGUMENTS } from '../../src/protocol/index.ts';
import { hasty, InProcessFleet } from '../node/in-process.ts';
import { TrustScene } from './trust/trust-scene.ts';

const PIN = '123456';
const secret = utf8('the secret');

const isWiped = (blind: Secret): boolean => blind.reveal().every((byte) => byte === 0);

async function besieged(limit = 10) {
  const fleet = await InProcessFleet.create(3, { limit });
  await (await fleet.client('alice')).enrol(PIN, secret);
  const device = await fleet.client('alice', { clock: hasty(), patience: 500 });
  const seen = new Map<number, Set<string>>();
  const withhold = (withholding: boolean) => {
    fleet.intercept = async (request, next) => {
      const answer = await next();
      if (request.operation !== 'attempt') return answer;
      const { blindHash } = ARGUMENTS.attempt.decode(request.arguments);
      seen.set(request.attempt, (seen.get(request.attempt) ?? new Set()).add(bytesToHex(blindHash)));
      if (!withholding) return answer;
      return { ...answer, nodes: answer.nodes.map((part) => ({ ...part, sealed: undefined, code: 'untrusted' })) };
    };
  };
  withhold(true);
  return { fleet, device, withhold, seen };
}

const unanswered = { code: 'no_majority', details: { attempt: 2 } };

it('in as many calls as there are guesses, and then it opens the record', async () => {
  const { device, withhold, seen } = await besieged();
  for (let call = 0; call < 12; call++) await expect(device.recover(PIN)).rejects.toMatchObject(unanswered);
  expect((await device.status()).attemptsLeft).toBe(9);
  expect([...seen].map(([number, elements]) => [number, elements.size])).toEqual([[2, 1]]);
  withhold(false);
  expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 0, secret: expect.anything() });
  expect((await device.status()).attemptsLeft).toBe(10);
});

it('also where it was the last one', async () => {
  const { device, withhold } = await besieged(1);
  await expect(device.recover(PIN)).rejects.toMatchObject(unanswered);
  expect(await device.status()).toMatchObject({ state: 'spent', attemptsLeft: 0 });
  withhold(false);
  expect((await device.recover(PIN)).secret.reveal()).toEqual(secret);
  expect((await device.status()).attemptsLeft).toBe(1);
});

it('but another PIN is another guess, and a third one after it, too', async () => {
  const { device, withhold, seen } = await besieged();
  await expect(device.recover(PIN)).rejects.toMatchObject(unanswered);
  withhold(false);
  await expect(device.recover('000000')).rejects.toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 8 } });
  expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 2 });
  expect([...seen.keys()]).toEqual([2, 3, 4]);
  expect(new Set([...seen.values()].flatMap((elements) => [...elements])).size).toBe(3);
});

it('and is over where another device has used the PIN since', async () => {
  const { fleet, device, withhold } = await besieged();
  await expect(device.recover(PIN)).rejects.toMatchObject(unanswered);
  withhold(false);
  await (await fleet.client('alice')).recover(PIN);
  expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 0 });
});

it('also where a trust anchor leads to the fleet, anew for each call', async () => {
  const scene = await TrustScene.create();
  const vault = await scene.vault('alice', { clock: hasty(), patience: 500 });
  await vault.enrol(PIN, secret);
  const elements = new Set<string>();
  let withholding = true;
  scene.fleet('first').intercept = async (request, next) => {
    const answer = await next();
    if (request.operation !== 'attempt') return answer;
    elements.add(bytesToHex(ARGUMENTS.attempt.decode(request.arguments).blindHash));
    if (!withholding) return answer;
    return { ...answer, nodes: answer.nodes.map((part) => ({ ...part, sealed: undefined, code: 'untrusted' })) };
  };
  for (let call = 0; call < 3; call++) await expect(vault.recover(PIN)).rejects.toMatchObject(unanswered);
  withholding = false;
  expect((await vault.recover(PIN)).secret.reveal()).toEqual(secret);
  expect(elements.size).toBe(1);
});

describe('what is kept', () => {
  /** A guess, and a clock whose timers are run by hand. */
  function waiting() {
    const timers = new Map<() => void, number>();
    const clock: Clock = {
      now: () => 1_000_000,
      sleep: async () => {},
      later: (milliseconds, what) => {
        timers.set(what, milliseconds);
        return () => timers.delete(what);
      },
    };
    const element = sha256(utf8('a'));
    const guess = { input: utf8('a'), blind: new Secret(sha256(element)), blindedElement: element, hash: element };
    const place = { fleet: 'f', record: element, generation: 1 };
    return { guesses: new UnansweredGuesses(clock), guess, place, timers };
  }

  it('is wiped after ten minutes without anybody calling', () => {
    const { guesses, guess, place, timers } = waiting();
    guesses.keep(place, guess, 7);
    expect([...timers.values()]).toEqual([600_000]);
    expect(isWiped(guess.blind)).toBe(false);
    for (const run of timers.keys()) run();
    expect(isWiped(guess.blind)).toBe(true);
    expect(guesses.has(place)).toBe(false);
  });

  it('is nobody’s to wipe once it was taken, and has its ten minutes anew when it is kept again', () => {
    const { guesses, guess, place, timers } = waiting();
    guesses.keep(place, guess, 7);
    const taken = guesses.take(place, utf8('a'));
    expect(timers.size).toBe(0);
    guesses.keep(place, taken!.guess, 7);
    guesses.keep(place, taken!.guess, 7);
    expect(timers.size).toBe(1);
    expect(isWiped(guess.blind)).toBe(false);
    guesses.clear();
    expect(timers.size).toBe(0);
    expect(isWiped(guess.blind)).toBe(true);
  });

  it('is wiped when the client is let go of', async () => {
    const { device, withhold } = await besieged();
    await expect(device.recover(PIN)).rejects.toMatchObject(unanswered);
    device[Symbol.dispose]();
    withhold(false);
    // Its number went with it.
    expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 1 });
  });

  it('keeps no process running', () => {
    const program = `import { systemClock } from ${JSON.stringify(import.meta.resolve('../../src/core/index.ts'))};
      systemClock.later(3_600_000, () => console.log('called'));
      systemClock.later(0, () => console.log('never'))();
      systemClock.later(1, () => console.log('once'));
      await systemClock.sleep(50);`;
    const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: 120_000,
    });
    expect({ stdout, status }).toEqual({ stdout: 'once\n', status: 0 });
  });
});

it('and is kept for its own record, generation and input only, for ten minutes', () => {
  let now = 1_000_000;
  const guesses = new UnansweredGuesses({ now: () => now, sleep: async () => {} });
  const place = { fleet: 'f', record: sha256(utf8('r')), generation: 1 };
  const guess = (name: string) => {
    const element = sha256(utf8(name));
    return { input: utf8(name), blind: new Secret(sha256(element)), blindedElement: element, hash: element };
  };
  const keep = () => {
    const one = guess('a');
    guesses.keep(place, one, 7);
    return one;
  };
  let kept = keep();
  expect(guesses.take({ ...place, record: sha256(utf8('s')) }, utf8('a'))).toBeUndefined();
  expect(guesses.take({ ...place, fleet: 'g' }, utf8('a'))).toBeUndefined();
  expect(guesses.take(place, utf8('a'))).toEqual({ guess: kept, number: 7 });
  expect(guesses.has(place)).toBe(false);
  for (const forget of [
    () => guesses.take(place, utf8('b')),
    () => guesses.take({ ...place, generation: 2 }, utf8('a')),
    () => {
      now += 600_000;
      return guesses.take(place, utf8('a'));
    },
    () => guesses.keep(place, guess('c'), 8),
  ]) {
    kept = keep();
    expect(isWiped(kept.blind)).toBe(false);
    forget();
    expect(isWiped(kept.blind)).toBe(true);
    guesses.take(place, utf8('none'));
  }
});
