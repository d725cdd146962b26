/** The operator's override of the repair barrier (docs/protocol.md, section 7). */

import { describe, expect, it } from 'vitest';
import { InProcessFleet } from './in-process.ts';

describe('an operator’s override', () => {
  it('lets one node serve where too few others can be reached, and only where it names that node and epoch', async () => {
    const fleet = await InProcessFleet.create(3);
    for (const node of [1, 2, 3]) fleet.kill(node);
    await fleet.start(1);
    await fleet.settle();
    expect(fleet.members[0]!.node!.phase).toBe('repairing');
    fleet.kill(1);
    await fleet.start(1, { node: 1, epoch: 1, reason: 'both others burnt' });
    expect(fleet.members[0]!.node!.phase).toBe('serving');
    fleet.kill(1);
    await expect(fleet.start(1, { node: 2, epoch: 1, reason: 'x' })).rejects.toMatchObject({ code: 'usage' });
    await expect(fleet.start(1, { node: 1, epoch: 2, reason: 'x' })).rejects.toMatchObject({ code: 'usage' });
  });
});
