/** The settings as a Markdown table: docs/configuration.md is written from the tables that the loaders read by. */

import { type Setting, variableOf } from './settings.ts';

const cell = (text: string) => text.replaceAll('|', '\\|');

function allowed({ kind, minimum = 0, maximum, words }: Setting): string {
  if (words) return words.map((word) => `\`${word}\``).join(', ');
  if (kind === 'boolean') return '`true`, `false`';
  if (kind === 'integer') return maximum === undefined ? `whole number from ${minimum}` : `${minimum} to ${maximum}`;
  return { text: 'text', path: 'path', list: 'list of text', paths: 'list of paths', json: 'list' }[kind];
}

function defaultOf(setting: Setting): string {
  if (setting.required) return '**required**';
  const { default: value } = setting;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return 'none';
  return `\`${value}\``;
}

export function settingsTable(settings: readonly Setting[], prefix: string): string {
  const rows = settings.map((setting) => {
    const { path, description } = setting;
    const cells = [`\`${path}\``, `\`${variableOf(prefix, path)}\``, allowed(setting), defaultOf(setting), description];
    return `| ${cells.map(cell).join(' | ')} |`;
  });
  return ['| in the file | variable | values | default | meaning |', '|---|---|---|---|---|', ...rows].join('\n');
}
