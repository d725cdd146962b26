/** Many clients at one record, through two coordinators at once. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { VaultClient } from '../../src/client/index.ts';
import { asHoldfastError, bytesToHex, type HoldfastError } from '../../src/core/index.ts';
import { type ClientAnswer, decodeBody, decodeCertificate } from '../../src/protocol/index.ts';
import { codeOf, FaultFleet, PIN, recovers, until, WRONG } from './fault-fleet.ts';

let fleet: FaultFleet;

beforeAll(async () => {
  fleet = await FaultFleet.launch((down) => {
    // So that it is the guess bound that holds clients back, and not the limit on their requests.
    for (const node of [1, 2, 3, 4, 5]) {
      down.edit(down.folder.configuration(`node-${node}`), (content) => {
        content.requestsPerRecord = 100_000;
      });
    }
  });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

/** Guesses that a majority counted: nothing is evaluated without such a certificate, and a retry has the same one. */
class Certified {
  /** The blinded element's hash, by number. */
  readonly numbers = new Map<number, string>();

  readonly onAnswer = ({ certificate }: ClientAnswer): void => {
    if (!certificate) return;
    const body = decodeBody(decodeCertificate(certificate).body);
    if (body.kind !== 'attempt') return;
    const hash = bytesToHex(body.blindHash);
    if ((this.numbers.get(body.attempt) ?? hash) !== hash) throw new Error(`number ${body.attempt} has two elements`);
    this.numbers.set(body.attempt, hash);
  };
}

/** What became of each guess. */
async function guesses(clients: readonly VaultClient[], pin: string): Promise<(HoldfastError | 'right')[]> {
  return Promise.all(
    clients.map((client) =>
      client.recover(pin).then(
        () => 'right' as const,
        (thrown: unknown) => asHoldfastError(thrown),
      ),
    ),
  );
}

/** Clear answers: each says what happened, or that nothing did and what to do. */
const CLEAR = ['wrong_pin', 'conflict', 'spent', 'destroyed', 'no_majority', 'not_found'];

const codes = (outcomes: readonly (HoldfastError | 'right')[]) =>
  outcomes.map((outcome) => (outcome === 'right' ? 'right' : outcome.code));

test('twenty wrong guesses through two coordinators: no more than ten are answered, and each client learns how it went', async () => {
  await fleet.enrolled('alice');
  const certified = new Certified();
  const { onAnswer } = certified;
  const clients = await Promise.all(
    Array.from({ length: 20 }, (_, i) => fleet.client('alice', { onAnswer, coordinators: [1 + (i % 2)] })),
  );
  const seen = codes(await guesses(clients, WRONG));
  expect(seen.filter((code) => !CLEAR.includes(code))).toEqual([]);
  const answered = seen.filter((code) => code === 'wrong_pin').length;
  expect(answered).toBeGreaterThan(0);
  expect(answered).toBeLessThanOrEqual(10);
  expect(new Set(certified.numbers.values()).size).toBeLessThanOrEqual(10);
  expect(Math.max(...certified.numbers.keys())).toBeLessThanOrEqual(1 + 10);
});

test('ten wrong guesses at once spend the budget: the right PIN comes too late, and the record is destroyed for good', async () => {
  const owner = await fleet.enrolled('bob');
  const certified = new Certified();
  const { onAnswer } = certified;
  const clients = await Promise.all(Array.from({ length: 10 }, () => fleet.client('bob', { onAnswer })));
  let answered = codes(await guesses(clients, WRONG)).filter((code) => code === 'wrong_pin').length;
  expect(answered).toBeLessThanOrEqual(10);
  // Numbers that went to two guesses at once answer neither; what is left of the budget is guessed away one by one.
  for (let code = ''; !['spent', 'destroyed'].includes(code); ) {
    code = await codeOf(clients[0]!.recover(WRONG));
    if (code === 'wrong_pin') answered++;
    // One that was not answered in time is made again.
    else expect(['spent', 'destroyed', 'conflict', 'no_majority']).toContain(code);
  }
  expect(answered).toBeLessThanOrEqual(10);
  expect(certified.numbers.size).toBeLessThanOrEqual(10);
  expect(certified.numbers.size).toBeGreaterThanOrEqual(answered);
  expect(['spent', 'destroyed']).toContain(await codeOf(owner.recover(PIN)));
  await until('it is destroyed', async () => (await owner.status()).state === 'destroyed');
  await fleet.down();
  await fleet.up();
  expect(await owner.status()).toMatchObject({ state: 'destroyed', attemptsLeft: 0 });
  expect(await codeOf(owner.recover(PIN))).toBe('destroyed');
});

test('right and wrong guesses at once: the right ones get the secret, and no guess is answered twice', async () => {
  const owner = await fleet.enrolled('carol');
  const right = await Promise.all([1, 2].map((number) => fleet.client('carol', { coordinators: [number] })));
  const wrong = await Promise.all([1, 2].map((number) => fleet.client('carol', { coordinators: [number] })));
  const [opened, refused] = await Promise.all([guesses(right, PIN), guesses(wrong, WRONG)]);
  expect(codes(refused).filter((code) => !CLEAR.includes(code))).toEqual([]);
  expect(codes(opened).filter((code) => code !== 'right' && code !== 'conflict')).toEqual([]);
  expect(await recovers(owner)).toBe(true);
  expect(await owner.status()).toMatchObject({ attemptsLeft: 10, attemptsSinceSuccess: 0 });
});
