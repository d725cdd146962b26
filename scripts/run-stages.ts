/** Runs the stages of `scripts/test` in their two rows and adds up what passed and failed. */

import { type ChildProcess, spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { removeRun } from './left-behind.ts';
import { STAGES, type Stage } from './stages.ts';
import { type Outcome, summarise, type VitestReport } from './vitest-report.ts';

const root = resolve(import.meta.dirname, '..');
const output = join(root, 'work', 'test');
const LINES_SHOWN = 120;
const COLUMNS_SHOWN = 4000;

/** Goes with this process, so that tests stopped half-way leave nothing behind. */
const temporary = mkdtempSync(join(tmpdir(), 'hf-'));
process.once('exit', () => {
  for (const child of running) killGroup(child, 'SIGKILL');
  // Fleets of tests that were stopped half-way run in sessions of their own, out of what is in there.
  removeRun(temporary);
});

/** Output goes to files, so it is asked for without colours. */
const env = {
  ...process.env,
  NO_COLOR: '1',
  FORCE_COLOR: undefined,
  TMPDIR: temporary,
  HOLDFAST_TEST_PORTS: temporary,
  HOLDFAST_TEST_TOGETHER: '1',
  NODE_COMPILE_CACHE: join(temporary, 'compiled'),
};

const running = new Set<ChildProcess>();

/**
 * For what is fetched and built ahead: a package manager that is killed half-way leaves packages that keep all others from being
 * installed, and each set-up waits for the one before it.
 */
const SETUP_MINUTES = 60;

/** How far behind stages what is made ahead of one stands, where both want a processor. */
const NICENESS = 5;

/** Seconds that all processors of this machine have worked since it was started. */
function secondsWorked(): number {
  const times = cpus().map(({ times: { user, nice, sys, irq } }) => user + nice + sys + irq);
  return times.reduce((sum, milliseconds) => sum + milliseconds, 0) / 1000;
}

/** Told of a piece of work: how long it took, and how busy the machine was meanwhile, with whatever else it did. */
function stopwatch(): () => string {
  const began = performance.now();
  const before = secondsWorked();
  return () => {
    const seconds = (performance.now() - began) / 1000;
    const busy = (secondsWorked() - before) / seconds;
    return `${seconds.toFixed(1)} s, ${busy.toFixed(1)} of ${cpus().length} processors busy`;
  };
}

/** Each command leads a process group of its own, so that stopping it leaves none of its children behind. */
function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

/** Linux may share the processors out by session before it looks at how nice a process is. */
function standBack(child: ChildProcess): void {
  try {
    writeFileSync(`/proc/${child.pid}/autogroup`, String(NICENESS));
  } catch {
    // It does not, or this is another system.
  }
}

/** Exit code of the command, whose output goes to `log`; undefined if it was stopped after `minutes`. */
function run(command: readonly string[], log: string, minutes: number, behind = false): Promise<number | undefined> {
  return new Promise((done) => {
    const file = openSync(log, 'w');
    const [program, ...words] = behind ? ['nice', '-n', String(NICENESS), ...command] : command;
    const child = spawn(program!, words, {
      cwd: root,
      detached: true,
      stdio: ['ignore', file, file],
      env,
    });
    running.add(child);
    if (behind) standBack(child);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      killGroup(child, 'SIGKILL');
    }, minutes * 60_000);
    const end = (code: number | undefined) => {
      clearTimeout(timer);
      running.delete(child);
      closeSync(file);
      done(late ? undefined : code);
    };
    child.once('error', () => end(127));
    child.once('exit', (code) => {
      // What it left running would disturb the stages that follow.
      killGroup(child, 'SIGKILL');
      end(code ?? 1);
    });
  });
}

