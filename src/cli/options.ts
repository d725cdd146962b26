/** Values of command-line options, checked while they are parsed. */

import { type Command, InvalidArgumentError, Option } from 'commander';

/** For `Option.argParser`: a whole number in a range. */
export function whole(minimum: number, maximum: number) {
  return (text: string): number => {
    const value = Number(text);
    if (/^\d{1,12}$/.test(text) && value >= minimum && value <= maximum) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${maximum}.`);
  };
}

/** `0,0,1,60`: seconds. */
export function seconds(text: string): number[] {
  const values = text.split(',').map((part) => part.trim());
  if (!values.every((part) => /^\d{1,8}$/.test(part))) {
    throw new InvalidArgumentError('It must be seconds with commas between, such as 0,0,0,60.');
  }
  return values.map(Number);
}

export function words(text: string): string[] {
  return text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

export function takeover(text: string) {
  if (text === 'off' || text === 'immediate') return { kind: text } as const;
  if (/^[1-9]\d{0,7}$/.test(text)) return { kind: 'delayed', seconds: Number(text) } as const;
  throw new InvalidArgumentError('It must be off, immediate or a number of seconds.');
}

/** 1, 3, 5, 7 or 9. */
export function nodeCount(text: string): number {
  if (/^[13579]$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A fleet has 1, 3, 5, 7 or 9 nodes.');
}

/** RFC 3339 in UTC with whole seconds, as milliseconds since 1970. */
export function moment(text: string): number {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time) && new Date(time).toISOString().replace('.000Z', 'Z') === text) return time;
  throw new InvalidArgumentError('It must be a time such as 2027-01-31T00:00:00Z.');
}

export const collect = (text: string, before: readonly string[] = []): string[] => [...before, text];

/** An option with a checked value. */
export function checked<T>(flags: string, description: string, parse: (text: string) => T, fallback?: T): Option {
  const option = new Option(flags, description).argParser(parse);
  return fallback === undefined ? option : option.default(fallback);
}

/** A command's `--help` ends with examples. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}`);
}
