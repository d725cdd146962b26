/**
 * Hardware in the loop: runs the suite of tokens, of a node and of a small fleet on slots of any PKCS#11 module.
 *
 *   npm run test:hil -- --module M --slot S --pin-file F
 *
 * Everything that is made on a slot is named holdfast/probe-... and removed again.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const HELP = `Usage: npm run test:hil -- --module M --slot S --pin-file F

  --module <path>              the PKCS#11 module
  --slot, --slots <numbers>    slots, with commas between; node i of the fleet gets slot i; 1 to 5
  --pin-file <files>           file with the PIN; one for all slots, or one for each, with commas between
  --module-parameters <text>   text that the module wants when it is initialised
  --suite token|fleet          only this one
  --allow-destructive          also try one wrong PIN on each slot
  --junit <file>               where the JUnit report goes (default: work/hil/junit.xml)
`;
const root = resolve(import.meta.dirname, '..');

interface Report {
  readonly testResults: readonly {
    readonly message?: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly duration?: number | null;
      readonly failureMessages?: readonly string[];
    }[];
  }[];
}

function fail(problem: string): never {
  console.error(`scripts/hil.ts: ${problem}\n\n${HELP}`);
  process.exit(2);
}

function options() {
  const { values } = parseArgs({
    options: {
      module: { type: 'string' },
      'module-parameters': { type: 'string' },
      slot: { type: 'string' },
      slots: { type: 'string' },
      'pin-file': { type: 'string' },
      'allow-destructive': { type: 'boolean', default: false },
      junit: { type: 'string' },
      suite: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const slots = (values.slots ?? values.slot ?? '').split(',').map((text) => text.trim());
  const pinFiles = (values['pin-file'] ?? '').split(',').map((text) => resolve(text.trim()));
  if (values.module === undefined || !existsSync(values.module)) fail('name a PKCS#11 module that is there: --module');
  if (slots.length > 5 || !slots.every((text) => /^\d{1,15}$/.test(text))) fail('name 1 to 5 slots by their numbers');
  if (new Set(slots).size !== slots.length) fail('each slot once only: a node’s token is its own');
  if (pinFiles.length !== 1 && pinFiles.length !== slots.length) fail('one file with the PIN, or one for each slot');
  const missing = pinFiles.find((file) => !existsSync(file));
  if (values['pin-file'] === undefined || missing)
    fail(`there is no file with the PIN${missing ? `: ${missing}` : ''}`);
  if (values.suite !== undefined && !['token', 'fleet'].includes(values.suite)) fail('the suites are token and fleet');
  return {
    devices: {
      module: resolve(values.module!),
      ...(values['module-parameters'] !== undefined && { moduleParameters: values['module-parameters'] }),
      slots: slots.map((slot, i) => ({ slot: Number(slot), pinFile: pinFiles[i] ?? pinFiles[0]! })),
      destructive: values['allow-destructive'],
    },
    suite: values.suite,
    junit: resolve(values.junit ?? join(root, 'work', 'hil', 'junit.xml')),
  };
}

function show(report: Report): void {
  const tests = report.testResults.flatMap((file) => file.assertionResults);
  for (const { fullName, status, duration, failureMessages = [] } of tests) {
    const milliseconds = duration == null ? '' : `${Math.round(duration)} ms`;
    console.log(`${status.padEnd(8)} ${milliseconds.padStart(9)}  ${fullName}`);
    for (const message of failureMessages) console.log(`    ${message.split('\n')[0]}`);
  }
  // A suite whose preparation failed has no failed test of its own.
  for (const { message } of report.testResults) if (message) console.log(`failed   ${message.split('\n')[0]}`);
  const count = (status: string) => tests.filter((test) => test.status === status).length;
  const skipped = tests.length - count('passed') - count('failed');
  console.log(`\n${count('passed')} passed, ${count('failed')} failed, ${skipped} not run`);
}

async function main(): Promise<number> {
  const { devices, junit, suite } = options();
  mkdirSync(dirname(junit), { recursive: true });
  const results = `${junit}.json`;
  const words = ['run', '--project', 'device', '--no-file-parallelism', '--reporter=junit', '--reporter=json'];
  const child = spawn(
    process.execPath,
    [
      join(root, 'node_modules/vitest/vitest.mjs'),
      ...words,
      ...(suite === undefined ? [] : [`test/device/${suite}.test.ts`]),
      `--outputFile.junit=${junit}`,
      `--outputFile.json=${results}`,
    ],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, HOLDFAST_DEVICES: JSON.stringify(devices) },
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill(signal));
  const code = await new Promise<number>((done) => child.once('exit', (ended) => done(ended ?? 1)));
  try {
    show(JSON.parse(readFileSync(results, 'utf8')) as Report);
  } catch {
    console.error('vitest wrote no report; its output says why');
    return 1;
  }
  console.log(`JUnit: ${junit}`);
  return code;
}

process.exitCode = await main();
