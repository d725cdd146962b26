/** Figures as people read them. */

import type { Unit } from '../../dashboard/index.ts';
import { type Words, wordsOf } from '../common/index.ts';
import { LANGUAGE, TEXTS } from './texts.ts';

export const words: Words = wordsOf(LANGUAGE);

const clock = new Intl.DateTimeFormat(LANGUAGE, { timeStyle: 'medium', timeZone: 'UTC' });
const minutes = new Intl.DateTimeFormat(LANGUAGE, {
  ...{ day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', timeZone: 'UTC' },
});

/** Such as `11:05:30 UTC`. */
export const clockTime = (time: number): string => `${clock.format(time)} UTC`;

/** The time of a row: seconds where steps are that short, the day where a range is that long. */
export const stepTime = (time: number, step: number): string => (step < 60_000 ? clock : minutes).format(time);

const hours = new Intl.DateTimeFormat(LANGUAGE, { hour: '2-digit', minute: '2-digit', timeZone: 'UTC' });
const days = new Intl.DateTimeFormat(LANGUAGE, { day: 'numeric', month: 'short', timeZone: 'UTC' });

/** Below an axis: days where steps are hours. */
export const axisTime = (time: number, step: number): string => (step < 3_600_000 ? hours : days).format(time);

/** A duration in seconds in the unit that shows it best: `0.12 ms`, `3.4 ms`, `1.2 s`. */
export function seconds(value: number): string {
  if (value === 0) return '0 ms';
  const [amount, unit] = value < 0.001 ? [value * 1e6, 'µs'] : value < 1 ? [value * 1000, 'ms'] : [value, 's'];
  const digits = amount < 10 ? 1 : 0;
  return `${amount.toFixed(digits)}\u00a0${unit}`;
}

/** `1.1 MB`. */
export const bytes = (value: number): string => `${(value / 1e6).toFixed(1)}\u00a0MB`;

export const valueText = (unit: Unit, value: number): string =>
  unit === 'seconds' ? seconds(value) : words.number(value);

/** A number that may not be known. */
export const known = (value: number | null): string => (value === null ? TEXTS.nodes.unknown : words.number(value));
