/** Quantiles of a histogram, estimated as Prometheus's `histogram_quantile` does: evenly spread within a bucket. */

/**
 * @param q between 0 and 1.
 * @param bounds growing, above zero; the first bucket begins at 0.
 * @param counts one more than the bounds, not cumulative. What is in the last one counts as the greatest bound.
 * @returns undefined where there is nothing.
 */
export function quantile(q: number, bounds: readonly number[], counts: readonly number[]): number | undefined {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (!(all > 0)) return undefined;
  const rank = q * all;
  let below = 0;
  for (const [i, count] of counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const upper = bounds[i];
      if (upper === undefined) break;
      const lower = i === 0 ? 0 : bounds[i - 1]!;
      return lower + ((upper - lower) * Math.max(0, rank - below)) / count;
    }
    below += count;
  }
  return bounds.at(-1);
}
