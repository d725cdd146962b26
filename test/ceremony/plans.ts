/** Plans and records for tests, given and arbitrary. */

import fc from 'fast-check';
import {
  CEREMONY_ROLES,
  type CeremonyPlan,
  type Entry,
  scriptDigest,
  stepsOf,
  TOKEN_STATES,
} from '../../src/ceremony/index.ts';

export const ED25519_SPKI = Uint8Array.from([
  ...Buffer.from('302a300506032b6570032100', 'hex'),
  ...Buffer.alloc(32, 7),
]);

export const plan: CeremonyPlan = {
  name: 'first',
  keys: { kind: 'node', fleet: 'main', node: 'node-1' },
  token: { state: 'empty', module: 'module.so', label: 'vault 1', slot: null, serial: null },
  pinLength: 24,
  seals: true,
  people: [
    { name: 'Anna', role: 'operator', key: ED25519_SPKI },
    { name: 'Ben', role: 'witness', key: null },
  ],
};

const printable = (minimum: number, maximum: number) =>
  fc
    .string({ unit: 'grapheme', minLength: minimum, maxLength: maximum })
    .filter((text) => text.length >= minimum && text.length <= maximum && /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u.test(text));
const word = (pattern: RegExp) => fc.stringMatching(pattern);

const keys: fc.Arbitrary<CeremonyPlan['keys']> = fc.oneof(
  fc.record({
    kind: fc.constant('node' as const),
    fleet: word(/^[a-z0-9._-]{1,64}$/),
    node: word(/^[a-z0-9._-]{1,64}$/),
  }),
  fc.record({
    kind: fc.constant('signing' as const),
    role: fc.constantFrom(...CEREMONY_ROLES),
    name: word(/^[a-z0-9.]{1,100}$/),
    origin: fc.option(word(/^[a-z0-9./]{1,100}$/)),
  }),
);

export const plans: fc.Arbitrary<CeremonyPlan> = fc.record({
  name: word(/^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$/),
  keys,
  token: fc.record({
    state: fc.constantFrom(...TOKEN_STATES),
    module: printable(1, 40),
    label: printable(1, 32).filter((text) => Buffer.byteLength(text) <= 32 && text.trim() === text),
    slot: fc.option(fc.nat()),
    serial: fc.option(printable(1, 64)),
  }),
  pinLength: fc.integer({ min: 8, max: 64 }),
  seals: fc.boolean(),
  people: fc.uniqueArray(
    fc.record({
      name: printable(1, 128),
      role: printable(1, 128),
      key: fc.option(fc.uint8Array({ minLength: 44, maxLength: 44 })),
    }),
    { minLength: 1, maxLength: 16, selector: ({ name }) => name },
  ),
});

const facts: fc.Arbitrary<never> = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'grapheme' }),
    fc.maxSafeInteger().map((value) => (Object.is(value, -0) ? 0 : value)),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('any'), { maxLength: 3 }),
    // A member of this name is no member of an object literal.
    fc.dictionary(
      fc.string({ unit: 'grapheme' }).filter((name) => name !== '__proto__'),
      tie('any'),
      { maxKeys: 3 },
    ),
  ),
})).any as fc.Arbitrary<never>;

/** Entries of a ceremony that happened: attempts that failed or were interrupted, answers, and the end or not. */
export const histories: fc.Arbitrary<{ plan: CeremonyPlan; entries: Entry[] }> = plans.chain((made) =>
  fc
    .array(
      fc.record({
        fails: fc.constantFrom('no' as const, 'failed' as const, 'interrupted' as const),
        resumed: fc.boolean(),
        answers: fc.array(fc.tuple(printable(1, 80), printable(1, 80)), { maxLength: 2 }),
        finding: printable(1, 200),
        facts,
        milliseconds: fc.nat(),
      }),
      { maxLength: 40 },
    )
    .map((attempts) => ({ plan: made, entries: entriesOf(made, attempts) })),
);

interface Attempt {
  readonly fails: 'no' | 'failed' | 'interrupted';
  readonly resumed: boolean;
  readonly answers: readonly (readonly [string, string])[];
  readonly finding: string;
  readonly facts: never;
  readonly milliseconds: number;
}

function entriesOf(made: CeremonyPlan, attempts: readonly Attempt[]): Entry[] {
  const entries: Entry[] = [{ kind: 'opened', plan: made, version: '0.0.0', script: scriptDigest(made) }];
  const left = [...stepsOf(made)];
  let attempt = 1;
  for (const { fails, resumed, answers, finding, facts: found, milliseconds } of attempts) {
    const step = left[0];
    if (!step) break;
    if (resumed) entries.push({ kind: 'resumed', interrupted: null });
    entries.push({ kind: 'began', step: step.name, attempt, command: step.command });
    for (const [question, answer] of answers) entries.push({ kind: 'answered', step: step.name, question, answer });
    attempt = fails === 'no' ? 1 : attempt + 1;
    if (fails === 'interrupted') {
      entries.push({ kind: 'resumed', interrupted: step.name });
      continue;
    }
    const result = fails === 'no' ? 'done' : 'failed';
    entries.push({ kind: 'ended', step: step.name, result, finding, facts: found, milliseconds });
    if (fails === 'no') left.shift();
  }
  if (left.length === 0) entries.push({ kind: 'closed' });
  return entries;
}
