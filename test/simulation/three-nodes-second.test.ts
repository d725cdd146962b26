/** Section 8's properties 1 to 4 under everything that a seed can do to a fleet of three nodes: the second half of the seeds. */

import { describe, it } from 'vitest';
import { campaign } from './campaign.ts';

describe('a fleet of honest and malicious parties', () => {
  it('keeps its properties in 750 runs of 3 nodes', () => campaign(3, 751, 750), 900_000);
});
