/** What a node keeps of itself: fences only rise, each with the proof it was raised by. */

import { describe, expect, it } from 'vitest';
import { decodeNodeState, emptyNodeState, encodeNodeState, raiseFence } from '../../src/protocol/index.ts';
import { named } from './fixtures.ts';

describe('a node’s own state', () => {
  it('begins with a fence and a proof for each node, and unsound', () => {
    const empty = emptyNodeState(5);
    expect(empty).toMatchObject({ incarnation: 0, fences: [0, 0, 0, 0, 0], sound: false });
    expect(empty.proofs.map((proof) => proof.length)).toEqual([0, 0, 0, 0, 0]);
    expect(decodeNodeState(encodeNodeState(empty))).toEqual(empty);
  });

  it('takes a higher fence with its proof, of that node only', () => {
    const raised = raiseFence(emptyNodeState(3), 2, 4, named('rejoin 4'));
    expect(raised.fences).toEqual([0, 4, 0]);
    expect(raised.proofs).toEqual([new Uint8Array(0), named('rejoin 4'), new Uint8Array(0)]);
    expect(decodeNodeState(encodeNodeState(raised))).toEqual(raised);
  });

  it('never lowers a fence, and keeps the proof of the one that stands', () => {
    const raised = raiseFence(emptyNodeState(3), 2, 4, named('rejoin 4'));
    for (const incarnation of [0, 3, 4]) expect(raiseFence(raised, 2, incarnation, named('other'))).toBe(raised);
    expect(raiseFence(raised, 2, 5, named('rejoin 5'))).toMatchObject({
      fences: [0, 5, 0],
      proofs: [new Uint8Array(0), named('rejoin 5'), new Uint8Array(0)],
    });
  });
});
