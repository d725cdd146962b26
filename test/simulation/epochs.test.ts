/** Section 8's properties 1 to 4 while nodes are replaced, some of them with their old machines running on. */

import { describe, it } from 'vitest';
import { campaign } from './campaign.ts';

describe('a fleet whose membership changes', () => {
  it('keeps its properties in 150 runs of 3 nodes', () => campaign(3, 200_001, 150, true), 900_000);
  it('keeps its properties in 150 runs of 5 nodes', () => campaign(5, 300_001, 150, true), 900_000);
});
