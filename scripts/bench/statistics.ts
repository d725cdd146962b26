/** Quantiles of measured numbers. */

/** The value below which the share `q` (0 to 1) of the numbers lies: the nearest rank. NaN where there are none. */
export function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * q) - 1))] ?? Number.NaN;
}

export const median = (numbers: readonly number[]): number => quantile(numbers, 0.5);

export const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, number) => total + number, 0);

/** Rounded to `digits` significant digits, for reports. */
export const round = (number: number, digits = 4): number =>
  Number.isFinite(number) ? Number(number.toPrecision(digits)) : number;
