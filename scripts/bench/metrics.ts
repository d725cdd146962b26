/** Reads Prometheus' text format (version 0.0.4) as the services write it, and subtracts two scrapes. */

/** Values by name and labels, as they stand in the text: `name{label="value"}`. */
export type Scrape = ReadonlyMap<string, number>;

export function parseMetrics(text: string): Scrape {
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const at = line.lastIndexOf(' ');
    values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

export async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(`${url}/metrics answered ${response.status}`);
  return parseMetrics(await response.text());
}

/** How much each value grew; what was not there before began at 0. */
export function growth(before: Scrape, after: Scrape): Scrape {
  return new Map([...after].map(([name, value]) => [name, value - (before.get(name) ?? 0)]));
}

/** The values of `name` by one of its labels. */
export function byLabel(values: Scrape, name: string, label: string): Map<string, number> {
  const pattern = new RegExp(`^${name}\\{(?:.*,)?${label}="([^"]*)".*\\}$`);
  const found = new Map<string, number>();
  for (const [key, value] of values) {
    const word = pattern.exec(key)?.[1];
    if (word !== undefined) found.set(word, (found.get(word) ?? 0) + value);
  }
  return found;
}
