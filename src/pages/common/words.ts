/** Numbers and times as people read them, in the language of the page. */

export interface Words {
  /** Such as `21 November 2026 at 11:00 UTC`. Milliseconds since 1970. */
  dateTime(time: number): string;
  /** Such as `21 November 2026`. */
  date(time: number): string;
  /** Such as `3 minutes ago`. */
  ago(time: number, now: number): string;
  number(value: number): string;
  /** Such as `about 3 hours`, in the largest unit that fits. */
  duration(milliseconds: number): string;
}

const UNITS: readonly (readonly [Intl.RelativeTimeFormatUnit & string, number])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
];

/** `language` is a BCP 47 tag. All times are shown in UTC, so that two people who compare them read the same. */
export function wordsOf(language: string): Words {
  const dates = new Intl.DateTimeFormat(language, { dateStyle: 'long', timeZone: 'UTC' });
  const times = new Intl.DateTimeFormat(language, { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto' });
  const numbers = new Intl.NumberFormat(language);
  const inUnit = (milliseconds: number): [number, (typeof UNITS)[number][0]] => {
    const [unit, size] = UNITS.find(([, one]) => Math.abs(milliseconds) >= one) ?? UNITS.at(-1)!;
    return [Math.round(milliseconds / size), unit];
  };
  return {
    date: (time) => dates.format(time),
    dateTime: (time) => `${times.format(time)} UTC`,
    ago(time, now) {
      const [amount, unit] = inUnit(time - now);
      return relative.format(amount, unit);
    },
    number: (value) => numbers.format(value),
    duration(milliseconds) {
      const [amount, unit] = inUnit(milliseconds);
      return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(amount);
    },
  };
}