function isCommand(name: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why the stage cannot run on this machine, or undefined. */
async function obstacle(stage: Stage): Promise<string | undefined> {
  if (stage.group !== undefined) {
    await run(['scripts/setup', '--with', stage.group], join(output, `${stage.name}.setup.log`), SETUP_MINUTES);
  }
  const missing = (stage.needs ?? []).filter((name) => !isCommand(name));
  if (missing.length === 0) return stage.obstacle?.();
  return `${missing.join(', ')} not found, and scripts/setup could not install it (see work/setup.log)`;
}

function showTail(log: string): void {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  if (lines.length > LINES_SHOWN) console.log(`    (the last ${LINES_SHOWN} of ${lines.length} lines)`);
  for (const line of lines.slice(-LINES_SHOWN)) console.log(`    ${line.slice(0, COLUMNS_SHOWN)}`);
}

async function runStage(stage: Stage): Promise<{ readonly log: string; readonly outcome: Outcome }> {
  const log = join(output, `${stage.name}.log`);
  const report = join(output, `${stage.name}.json`);
  const minutes = stage.minutes ?? 15;
  rmSync(report, { force: true });
  const command =
    'command' in stage.run
      ? stage.run.command
      : [
          'vitest',
          'run',
          '--project',
          stage.run.project,
          '--reporter=default',
          '--reporter=json',
          `--outputFile=${report}`,
          ...(stage.workers === undefined ? [] : [`--maxWorkers=${stage.workers}`]),
        ];
  const code = await run(command, log, minutes);
  let outcome: Outcome;
  if (code === undefined) {
    outcome = { passed: 0, failures: [`${stage.title}: stopped after ${minutes} minutes`], skipped: [] };
  } else if ('command' in stage.run) {
    outcome =
      code === 0 ? { passed: 1, failures: [], skipped: [] } : { passed: 0, failures: [stage.title], skipped: [] };
  } else {
    try {
      outcome = summarise(JSON.parse(readFileSync(report, 'utf8')) as VitestReport, code === 0, root);
    } catch {
      outcome = { passed: 0, failures: [`${stage.title}: vitest ended with ${code} and wrote no report`], skipped: [] };
    }
  }
  return { log, outcome };
}

/** Does ahead what can be done ahead. */
async function prepare(stage: Stage): Promise<void> {
  if (stage.prepare === undefined || (await obstacle(stage)) !== undefined) return;
  const taken = stopwatch();
  const code = await run(stage.prepare, join(output, `${stage.name}.prepare.log`), SETUP_MINUTES, true);
  say(`${stage.title}: ${code === 0 ? 'prepared' : 'not prepared'} in ${taken()}`);
}

function chosenStages(): readonly Stage[] {
  const { values } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean' } } });
  const present = STAGES.filter((stage) => stage.exists?.() ?? true);
  if (values.list) {
    for (const stage of present) console.log(`${stage.name.padEnd(12)} ${stage.title}`);
    process.exit(0);
  }
  if (values.only === undefined) return present;
  const names = values.only.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !present.some((stage) => stage.name === name));
  if (unknown.length > 0) throw new Error(`no such stage: ${unknown.join(', ')}; see scripts/test --list`);
  return present.filter((stage) => names.includes(stage.name));
}

/** Of seconds, and without it the others need not begin. */
const isShort = ({ run: what }: Stage) => 'command' in what;

/** A line with the time. */
const say = (line: string) => console.log(`[${new Date().toTimeString().slice(0, 8)}] ${line}`);

async function main(): Promise<number> {
  let stages: readonly Stage[];
  process.chdir(root);
  try {
    stages = chosenStages();
  } catch (error) {
    console.error(`scripts/test: ${error instanceof Error ? error.message : String(error)}`);
    return 2;
  }
  mkdirSync(output, { recursive: true });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));

  let passed = 0;
  const failures: string[] = [];
  const skipped: string[] = [];
  const total = stopwatch();
  const prepared = new Map<Stage, Promise<void>>();
  /** One after another. */
  const runRow = async (next: () => Stage | undefined) => {
    for (let stage = next(); stage !== undefined; stage = next()) {
      say(stage.title);
      const taken = stopwatch();
      await prepared.get(stage);
      const reason = await obstacle(stage);
      if (reason !== undefined) {
        const line = `${stage.title}: cannot run on this machine: ${reason}`;
        (process.env.CI === 'true' ? failures : skipped).push(line);
        say(`${stage.title}: not run: ${reason}`);
        continue;
      }
      const { log, outcome } = await runStage(stage);
      passed += outcome.passed;
      failures.push(...outcome.failures);
      skipped.push(...outcome.skipped);
      const parts = [`${outcome.passed} passed`, `${outcome.failures.length} failed`];
      if (outcome.skipped.length > 0) parts.push(`${outcome.skipped.length} skipped`);
      say(`${stage.title}: ${parts.join(', ')} in ${taken()}`);
      if (outcome.failures.length > 0) showTail(log);
    }
  };
  const short = stages.filter(isShort);
  await runRow(() => short.shift());
  const rest = stages.filter((stage) => !isShort(stage));
  for (const stage of rest) prepared.set(stage, prepare(stage));
  const first = rest.filter(({ aside }) => !aside);
  const second = rest.filter(({ aside }) => aside);
  // The second helps the first out when it has nothing left.
  await Promise.all([runRow(() => first.shift()), runRow(() => second.shift() ?? first.pop())]);
  say(`All of it: ${total()}`);

  if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map((line) => `  ${line}`).join('\n')}`);
  if (failures.length > 0)
    console.log(`\nFailed:\n${failures.map((failure) => `  ${failure.replaceAll('\n', '\n  ')}`).join('\n')}`);
  const tail = skipped.length > 0 ? `, ${skipped.length} skipped` : '';
  console.log(`\n${passed} passed, ${failures.length} failed${tail}`);
  return failures.length > 0 ? 1 : 0;
}

process.exitCode = await main();
