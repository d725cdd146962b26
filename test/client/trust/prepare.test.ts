/** Stretching a PIN beside the first look at its record: once, and only where nothing else waits for it. */

import { describe, expect, it } from 'vitest';
import { type ClientSuite, standardSuite } from '../../../src/client/index.ts';
import { utf8 } from '../../../src/core/index.ts';
import { TrustScene } from './trust-scene.ts';

const SECRET = utf8('kept');

/** The real suite, noting when it stretches; `aside` as its runtime would say. */
function noting(events: string[], aside: boolean): ClientSuite {
  const real = standardSuite();
  return {
    ...real,
    stretchesAside: aside,
    stretch(...input) {
      events.push('stretch');
      return real.stretch(...input);
    },
  };
}

async function scene() {
  const made = await TrustScene.create();
  const events: string[] = [];
  await (await made.vault('alice')).enrol('493027', SECRET);
  const fleet = made.fleet('first');
  fleet.intercept = (request, next) => {
    events.push(request.operation);
    return next();
  };
  return { made, events };
}

describe('a PIN', () => {
  it('is stretched before its record is looked at, once, where that is done aside', async () => {
    const { made, events } = await scene();
    const vault = await made.vault('alice', { suite: noting(events, true) });
    expect((await vault.recover('493027')).secret.reveal()).toEqual(SECRET);
    expect(events.filter((event) => event === 'stretch')).toHaveLength(1);
    expect(events[0]).toBe('stretch');
    events.length = 0;
    await expect(vault.recover('111111')).rejects.toMatchObject({ code: 'wrong_pin' });
    expect(events.filter((event) => event === 'stretch')).toHaveLength(1);
    expect((await vault.recover('493027')).secret.reveal()).toEqual(SECRET);
  });

  it('is stretched when it is needed, where that keeps everything waiting', async () => {
    const { made, events } = await scene();
    const vault = await made.vault('alice', { suite: noting(events, false) });
    await vault.recover('493027');
    expect(events.filter((event) => event === 'stretch')).toHaveLength(1);
    expect(events.indexOf('stretch')).toBeGreaterThan(events.indexOf('status'));
  });

  it('is stretched for one fleet only, where a record may be in two', async () => {
    const { made, events } = await scene();
    await made.deploy('second');
    await made.retire('first', { successor: 'second' });
    const vault = await made.vault('alice', { suite: noting(events, true) });
    await vault.recover('493027');
    expect(events.indexOf('stretch')).toBeGreaterThan(events.indexOf('status'));
  });

  it('that is none is told as such, and asks nothing of the record', async () => {
    const { made, events } = await scene();
    const vault = await made.vault('alice', { suite: noting(events, true) });
    await expect(vault.recover('')).rejects.toMatchObject({ code: 'bad_input' });
    expect(events).not.toContain('attempt');
    expect(events).not.toContain('stretch');
  });
});
