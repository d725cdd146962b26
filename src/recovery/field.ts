/** Arithmetic of GF(32) (as bech32 has it, BIP-173) and of GF(1024) above it, and linear equations over either. */

export interface Field {
  multiply(a: number, b: number): number;
  /** The inverse of anything but 0. */
  invert(a: number): number;
}

/** Carry-less product modulo x^5 + x^3 + 1. */
function multiply32(a: number, b: number): number {
  let product = 0;
  for (let bit = 0, shifted = a; bit < 5; bit++) {
    if ((b >> bit) & 1) product ^= shifted;
    shifted <<= 1;
    if (shifted & 32) shifted ^= 0b101001;
  }
  return product;
}

const PRODUCTS = Uint8Array.from({ length: 1024 }, (_, i) => multiply32(i >> 5, i & 31));

/** Elements are 0 to 31; addition is exclusive or. */
export const GF32: Field = {
  multiply: (a, b) => PRODUCTS[(a << 5) | b]!,
  invert: (a) => power(GF32, a, 30),
};

/** Elements are `low + 32 * high` for `low + high z` with z^2 = z + 1 over GF(32); addition is exclusive or. */
export const GF1024: Field = {
  multiply(a, b) {
    const [a0, a1, b0, b1] = [a & 31, a >> 5, b & 31, b >> 5];
    const high = GF32.multiply(a1, b1);
    const cross = GF32.multiply(a0, b1) ^ GF32.multiply(a1, b0) ^ high;
    return (GF32.multiply(a0, b0) ^ high) | (cross << 5);
  },
  invert: (a) => power(GF1024, a, 1022),
};

export function power(field: Field, base: number, exponent: number): number {
  let result = 1;
  for (let square = base, left = exponent; left > 0; left >>= 1, square = field.multiply(square, square)) {
    if (left & 1) result = field.multiply(result, square);
  }
  return result;
}

/**
 * The one solution x of `columns` · x = `target`, by elimination.
 * @param columns one for each unknown, as long as `target`.
 * @returns undefined where there is none, or more than one.
 */
export function solve(field: Field, columns: readonly (readonly number[])[], target: readonly number[]) {
  const unknowns = columns.length;
  const rows = target.map((value, row) => [...columns.map((column) => column[row]!), value]);
  for (let at = 0; at < unknowns; at++) {
    const pivot = rows.findIndex((row, index) => index >= at && row[at] !== 0);
    if (pivot < 0) return undefined;
    [rows[at], rows[pivot]] = [rows[pivot]!, rows[at]!];
    const inverse = field.invert(rows[at]![at]!);
    const head = rows[at]!.map((value) => field.multiply(value, inverse));
    rows[at] = head;
    for (const [index, row] of rows.entries()) {
      const factor = row[at]!;
      if (index === at || factor === 0) continue;
      rows[index] = row.map((value, column) => value ^ field.multiply(factor, head[column]!));
    }
  }
  if (rows.slice(unknowns).some((row) => row[unknowns] !== 0)) return undefined;
  return rows.slice(0, unknowns).map((row) => row[unknowns]!);
}
