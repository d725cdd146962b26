/** Section 8's properties 1 to 4 under everything that a seed can do to a fleet of five nodes. */

import { describe, it } from 'vitest';
import { campaign } from './campaign.ts';

describe('a fleet of honest and malicious parties', () => {
  it('keeps its properties in 600 runs of 5 nodes', () => campaign(5, 100_001, 600), 900_000);
});
