/** The story that scripts/demo tells: each step does something with the command line and checks what came of it. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { enableCompileCache } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { compareTrees } from './compare-trees.ts';
import type { Rogues } from './demo-rogue.ts';

const root = resolve(import.meta.dirname, '..');
// For what of src is loaded at the end.
enableCompileCache(join(root, 'work/compile-cache'));
// Set-up has just compiled it.
const entry = join(root, 'dist/cli/main.js');
const keep = process.argv.includes('--keep');
const named = process.argv.slice(2).filter((word) => word !== '--keep');
const files = resolve(named[0] ?? join(root, 'docs'));

const place = mkdtempSync(join(temporaryFolder(), 'holdfast-demo-'));
const fleet = join(place, 'fleet');
const device = join(place, 'device');
const log = join(place, 'commands.log');
const started = performance.now();
const running = new Set<ChildProcess>();
let checks = 0;
/** Who makes the false bundles, from when that is begun. */
let rogues: Promise<Rogues> | undefined;
/** Whatever this machine's user has set is not part of the story. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_')));

const LARGE_PAGES = environment.GLIBC_TUNABLES ?? 'glibc.malloc.hugetlb=1';

class FailedCheck extends Error {}

interface Outcome {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Where something is expected of a fleet that serves, however slow it is: with patience that ends only where nothing can come. */
const patiently = (words: readonly string[]): readonly string[] =>
  words.includes('--user') && !words.includes('--patience') ? [...words, '--patience', String(PATIENCE / 1000)] : words;

