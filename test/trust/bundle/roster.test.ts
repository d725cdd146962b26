import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRoster, type Roster, type RosterEntry, serialiseRoster } from '../../../src/trust/index.ts';

const digest = fc.stringMatching(/^[0-9a-f]{64}$/);
const rosters: fc.Arbitrary<Roster> = fc
  .record({
    number: fc.integer({ min: 1, max: 1_000_000 }),
    previous: digest,
    size: fc.integer({ min: 0, max: 2 ** 50 }),
    policy: fc.option(digest),
    fleets: fc.uniqueArray(
      fc.record<RosterEntry>({
        fleet: fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/),
        serial: fc.integer({ min: 1, max: 100 }),
        digest,
        index: fc.integer({ min: 0, max: 1000 }),
        state: fc.constantFrom('live', 'retired', 'revoked'),
      }),
      { selector: ({ fleet }) => fleet, maxLength: 20 },
    ),
  })
  .map(({ number, previous, fleets, ...rest }) => ({
    ...rest,
    origin: 'log.example/family/production',
    number,
    previous: number === 1 ? null : previous,
    fleets: fleets.toSorted((a, b) => (a.fleet < b.fleet ? -1 : 1)),
  }));

describe('a roster’s text', () => {
  it('is read back as what it was made from', () => {
    fc.assert(
      fc.property(rosters, (roster) => {
        const { digest: _, ...read } = parseRoster(serialiseRoster(roster));
        expect(read).toEqual(roster);
      }),
      { numRuns: 100 },
    );
  });

  const entry = (fleet: string): RosterEntry => ({ fleet, serial: 1, digest: 'd'.repeat(64), index: 3, state: 'live' });
  const roster: Roster = {
    origin: 'log',
    number: 1,
    previous: null,
    size: 4,
    fleets: [entry('a'), entry('b')],
    policy: null,
  };
  const text = serialiseRoster(roster);

  it.each<[string, string]>([
    ['fleets in another order', text.replace('"a"', '"c"')],
    ['a fleet twice', text.replace('"a"', '"b"')],
    ['an unknown state', text.replace('"live"', '"dead"')],
    ['a previous roster before the first', text.replace('"previous":null', `"previous":"${'a'.repeat(64)}"`)],
    ['an unknown member', text.replace('"size"', '"more":1,"size"')],
    ['white space', text.replace(':4', ': 4')],
  ])('is refused with %s', (_, changed) => {
    expect(changed).not.toBe(text);
    expect(() => parseRoster(changed)).toThrow(expect.objectContaining({ code: 'bundle_malformed' }));
  });
});
