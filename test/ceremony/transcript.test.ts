/** The transcript of a ceremony: one form, a chain, and nothing in it that cannot have happened. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CeremonyPlan,
  checkPlan,
  type Entry,
  lineDigest,
  NOTHING_BEFORE,
  readPlan,
  readTranscript,
  recordLine,
  scriptDigest,
  scriptLines,
  stepsOf,
  TranscriptFile,
  witnessedText,
} from '../../src/ceremony/index.ts';
import { parseJson, systemClock } from '../../src/core/index.ts';
import { histories, plan, plans } from './plans.ts';

function linesOf(entries: readonly Entry[]): string[] {
  let previous = NOTHING_BEFORE;
  return entries.map((entry, i) => {
    const line = recordLine({ number: i + 1, time: 1_700_000_000_000 + i, entry }, previous);
    previous = lineDigest(line);
    return line;
  });
}

const bytesOf = (lines: readonly string[]) => Buffer.from(lines.map((line) => `${line}\n`).join(''));
const read = (lines: readonly string[]) => readTranscript(bytesOf(lines)).progress;
const damaged = expect.objectContaining({ code: 'ceremony_damaged' });

describe('a transcript', () => {
  it('is read back as it was written, whatever happened', () => {
    fc.assert(
      fc.property(histories, ({ plan: made, entries }) => {
        const lines = linesOf(entries);
        const progress = read(lines);
        expect(progress.records.map(({ entry }) => entry)).toEqual(entries);
        expect(progress.plan).toEqual(made);
        expect(progress.head).toBe(lineDigest(lines.at(-1)!));
        expect(progress.closed).toBe(entries.at(-1)!.kind === 'closed');
      }),
      { numRuns: 200 },
    );
  });

  it('is refused with one record changed, left out, doubled or moved, or one byte flipped', () => {
    fc.assert(
      fc.property(
        histories,
        fc.nat(),
        fc.nat(),
        fc.constantFrom('drop', 'double', 'swap', 'flip'),
        (history, a, b, how) => {
          const lines = linesOf(history.entries);
          const at = a % lines.length;
          const changed = [...lines];
          if (how === 'drop') changed.splice(at, 1);
          if (how === 'double') changed.splice(at, 0, lines[at]!);
          if (how === 'swap')
            [changed[at], changed[(at + 1) % lines.length]] = [changed[(at + 1) % lines.length]!, changed[at]!];
          if (how === 'flip') {
            const bytes = bytesOf(lines);
            bytes[b % bytes.length]! ^= 1;
            const last = b % bytes.length >= bytes.length - 1 - Buffer.byteLength(lines.at(-1)!);
            // A changed last line is a record that was never vouched for by another: it must then be another head.
            try {
              expect(readTranscript(bytes).progress.head).not.toBe(lineDigest(lines.at(-1)!));
              expect(last).toBe(true);
            } catch (error) {
              expect(error).toEqual(damaged);
            }
            return;
          }
          // What is left of the beginning alone is a ceremony that had not come further.
          fc.pre(lines.length > 1 && !(how === 'drop' && at === lines.length - 1));
          expect(() => read(changed)).toThrow(damaged);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('loses a line that was not written to its end, and nothing else', () => {
    fc.assert(
      fc.property(histories, fc.nat(), ({ entries }, n) => {
        const lines = linesOf(entries);
        const bytes = bytesOf(lines);
        const cut = bytes.subarray(0, n % bytes.length);
        const { progress, torn } = readTranscript(cut);
        expect(progress.records.length).toBe(cut.toString().split('\n').length - 1);
        expect(torn).toBe(cut.length - (cut.lastIndexOf(0x0a) + 1));
      }),
    );
  });

  const opened: Entry = { kind: 'opened', plan, version: '1', script: scriptDigest(plan) };
  const [inspect, pin] = stepsOf(plan);
  const began = (step = inspect!, attempt = 1): Entry => ({
    kind: 'began',
    step: step.name,
    attempt,
    command: step.command,
  });
  const ended = (step = inspect!, result: 'done' | 'failed' = 'done'): Entry => ({
    ...{ kind: 'ended', step: step.name, result, finding: 'so', facts: null, milliseconds: 1 },
  });

  it.each<[string, Entry[]]>([
    ['that does not begin with its plan', [began()]],
    ['with two plans', [opened, opened]],
    ['with a script that is not the plan’s', [{ ...opened, script: '0'.repeat(64) } as Entry]],
    ['in which a step is left out', [opened, began(pin)]],
    ['in which a step ends that never began', [opened, ended()]],
    ['in which a step ends twice', [opened, began(), ended(), ended()]],
    ['in which a step begins twice without an interruption', [opened, began(), began(inspect, 2)]],
    ['that counts attempts wrongly', [opened, began(inspect, 2)]],
    ['that counts attempts anew after a failure', [opened, began(), ended(inspect, 'failed'), began()]],
    ['that runs what the script does not say', [opened, { ...began(), command: 'C_DestroyObject' } as Entry]],
    [
      'in which somebody answers before a step',
      [opened, { kind: 'answered', step: 'inspect', question: 'a', answer: 'b' }],
    ],
    ['that resumes another step', [opened, began(), { kind: 'resumed', interrupted: 'keys' }]],
    ['that ends before its last step', [opened, { kind: 'closed' }]],
  ])('is refused %s', (_title, entries) => {
    expect(() => read(linesOf(entries))).toThrow(damaged);
  });

  it('goes on after a failure and an interruption', () => {
    const progress = read(
      linesOf([
        opened,
        began(),
        ended(inspect, 'failed'),
        began(inspect, 2),
        { kind: 'resumed', interrupted: 'inspect' },
        began(inspect, 3),
        ended(),
        began(pin),
      ]),
    );
    expect(progress).toMatchObject({ running: pin, next: pin, attempts: 1, closed: false });
    expect(progress.done.map(({ step }) => step.name)).toEqual(['inspect']);
  });

  it.each([
    ['no text', Buffer.from([0xff, 0x0a])],
    ['no JSON', Buffer.from('{"a"\n')],
    ['a line that is too long', Buffer.from(`${'x'.repeat(300_000)}\n`)],
    ['a file that is too large', Buffer.alloc(5_000_000, 0x0a)],
  ])('is refused that is %s', (_title, bytes) => {
    expect(() => readTranscript(bytes)).toThrow(damaged);
  });

  it('has these bytes', () => {
    const lines = linesOf([opened, began()]);
    expect(lines.map(lineDigest)).toEqual([
      'af4785e635845b5b1f8ee7fa63e5c1cc71da49c00d40e460b73c8dadd478fca5',
      '271340e8fc1ef1cb43710a87ec610ecac06d35c4324890df52d586264d011f93',
    ]);
    expect(lines[1]).toBe(
      '{"attempt":1,"command":"C_GetSlotList, C_GetTokenInfo; SHA-256 of the module’s file","kind":"began","number":2,' +
        '"previous":"af4785e635845b5b1f8ee7fa63e5c1cc71da49c00d40e460b73c8dadd478fca5","step":"inspect",' +
        '"time":"2023-11-14T22:13:20.001Z"}',
    );
  });
});

describe('a plan', () => {
  const readText = (text: string): CeremonyPlan => readPlan(parseJson(text, 'bad_input'));

  it('is read back as it was written, and is the only one with its script', () => {
    fc.assert(
      fc.property(plans, (made) => {
        expect(checkPlan(made, readText)).toEqual(made);
        expect(stepsOf(made).length).toBeLessThanOrEqual(27);
        expect(new Set(stepsOf(made).map(({ name }) => name)).size).toBe(stepsOf(made).length);
      }),
    );
  });

  it.each<[string, Partial<CeremonyPlan>]>([
    ['a name with a line break', { name: 'a\nb' }],
    ['nobody present', { people: [] }],
    ['two people of one name', { people: [plan.people[0]!, { ...plan.people[1]!, name: 'Anna' }] }],
    ['a name that turns the direction of writing', { people: [{ name: 'A\u202eB', role: 'x', key: null }] }],
    ['a label that is too long', { token: { ...plan.token, label: 'ä'.repeat(17) } }],
    ['PINs that can be guessed', { pinLength: 7 }],
  ])('is refused with %s', (_title, change) => {
    expect(() => checkPlan({ ...plan, ...change }, readText)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('destroys nothing without saying so', () => {
    const destroying = (state: CeremonyPlan['token']['state']) =>
      stepsOf({ ...plan, token: { ...plan.token, state } }).flatMap(({ name, destroys }) => (destroys ? [name] : []));
    expect(destroying('empty')).toEqual(['officer']);
    expect(destroying('occupied')).toEqual(['initialise', 'officer']);
    expect(destroying('prepared')).toEqual([]);
    expect(scriptLines({ ...plan, token: { ...plan.token, state: 'occupied' } }).join('\n')).toContain(
      'WILL BE DESTROYED',
    );
  });
});

describe('what a person signs', () => {
  it('stays the same however often the ceremony is interrupted afterwards, and is each person’s own', () => {
    const entries: Entry[] = [{ kind: 'opened', plan, version: '1', script: scriptDigest(plan) }];
    for (const { name, command } of stepsOf(plan).filter((each) => !each.name.startsWith('person-'))) {
      entries.push({ kind: 'began', step: name, attempt: 1, command });
      entries.push({ kind: 'ended', step: name, result: 'done', finding: 'so', facts: null, milliseconds: 1 });
    }
    const before = read(linesOf(entries));
    const person = stepsOf(plan).find(({ name }) => name === 'person-1')!;
    entries.push({ kind: 'began', step: person.name, attempt: 1, command: person.command });
    entries.push({ kind: 'resumed', interrupted: 'person-1' });
    const after = read(linesOf(entries));
    const [anna, ben] = plan.people;
    expect(witnessedText(after, anna!)).toBe(witnessedText(before, anna!));
    expect(witnessedText(after, ben!)).not.toBe(witnessedText(after, anna!));
    expect(witnessedText(before, anna!)).toContain(before.head);
  });
});

describe('a transcript’s file', () => {
  it('is led by one at a time: another waits a moment, and is refused', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'transcript-')), 'transcript.jsonl');
    const first = await TranscriptFile.open(path, systemClock);
    await expect(TranscriptFile.open(path, systemClock)).rejects.toMatchObject({ code: 'not_ready' });
    await first.close();
    const second = await TranscriptFile.open(path, systemClock);
    await second.close();
    // What is damaged is not held either.
    writeFileSync(path, 'nonsense\n');
    for (const _ of [1, 2])
      await expect(TranscriptFile.open(path, systemClock)).rejects.toMatchObject({ code: 'ceremony_damaged' });
  });
});
