/** Writes the documents that are made from code: docs/configuration.md's tables and docs/api. Tests compare them. */

import { readFileSync, writeFileSync } from 'node:fs';
import {
  COORDINATOR_PREFIX,
  COORDINATOR_SETTINGS,
  COSIGNER_PREFIX,
  COSIGNER_SETTINGS,
  MONITOR_PREFIX,
  MONITOR_SETTINGS,
  NODE_PREFIX,
  NODE_SETTINGS,
  settingsTable,
  WITNESS_PREFIX,
  WITNESS_SETTINGS,
} from '../src/configuration/index.ts';
import { openApiDocument } from '../src/coordinator/http/openapi.ts';
import { operatorApiDocument } from '../src/coordinator/operator/openapi.ts';

const at = (path: string) => new URL(`../docs/${path}`, import.meta.url);

/** `text` with what stands between the two marks called `name` replaced. */
function between(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`the marks of ${name} are missing`);
  return `${before}${begin}\n\n${content}\n\n${end}${after}`;
}

/** What each document should hold now, by its path below docs/. */
export function documents(): ReadonlyMap<string, string> {
  const tables = {
    node: settingsTable(NODE_SETTINGS, NODE_PREFIX),
    coordinator: settingsTable(COORDINATOR_SETTINGS, COORDINATOR_PREFIX),
    cosigner: settingsTable(COSIGNER_SETTINGS, COSIGNER_PREFIX),
    witness: settingsTable(WITNESS_SETTINGS, WITNESS_PREFIX),
    monitor: settingsTable(MONITOR_SETTINGS, MONITOR_PREFIX),
  };
  let configuration = readFileSync(at('configuration.md'), 'utf8');
  for (const [name, table] of Object.entries(tables)) configuration = between(configuration, name, table);
  return new Map([
    ['configuration.md', configuration],
    ['api/openapi.json', `${JSON.stringify(openApiDocument, undefined, 2)}\n`],
    ['api/operator.json', `${JSON.stringify(operatorApiDocument, undefined, 2)}\n`],
  ]);
}

if (import.meta.main) for (const [path, text] of documents()) writeFileSync(at(path), text);
