/** The operator's credential and sessions: who gets in, for how long, and what guessing costs. */

import { describe, expect, it } from 'vitest';
import {
  IDLE_MILLISECONDS,
  MAXIMUM_FAILURES,
  SESSION_MILLISECONDS,
  Sessions,
} from '../../src/coordinator/operator/sessions.ts';
import { type Clock, HoldfastError, systemRandom } from '../../src/core/index.ts';
import { networkOf } from '../../src/http/index.ts';

const CREDENTIAL = 'correct-horse-battery-staple';
const ADDRESS = '192.0.2.1';

function make(credential = CREDENTIAL) {
  let now = 1_000_000;
  const clock: Clock = { now: () => now, sleep: async () => {} };
  const sessions = new Sessions({ credential, clock, random: systemRandom });
  const codeOf = (body: () => unknown) => {
    try {
      body();
      return 'ok';
    } catch (error) {
      return error instanceof HoldfastError ? error.code : String(error);
    }
  };
  return {
    sessions,
    wait: (milliseconds: number) => {
      now += milliseconds;
    },
    guess: (presented: string, address = ADDRESS) => codeOf(() => sessions.begin(presented, address)),
  };
}

describe('a credential', () => {
  it.each([
    '',
    'short',
    'nineteen-characters',
    'x'.repeat(513),
    'with spaces in between',
    'with\nnew lines in between',
    'ümlauts-are-not-typed-everywhere',
  ])('is refused as %j', (credential) => {
    expect(() => make(credential)).toThrow(HoldfastError);
  });

  it('gets in exactly as it is, and no other', () => {
    const { guess } = make();
    expect(guess(CREDENTIAL)).toBe('ok');
    for (const wrong of [CREDENTIAL.slice(1), `${CREDENTIAL} `, CREDENTIAL.toUpperCase(), '', 'x'.repeat(512)]) {
      expect(guess(wrong, `198.51.100.${wrong.length % 256}`)).toBe('not_authenticated');
    }
  });

  it('that is wrong and one that is missing look the same', () => {
    const { sessions } = make();
    const messages = ['', 'x', CREDENTIAL.slice(1)].map((wrong) => {
      try {
        sessions.begin(wrong, ADDRESS);
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    });
    expect(new Set(messages).size).toBe(1);
    expect(messages[0]).not.toBe('');
  });
});

describe('guessing', () => {
  it('is cut off after some tries of one address, also for the right one, and only for a minute', () => {
    const { guess, wait } = make();
    for (let i = 0; i < MAXIMUM_FAILURES; i++) expect(guess(`wrong-${i}`)).toBe('not_authenticated');
    expect(guess('wrong again')).toBe('rate_limited');
    expect(guess(CREDENTIAL)).toBe('rate_limited');
    expect(guess(CREDENTIAL, '192.0.2.2')).toBe('ok');
    wait(60_000);
    expect(guess(CREDENTIAL)).toBe('ok');
  });

  it('counts whoever has a network of IPv6 as one', () => {
    const { guess } = make();
    for (let i = 0; i < MAXIMUM_FAILURES; i++) guess('wrong', `2001:db8:1:2:${i}::1`);
    expect(guess(CREDENTIAL, '2001:db8:1:2:ffff::9')).toBe('rate_limited');
    expect(guess(CREDENTIAL, '2001:db8:1:3::9')).toBe('ok');
    expect(networkOf('::1')).toBe('0:0:0:0');
    expect(networkOf('fe80::1%eth0')).toBe('fe80:0:0:0');
    expect(networkOf('2001:db8::')).toBe('2001:db8:0:0');
    expect(networkOf('::ffff:192.0.2.1')).toBe('::ffff:192.0.2.1');
  });

  it('ends no session that there is', () => {
    const { sessions, guess } = make();
    const name = sessions.begin(CREDENTIAL, ADDRESS);
    for (let i = 0; i <= MAXIMUM_FAILURES; i++) guess('wrong');
    expect(sessions.continues(name)).toBe(true);
  });
});

describe('a session', () => {
  it('goes on while it is used, to its end', () => {
    const { sessions, wait } = make();
    const name = sessions.begin(CREDENTIAL, ADDRESS);
    for (let passed = 0; passed + IDLE_MILLISECONDS - 1 < SESSION_MILLISECONDS; passed += IDLE_MILLISECONDS - 1) {
      expect(sessions.continues(name)).toBe(true);
      wait(IDLE_MILLISECONDS - 1);
    }
    wait(IDLE_MILLISECONDS - 1);
    expect(sessions.continues(name)).toBe(false);
  });

  it('ends when nobody uses it, when it is ended, and where the clock went back behind it', () => {
    const { sessions, wait } = make();
    const [idle, ended] = [sessions.begin(CREDENTIAL, ADDRESS), sessions.begin(CREDENTIAL, ADDRESS)];
    sessions.end(ended);
    expect(sessions.continues(ended)).toBe(false);
    wait(IDLE_MILLISECONDS);
    expect(sessions.continues(idle)).toBe(false);
    const early = sessions.begin(CREDENTIAL, ADDRESS);
    wait(-1);
    expect(sessions.continues(early)).toBe(false);
  });

  it('has a name that is nobody else’s, and no other name is one', () => {
    const { sessions } = make();
    const names = Array.from({ length: 50 }, () => sessions.begin(CREDENTIAL, ADDRESS));
    expect(new Set(names).size).toBe(50);
    for (const wrong of ['', 'x', `${names[0]}x`, names[0]!.slice(1), CREDENTIAL])
      expect(sessions.continues(wrong)).toBe(false);
  });

  it('makes room: the oldest ends for the 65th', () => {
    const { sessions } = make();
    const first = sessions.begin(CREDENTIAL, ADDRESS);
    const others = Array.from({ length: 64 }, () => sessions.begin(CREDENTIAL, ADDRESS));
    expect(sessions.continues(first)).toBe(false);
    expect(others.every((name) => sessions.continues(name))).toBe(true);
  });
});
