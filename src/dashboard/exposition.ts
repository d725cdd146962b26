/** Reading the Prometheus text format 0.0.4, from nodes that may say anything: bounded, linear in time, and never throwing. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Finite. */
  readonly value: number;
}

/** UTF-16 units of text that are read; what follows is passed over. */
export const MAXIMUM_EXPOSITION = 262_144;
/** Samples that are kept. */
const MAXIMUM_SAMPLES = 4096;
const MAXIMUM_LABELS = 8;
/** UTF-16 units. */
const MAXIMUM_LINE = 1024;

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,?)/;
const VALUE = /^[ \t]+([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?)(?:[ \t]+-?\d{1,15})?[ \t]*$/;

/**
 * The samples whose names `wanted` takes. Comments, other names, values that are no finite decimal numbers and lines that are
 * not of the format are passed over: a node that says nonsense shows as one without figures, and stops nobody else.
 */
export function parseExposition(text: string, wanted: (name: string) => boolean): Sample[] {
  const samples: Sample[] = [];
  const bounded = text.length > MAXIMUM_EXPOSITION ? text.slice(0, MAXIMUM_EXPOSITION) : text;
  for (const line of bounded.split('\n')) {
    if (samples.length >= MAXIMUM_SAMPLES) break;
    if (line === '' || line.startsWith('#') || line.length > MAXIMUM_LINE) continue;
    const [name] = NAME.exec(line) ?? [];
    if (name === undefined || !wanted(name)) continue;
    const sample = readSample(name, line.slice(name.length));
    if (sample) samples.push(sample);
  }
  return samples;
}

function readSample(name: string, afterName: string): Sample | undefined {
  let rest = afterName;
  const labels = Object.create(null) as Record<string, string>;
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    for (let count = 0; !rest.startsWith('}'); count++) {
      const match = LABEL.exec(rest);
      const [whole, label, value, comma] = match ?? [];
      if (whole === undefined || label === undefined || value === undefined || count >= MAXIMUM_LABELS)
        return undefined;
      if (label in labels) return undefined;
      labels[label] = value.replace(/\\([\\"n])/g, (_, escaped: string) => (escaped === 'n' ? '\n' : escaped));
      rest = rest.slice(whole.length);
      if (comma === '' && !rest.startsWith('}')) return undefined;
    }
    rest = rest.slice(1);
  }
  const [, digits] = VALUE.exec(rest) ?? [];
  const value = Number(digits ?? Number.NaN);
  return Number.isFinite(value) ? { name, labels, value } : undefined;
}
