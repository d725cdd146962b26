/** What fleet up does beside its wait: the bundle and the service record, each tried again where that may help. */

import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/index.ts';
import { planText } from '../../src/fleet/folder.ts';
import { FleetFolder, keepAnnounced } from '../../src/fleet/index.ts';

/** Stands for `holdfast`: notes each call down, and answers with the next of what the file says of such a call. */
const ANSWERS = `
const fs = require('node:fs');
const [file, ...words] = process.argv.slice(1);
const { calls, answers } = JSON.parse(fs.readFileSync(file, 'utf8'));
const call = words.slice(0, 2).join(' ');
const code = answers[call].shift();
fs.writeFileSync(file, JSON.stringify({ calls: [...calls, call], answers }));
if (code === 'ok') console.log(JSON.stringify({ serial: 1, already: false }));
else { console.log(JSON.stringify({ error: { code, message: 'as the test says' } })); process.exitCode = 1; }
`;

async function kept(answers: Readonly<Record<'fleet announce' | 'evidence record', readonly string[]>>) {
  const folder = new FleetFolder(mkdtempSync(join(tmpdir(), 'announced-')));
  const log = { kind: 'own' } as const;
  writeFileSync(folder.plan, planText({ name: 'f', nodes: 3, coordinators: 1, basePort: 20_000, log }));
  folder.makeRunFolders();
  const file = join(folder.path, 'answers.json');
  writeFileSync(file, JSON.stringify({ calls: [], answers }));
  const command = { executable: process.execPath, prefix: () => ['-e', ANSWERS, '--', file], environment: process.env };
  const pauses: number[] = [];
  const clock = { ...systemClock, sleep: async (milliseconds: number) => void pauses.push(milliseconds) };
  const said: string[] = [];
  const onEvent = (line: string) => void said.push(line);
  const onAnnounced = () => void said.push(existsSync(folder.announcement) ? 'announced, and failed' : 'announced');
  await keepAnnounced({ folder, command, onEvent, onAnnounced, signal: new AbortController().signal, clock });
  return { calls: JSON.parse(readFileSync(file, 'utf8')).calls as string[], pauses, said };
}

test('what may pass is tried again, less and less often, and the record only once the bundle is accepted', async () => {
  const { calls, pauses, said } = await kept({
    'fleet announce': ['not_ready', 'ok'],
    'evidence record': ['not_ready', 'not_ready', 'ok'],
  });
  expect(calls).toEqual([...Array(2).fill('fleet announce'), ...Array(3).fill('evidence record')]);
  expect(pauses).toEqual([1000, 1000, 2000]);
  expect(said.slice(-2)).toEqual([
    'service record: holdfast evidence record: as the test says; again in 2 s',
    'service record: in the log',
  ]);
});

test('what no time mends is said once', async () => {
  const answers = { 'fleet announce': ['ok'], 'evidence record': ['evidence_mismatch'] };
  const { calls, said } = await kept(answers);
  expect(calls).toEqual(['fleet announce', 'evidence record']);
  expect(said.at(-1)).toBe('service record: holdfast evidence record: as the test says');
  expect((await kept({ ...answers, 'fleet announce': ['bundle_revoked'] })).calls).toEqual(['fleet announce']);
});

test('new clients can verify it once its bundle is accepted, and before its service record is in the log', async () => {
  const answers = { 'fleet announce': ['not_ready', 'ok'], 'evidence record': ['ok'] };
  expect((await kept(answers)).said).toEqual([
    'bundle: holdfast fleet announce: as the test says; again in 1 s',
    'bundle: serial 1 is accepted',
    'announced',
    'service record: in the log',
  ]);
  expect((await kept({ ...answers, 'fleet announce': ['bundle_revoked'] })).said).not.toContain('announced');
});