/** Runs `holdfast` with these words; what it said goes into the log, secrets excepted: those come as files or raw output. */
async function run(words: readonly string[]): Promise<Outcome> {
  const began = performance.now();
  const child = spawn(process.execPath, [entry, ...words], {
    env: {
      ...environment,
      // As scripts/holdfast.
      ...(['secret', 'backup'].includes(words[0]!) && { GLIBC_TUNABLES: LARGE_PAGES }),
      HOLDFAST_TRUST: join(fleet, 'client.json'),
      HOLDFAST_TRUST_STATE: join(device, 'trust-state.json'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const code = await new Promise<number | null>((done, fail) => child.once('error', fail).once('close', done));
  running.delete(child);
  const stderr = Buffer.concat(err).toString('utf8');
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  const end = `exit code ${code} after ${seconds} s`;
  writeFileSync(log, `holdfast ${words.join(' ')}\n${stderr}${end}\n\n`, { flag: 'a', mode: 0o600 });
  return { code, stdout: Buffer.concat(out), stderr };
}

/** Runs a command with `--json` that must end with `code`, and gives its object. */
async function json(code: number, ...words: readonly string[]): Promise<Record<string, unknown>> {
  const outcome = await run([...patiently(words), '--json']);
  if (outcome.code !== code) {
    // Progress is on standard error, and the error in the object.
    const said = `${outcome.stderr}${outcome.stdout.toString('utf8').slice(0, 2000)}`;
    throw new FailedCheck(`holdfast ${words.join(' ')} ended with ${outcome.code}, not ${code}:\n${said}`);
  }
  return JSON.parse(outcome.stdout.toString('utf8')) as Record<string, unknown>;
}

/** Work that goes on while others are waited for; whoever waits for it hears how it ended. */
function meanwhile<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {});
  return work;
}

const details = (result: Record<string, unknown>) =>
  ((result.error as Record<string, unknown> | undefined)?.details ?? {}) as Record<string, unknown>;

function check(what: string, holds: boolean): void {
  if (!holds) throw new FailedCheck(`this does not hold: ${what}`);
  checks++;
  console.log(`   checked: ${what}`);
}

let step = 0;
function tell(title: string): void {
  step++;
  const seconds = ((performance.now() - started) / 1000).toFixed(0).padStart(3);
  console.log(`\n${step}. ${title}  [${seconds} s]`);
}

const pinFile = (name: string, pin: string) => {
  const path = join(place, name);
  writeFileSync(path, `${pin}\n`, { mode: 0o600 });
  return path;
};

async function status() {
  const found = await json(0, 'fleet', 'status', fleet);
  return found as unknown as {
    nodesServing: number;
    serving: boolean;
    announced: boolean;
    processes: {
      name: string;
      monitoringPort: number;
      pid: number | null;
      phase: string | null;
      incarnation: number | null;
      ready: boolean;
    }[];
  };
}

/** As the node's metrics tell it. */
async function tokenSerial(monitoringPort: number): Promise<string | undefined> {
  const metrics = await (await fetch(`http://127.0.0.1:${monitoringPort}/metrics`)).text();
  return /^holdfast_token_info\{.*serial="([^"]+)"/m.exec(metrics)?.[1];
}

/** Milliseconds for what comes about by itself: on the slowest machine only what hangs takes so long. */
const PATIENCE = 300_000;

/** @returns what was found when it held. `known` is what was found before, where that may be enough. */
async function until<T>(what: string, look: () => Promise<T>, holds: (found: T) => boolean, known?: T): Promise<T> {
  const end = performance.now() + PATIENCE;
  for (let found = known ?? (await look()); ; found = await look()) {
    if (holds(found)) {
      check(what, true);
      return found;
    }
    if (performance.now() > end)
      throw new FailedCheck(`this did not come about in ${PATIENCE / 60_000} minutes: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

type Status = Awaited<ReturnType<typeof status>>;
const allServe = ({ nodesServing }: Status) => nodesServing === 5;

async function story(): Promise<void> {
  if (!existsSync(files)) throw new FailedCheck(`there is no folder ${files}`);
  mkdirSync(device, { mode: 0o700 });
  const right = pinFile('right-pin', '493027');
  const wrong = pinFile('wrong-pin', '111111');
  const user = join(device, 'alice.json');
  const profile = join(device, 'profile.json');
  const backup = join(place, `${basename(files)}.age`);
  const alice = ['--user', user, '--pin-file', right];
  const aliceBacksUp = async () => {
    await json(0, 'user-token', '--fleet', fleet, '--subject', 'alice', '--out', user);
    return await json(0, 'backup', 'create', files, '--out', backup, '--profile', profile, ...alice);
  };

  const bob = join(place, 'bob.json');
  const bobKeepsASecret = async () => {
    const secret = join(place, 'bob-secret');
    writeFileSync(secret, 'the key to everything of Bob’s');
    await json(0, 'user-token', '--fleet', fleet, '--subject', 'bob', '--out', bob);
    await json(0, 'secret', 'put', '--user', bob, '--pin-file', right, '--secret-file', secret);
  };

  tell('A fleet of five nodes, each a process with a SoftHSM token of its own, and two coordinators');
  await json(
    0,
    ...['fleet', 'create', fleet, '--nodes', '5', '--coordinators', '2'],
    // The demonstration does not wait between guesses, and destroys soon; PINs are stretched as in production.
    ...['--name', 'demo', '--waits', '0', '--destroy-after', '1'],
  );
  await json(0, 'fleet', 'up', fleet, '--detach', '--coordinators', '2');
  const first = await until('all five nodes serve', status, allServe);
  await until('the log has its bundle, by which clients verify it', status, ({ announced }) => announced, first);
  check(
    'eleven processes run: nodes, coordinators, the cosigner with its log, and three witnesses',
    new Set(first.processes.map(({ pid }) => pid)).size === 11,
  );
  const nodes = first.processes.filter(({ name }) => name.startsWith('node'));
  const serials = await Promise.all(nodes.map(({ monitoringPort }) => tokenSerial(monitoringPort)));
  check(
    'each node has a token of its own, with a serial of its own',
    new Set(serials).size === 5 && !serials.includes(undefined),
  );

  // Nobody waits for anybody else: Alice begins while the stranger looks.
  const backedUp = meanwhile(aliceBacksUp());
  await strangerAudits();

  tell(`Alice backs up ${files}`);
  const made = await backedUp;
  check(`${made.files} files are in one age file of ${made.bytes} bytes`, Number(made.files) > 0 && existsSync(backup));
  const kept = async () => {
    const found = await json(0, 'secret', 'status', '--user', user);
    // An enrolment waits two seconds for a node that is busy, and does without it; the next one has them all.
    if (found.shares !== 5) await json(0, 'secret', 'change-pin', ...alice, '--new-pin-file', right);
    return found;
  };
  const isWhole = (found: Record<string, unknown>) => found.state === 'active' && found.shares === 5;
  await until('its identity is kept under her PIN, in shares on all five nodes', kept, isWhole);

  tell('Her device is lost: credential, profile and everything on it are gone');
  rmSync(device, { recursive: true });
  mkdirSync(device, { mode: 0o700 });
  check('nothing of it is left', !existsSync(user) && !existsSync(profile));

  tell('On a new device she signs in, enters her PIN, and restores');
  await json(0, 'user-token', '--fleet', fleet, '--subject', 'alice', '--out', user);
  const restored = join(place, 'restored');
  const identity = join(place, 'identity.txt');
  // Side by side, as from here on whatever does not need what the other finds.
  await Promise.all([
    json(0, 'backup', 'restore', backup, '--to', restored, '--profile', profile, ...alice),
    json(0, 'secret', 'get', '--out', identity, ...alice),
  ]);
  const differences = compareTrees(files, join(restored, basename(files)));
  for (const difference of differences.slice(0, 5)) console.log(`   ${difference}`);
  check('every file is there: names, contents byte for byte, modes and times', differences.length === 0);
  stockAge(identity, backup);

  tell('Somebody guesses: each wrong PIN is counted, and the right one gives the budget back');
  const guess = async (credential: string) =>
    Number(details(await json(3, 'secret', 'get', '--user', credential, '--pin-file', wrong)).attemptsLeft);
  const guesses = (await Promise.all([guess(user), guess(user)])).toSorted((a, b) => b - a);
  for (const [i, left] of [9, 8].entries()) {
    check(`wrong PIN, exit code 3, ${left} attempts left`, guesses[i] === left);
  }
  const bobsIsKept = meanwhile(bobKeepsASecret());
  const got = await json(0, 'secret', 'get', '--out', identity, '--overwrite', ...alice);
  check('the right PIN works, and tells of the two attempts before it', got.earlierAttempts === 2);
  check('all ten attempts are there again', (await json(0, 'secret', 'status', '--user', user)).attemptsLeft === 10);
  await bobsIsKept;

  tell('Two of five nodes are killed with SIGKILL');
  await json(0, 'fleet', 'kill', fleet, 'node-2', 'node-4');
  // Loaded while others work: it is a good part of the source tree.
  const workshop = keep ? undefined : meanwhile(import('./demo-rogue.ts'));
  const [before] = await Promise.all([status(), json(0, 'secret', 'get', '--out', identity, '--overwrite', ...alice)]);
  check('nobody notices: the secret is recovered from three', true);
  await until('three nodes serve', status, ({ nodesServing }) => nodesServing === 3, before);
  await json(0, 'fleet', 'start', fleet, 'node-2', 'node-4');
  const after = await until('the two come back, repair from the others and serve', status, allServe);
  const rejoined = ['node-2', 'node-4'].every((name) => {
    const of = (all: typeof first) => all.processes.find((one) => one.name === name)!.incarnation ?? 0;
    return of(after) > of(first);
  });
  check('each in a new incarnation, so that no old vote of theirs counts', rejoined);

  tell('Three of five are killed: no majority is left');
  await json(0, 'fleet', 'kill', fleet, 'node-1', 'node-3', 'node-5');
  // The fleet that goes on running is not revoked.
  rogues = workshop && meanwhile(workshop.then(({ openRogues }) => openRogues(fleet, place)));
  await json(5, 'secret', 'get', '--out', identity, '--overwrite', '--patience', '1', ...alice);
  check('exit code 5: out of reach for now', true);
  await json(0, 'fleet', 'start', fleet, 'node-1', 'node-3', 'node-5');
  await until('back up, all five serve', status, allServe);
  // Two devices at a time: however they race, none of the ten is counted twice, and there is no eleventh.
  const thief = async () => {
    const lefts: number[] = [];
    for (let i = 0; i < 5; i++) lefts.push(await guess(bob));
    return lefts;
  };
  const stolen = meanwhile(Promise.all([thief(), thief()]));
  const still = await json(0, 'secret', 'status', '--user', user);
  check('nothing was counted, nothing lost', still.attemptsLeft === 10 && still.attemptsSinceSuccess === 0);
  await json(0, 'secret', 'get', '--out', identity, '--overwrite', ...alice);
  check('and the right PIN works', true);

  tell('Bob’s phone falls into wrong hands: ten wrong PINs, from two devices at a time');
  const lefts = (await stolen).flat();
  const counted = lefts.toSorted((a, b) => b - a).join(' ');
  check(`attempts left after each: ${counted}`, counted === '9 8 7 6 5 4 3 2 1 0');
  await Promise.all([wrong, right].map((file) => json(4, 'secret', 'get', '--user', bob, '--pin-file', file)));
  check('the eleventh is refused at once, exit code 4', true);
  check('and so is the right PIN', true);
  const state = async () => (await json(0, 'secret', 'status', '--user', bob)).state;
  await until('after the policy’s delay (here 1 s) the record is destroyed', state, (found) => found === 'destroyed');
  const all = nodes.map(({ name }) => name);
  await json(0, 'fleet', 'kill', fleet, ...all);
  await json(0, 'fleet', 'start', fleet, ...all);
  const [restarted] = await Promise.all([
    state(),
    json(4, 'secret', 'get', '--user', bob, '--pin-file', right),
    json(0, 'secret', 'get', '--out', identity, '--overwrite', ...alice),
  ]);
  check('a power cut of all five nodes does not bring it back', restarted === 'destroyed');
  check('Bob’s right PIN: exit code 4, for good', true);
  check('Alice’s record is untouched', true);
  if (rogues) await showRogues(alice, await rogues);
}

/** Somebody who runs none of it checks what the fleet publishes, then a copy in which one character was changed. */
async function strangerAudits(): Promise<void> {
  tell('A stranger audits the fleet, with nothing but its address and the trust policy');
  const copy = join(place, 'copy');
  const anchor = ['--anchor', join(fleet, 'client.json')];
  const { steps } = (await json(0, 'audit', logOf().log, ...anchor, '--keep', copy)) as { steps: { state: string }[] };
  const count = (state: string) => steps.filter((one) => one.state === state).length;
  check(
    `${count('passed')} steps are right, ${count('stated')} rest on the operator’s word, and it says which`,
    count('failed') === 0 && count('passed') > 12,
  );
  const [statement] = readdirSync(join(copy, 'evidence'));
  const path = join(copy, 'evidence', statement!);
  writeFileSync(path, readFileSync(path, 'utf8').replace('a', 'b'));
  const found = await json(6, 'audit', copy, ...anchor);
  check(`a copy of it with one character changed: ${found.code}`, found.code === 'evidence_wrong');
}

/** What the CLI makes of trust sets of the running cosigner that somebody has tampered with, and of a revoked fleet. */
async function showRogues(alice: readonly string[], opened: Rogues): Promise<void> {
  const made = opened.tampered;
  const expiring = meanwhile(opened.publishExpiring());
  tell('Somebody shows Alice bundles that are not her fleet’s: each is refused, exit code 6, with a code of its own');
  const remembered = join(place, 'remembered.json');
  const verify = (code: number, file: string, ...more: readonly string[]) =>
    json(code, 'bundle', 'verify', file, '--anchor', join(fleet, 'client.json'), ...more);
  const refused = async (what: string, code: string, file: string, ...more: readonly string[]) => {
    const found = (await verify(6, file, ...more)).code;
    check(`${what}: ${found}`, found === code);
  };
  await Promise.all([
    refused('signed by one party only', 'signature_missing', made.oneParty),
    refused('signed by both, but not accepted in the log', 'proof_invalid', made.notAccepted),
    refused('for another environment', 'wrong_environment', made.otherEnvironment),
  ]);
  const { path, expiresAt } = await expiring;
  // A signing key has one journal, which one process at a time writes.
  await opened[Symbol.asyncDispose]();
  const { already } = await json(0, 'fleet', 'announce', fleet);
  const now = join(place, 'now.json');
  const { log: logUrl, name } = logOf();
  writeFileSync(now, new Uint8Array(await (await fetch(`${logUrl}/trust/${name}`)).arrayBuffer()));
  const out = join(place, 'identity.txt');
  const recovered = meanwhile(json(0, 'secret', 'get', '--out', out, '--overwrite', ...alice));
  await verify(0, now, '--state', remembered, '--update-state');
  check('the renewed one is believed, and remembered', already === false && existsSync(remembered));
  await refused('the one before it, shown again', 'rolled_back', made.genuine, '--state', remembered);
  await new Promise((done) => setTimeout(done, Math.max(0, expiresAt - Date.now())));
  await refused('one that has expired', 'bundle_expired', path);
  await recovered;
  check('Alice recovers, by the bundle that is in force', true);

  tell('The operator revokes the fleet');
  await json(0, 'fleet', 'revoke', fleet, '--reason', 'the demonstration is over');
  const end = await json(6, 'secret', 'get', '--out', out, '--overwrite', ...alice);
  check(`no client uses it any more: ${end.code}`, end.code === 'bundle_revoked');
}

/** In memory where there is room, since nothing of it is to stay: each commit of a node waits for the disk several times. */
function temporaryFolder(): string {
  const memory = '/dev/shm';
  if (keep || process.env.TMPDIR !== undefined) return tmpdir();
  try {
    accessSync(memory, constants.W_OK);
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize >= 2 ** 30 ? memory : tmpdir();
  } catch {
    // Not on every system, nor for everybody.
    return tmpdir();
  }
}

/** Where the trust anchor says that the log is. */
function logOf(): { readonly log: string; readonly name: string } {
  const anchor = JSON.parse(readFileSync(join(fleet, 'client.json'), 'utf8')) as { sources: string[]; fleet: string };
  return { log: anchor.sources[0]!, name: anchor.fleet };
}

/** The backup is a standard age file: the reference implementation opens it too, where it is installed. */
function stockAge(identity: string, backup: string): void {
  if (spawnSync('age', ['--version']).error) {
    console.log('   not checked: whether stock age opens the backup (age is not installed)');
    return;
  }
  const there = join(place, 'by-age');
  mkdirSync(there);
  const archive = join(place, 'by-age.tar');
  const age = spawnSync('age', ['-d', '-i', identity, '-o', archive, backup], { encoding: 'utf8' });
  const tar = spawnSync('tar', ['-xpf', archive, '-C', there], { encoding: 'utf8' });
  if (age.status !== 0 || tar.status !== 0)
    throw new FailedCheck(`stock age or tar failed: ${age.stderr}${tar.stderr}`);
  check(
    'stock age and tar open the backup with the recovered identity',
    compareTrees(files, join(there, basename(files))).length === 0,
  );
}

/** Stops everything that was started here; the temporary folder stays only if somebody is to look at it. */
async function cleanUp(remove: boolean): Promise<void> {
  // Asked first: a command that is interrupted stops what it has started itself.
  const ended = [...running].map((child) => new Promise((done) => child.once('close', done)));
  for (const child of running) child.kill('SIGINT');
  const timer = setTimeout(() => {
    for (const child of running) child.kill('SIGKILL');
  }, 10_000);
  await Promise.all(ended);
  clearTimeout(timer);
  // Its token would keep this process from ending.
  await rogues?.then((opened) => opened[Symbol.asyncDispose]()).catch(() => {});
  if (existsSync(join(fleet, 'fleet.json'))) {
    spawnSync(process.execPath, [entry, 'fleet', 'down', fleet], { env: environment, stdio: 'ignore' });
  }
  if (remove) rmSync(place, { recursive: true, force: true });
}

let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interrupted) return;
    interrupted = true;
    console.log('\nStopping and cleaning up …');
    void cleanUp(true).then(() => process.exit(130));
  });
}

try {
  await story();
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(`\nAll ${checks} checks passed in ${seconds} s.`);
  if (keep) {
    console.log(`\nThe fleet goes on running. To use it:
  export HOLDFAST_TRUST=${join(fleet, 'client.json')} HOLDFAST_USER=${join(place, 'carol.json')}
  ${root}/scripts/holdfast user-token --fleet ${fleet} --subject carol --out ${join(place, 'carol.json')}
  echo 'my secret' | ${root}/scripts/holdfast secret put
  ${root}/scripts/holdfast secret get --show
To stop it and remove everything:
  ${root}/scripts/holdfast fleet down ${fleet} && rm -r ${place}`);
  } else await cleanUp(true);
} catch (error) {
  // What fails because of an interruption is no failed check; the process ends when all is cleaned up.
  if (interrupted) await new Promise(() => {});
  console.error(`\nA check failed: ${error instanceof Error ? error.message : String(error)}`);
  console.error(`The logs: ${log} and ${join(fleet, 'logs')}`);
  await cleanUp(false);
  process.exitCode = 1;
}
