/** Bars of one repair: what a peer that agreed with this node counts for, however many are heard after it. */

import { describe, expect, it } from 'vitest';
import type { Committer } from '../../src/node/committer.ts';
import { silentObserver } from '../../src/node/index.ts';
import { PeerState } from '../../src/node/peer-state.ts';
import { factsOf, type RecordFacts, type RecordState, transitions } from '../../src/protocol/index.ts';
import { activated, attempted, contextOf, enrolment, makeFleet, named, RECORD } from '../protocol/fixtures.ts';

const fleet = makeFleet(5);
const context = contextOf(fleet);
const first = enrolment(fleet, 1);
const four = attempted(context, first, activated(context, first), 4);

/** A repair of a node whose record stands at number 4. */
function repair(start: RecordState = four) {
  let state = start;
  const committer = {
    node: () => ({ sound: true }),
    update: async (_: Uint8Array, decide: (before: RecordState) => { state: RecordState }) => {
      state = decide(state).state;
    },
  } as unknown as Committer;
  const peers = new PeerState({ committer, transitions, observer: silentObserver, context: () => context });
  return {
    barred: () => state.active?.barred,
    hear: (words: readonly (readonly [number, RecordFacts | undefined])[], joining = false) =>
      peers.adopt(RECORD, new Map(words), 4 - words.length, joining),
  };
}

const at = (attempt: number, vote: string): RecordFacts => {
  const facts = factsOf(four);
  return { ...facts, active: { ...facts.active!, attempt, vote: named(vote) } };
};

describe('a peer that agreed with this node', () => {
  it('stands for what it agreed with, and keeps no bar up that this node has put up since', async () => {
    const node = repair();
    await node.hear([
      [2, at(5, 'a')],
      [3, undefined],
      [4, undefined],
    ]);
    expect(node.barred()).toEqual({ upTo: 5, vote: named('a') });
    // The fourth one has not voted for number 5 either: fewer than t - 1 have.
    await node.hear([
      [2, at(5, 'a')],
      [3, undefined],
      [4, undefined],
      [5, at(4, 'x')],
    ]);
    expect(node.barred()).toBeUndefined();
  });

  it('counts with the bar where it agreed after that was put up', async () => {
    const node = repair();
    await node.hear([
      [2, at(5, 'a')],
      [3, undefined],
      [4, undefined],
    ]);
    await node.hear([
      [2, at(5, 'a')],
      [3, undefined],
      [4, undefined],
      [5, undefined],
    ]);
    expect(node.barred()).toEqual({ upTo: 5, vote: named('a') });
  });

  it('lifts no bar that the node had when it entered the epoch', async () => {
    const barred = { upTo: 5, vote: named('z') };
    const node = repair({ ...four, active: { ...four.active!, barred } });
    await node.hear(
      [
        [2, at(4, 'x')],
        [3, at(4, 'x')],
        [4, at(4, 'x')],
      ],
      true,
    );
    expect(node.barred()).toEqual(barred);
    await node.hear(
      [
        [2, at(4, 'x')],
        [3, at(4, 'x')],
        [4, at(4, 'x')],
        [5, at(4, 'x')],
      ],
      true,
    );
    expect(node.barred()).toEqual(barred);
    await node.hear([
      [2, at(4, 'x')],
      [3, at(4, 'x')],
      [4, at(4, 'x')],
      [5, at(4, 'x')],
    ]);
    expect(node.barred()).toBeUndefined();
  });
});
