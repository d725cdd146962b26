/** A fleet's life as its operator has it: made, up, down, killed in parts and as a whole, and never mistaken for another. */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FleetStatus, identityOf, isAlive, readState } from '../../src/fleet/index.ts';
import { copyFleet, holdfast, TestFleet } from './launcher.ts';

const temporary = () => mkdtempSync(join(tmpdir(), 'lifecycle-'));
const parse = (stdout: Buffer) => JSON.parse(stdout.toString('utf8')) as Record<string, unknown>;

describe('fleet create', () => {
  test('refuses a folder that is not empty, and touches nothing in it', async () => {
    const directory = temporary();
    writeFileSync(join(directory, 'mine'), 'x');
    const { code, stderr } = await holdfast(['fleet', 'create', directory, '--nodes', '1']);
    expect(code).toBe(2);
    expect(stderr).toContain('is not empty');
    expect(readdirSync(directory)).toEqual(['mine']);
  });

  test('leaves nothing behind when it fails, and does not remove what it did not make', async () => {
    const parent = temporary();
    const bad = await holdfast([
      'fleet',
      'create',
      join(parent, 'f'),
      '--nodes',
      '1',
      '--name',
      'Not A Name',
      '--json',
    ]);
    expect(bad.code).not.toBe(0);
    expect(readdirSync(parent)).toEqual([]);
    mkdirSync(join(parent, 'g.partial'));
    writeFileSync(join(parent, 'g.partial', 'mine'), 'x');
    const refused = await holdfast(['fleet', 'create', join(parent, 'g'), '--nodes', '1']);
    expect(refused.code).toBe(2);
    expect(existsSync(join(parent, 'g.partial', 'mine'))).toBe(true);
  });

  test('ends with 130 when it is interrupted, whatever it has open by then, and leaves nothing behind', async () => {
    const parent = temporary();
    // The last token is never done, so that the fleet is not either, however late the interruption comes.
    const never = "if(process.argv.includes('node-5'))await%20new%20Promise(()=>setInterval(()=>{},1000))";
    const { code, stderr } = await holdfast(['fleet', 'create', join(parent, 'f'), '--nodes', '5'], {
      environment: { NODE_OPTIONS: `--import=data:text/javascript,${never}` },
      // At its first word of progress.
      onStart: (child) => child.stderr!.once('data', () => child.kill('SIGINT')),
    });
    expect([code, stderr.split('\n').at(-2)]).toEqual([130, 'holdfast: cancelled']);
    expect(readdirSync(parent)).toEqual([]);
  });

  test('keeps PINs and private keys for the owner, each PIN another', async () => {
    const folder = await copyFleet();
    const files = readdirSync(folder.path, { recursive: true, encoding: 'utf8' });
    const secret = files.filter((name) => /(^|\/)(so-pin|pin)$|\.key$|tenant\/|tenants\.json$/.test(name));
    expect(secret.length).toBeGreaterThan(10);
    const open = secret.filter((name) => {
      const stats = statSync(join(folder.path, name));
      return stats.isFile() && (stats.mode & 0o077) !== 0;
    });
    expect(open).toEqual([]);
    const pins = files
      .filter((name) => name.endsWith('pin'))
      .map((name) => readFileSync(join(folder.path, name), 'utf8'));
    expect(new Set(pins).size).toBe(pins.length);
  });
});

describe('a fleet that is down', () => {
  test('says so, goes down again without complaint, and kills nothing by a number from before a reboot', async () => {
    const folder = await copyFleet();
    const status = await holdfast(['fleet', 'status', folder.path, '--json']);
    expect(parse(status.stdout)).toMatchObject({ up: false, serving: false, nodesServing: 0, code: 'ok' });
    const innocent = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      const identity = identityOf(innocent.pid!)!;
      const stale = { pid: innocent.pid!, started: 'another-boot:1' };
      folder.makeRunFolders();
      const processes = [{ name: 'node-1', condition: 'running', process: stale, restarts: 0 }];
      writeFileSync(folder.state, JSON.stringify({ supervisor: stale, processes }));
      const down = await holdfast(['fleet', 'down', folder.path, '--json']);
      expect(down.code).toBe(0);
      expect(parse(down.stdout)).toMatchObject({ stopped: false });
      expect(isAlive(identity)).toBe(true);
      expect((await holdfast(['fleet', 'down', folder.path])).code).toBe(0);
    } finally {
      innocent.kill('SIGKILL');
    }
  });

  test('is named as the reason by the commands that need one that is up', async () => {
    const folder = await copyFleet();
    const { code, stderr } = await holdfast(['fleet', 'kill', folder.path, 'node-1']);
    expect(code).toBe(2);
    expect(stderr).toContain('holdfast fleet up');
    const nowhere = await holdfast(['fleet', 'status', temporary()]);
    expect(nowhere.code).toBe(2);
    expect(nowhere.stderr).toContain('holdfast fleet create');
  });
});

describe('a fleet that is up', () => {
  let fleet: TestFleet;
  beforeAll(async () => {
    fleet = await TestFleet.launch();
  });
  afterAll(async () => {
    await fleet[Symbol.asyncDispose]();
  });
  const find = (status: Awaited<ReturnType<TestFleet['status']>>, name: string) =>
    status.processes.find((one) => one.name === name)!;

  test('serves with every process, each of its own number', async () => {
    const status = await fleet.status();
    expect(status).toMatchObject({ up: true, serving: true, nodesServing: 3, nodesNeeded: 2 });
    expect(status.processes.map(({ name }) => name)).toEqual([
      ...['node-1', 'node-2', 'node-3', 'coordinator-1', 'coordinator-2'],
    ]);
    expect(new Set(status.processes.map(({ pid }) => pid)).size).toBe(5);
    for (const { phase, incarnation, name } of status.processes) {
      if (name.startsWith('node'))
        expect({ phase, incarnation: Number(incarnation) > 1 }).toEqual({ phase: 'serving', incarnation: true });
    }
  });

  test('is not brought up a second time', async () => {
    const { error } = await fleet.json(5, 'fleet', 'up', fleet.folder.path, '--detach');
    expect(error).toMatchObject({ code: 'conflict' });
    expect((await fleet.status()).serving).toBe(true);
  });

  test('starts a crashed node again, which repairs and serves in a new incarnation', async () => {
    const before = find(await fleet.status(), 'node-2');
    process.kill(before.pid!, 'SIGKILL');
    const after = find(
      await fleet.until((status) => {
        const node = find(status, 'node-2');
        return node.ready && node.pid !== before.pid;
      }),
      'node-2',
    );
    expect(after.restarts).toBe(before.restarts + 1);
    expect(after.incarnation!).toBeGreaterThan(before.incarnation!);
  });

  test('leaves a node down that was killed on purpose, until it is started', async () => {
    const { killed } = await fleet.ok('fleet', 'kill', fleet.folder.path, 'node-3');
    expect(killed).toEqual({ 'node-3': expect.any(Number) });
    // At once, also before the supervisor has heard of it.
    const held = await fleet.status();
    expect(held).toMatchObject({ serving: true, nodesServing: 2 });
    expect(find(held, 'node-3')).toMatchObject({ condition: 'held', pid: null });
    await fleet.ok('fleet', 'start', fleet.folder.path, 'node-3');
    expect(find(await fleet.status(), 'node-3')).toMatchObject({ condition: 'running', ready: true });
  });

  test('does not know other names', async () => {
    const { error } = await fleet.json(8, 'fleet', 'kill', fleet.folder.path, 'node-9');
    expect((error as { message: string }).message).toContain('node-1');
  });

  test('ends with its supervisor, however that ended, and comes up again', async () => {
    const state = readState(fleet.folder)!;
    process.kill(state.supervisor.pid, 'SIGKILL');
    // It is dying still when they learn that it has ended.
    const own = [state.supervisor, ...state.processes.map((one) => one.process!)];
    const end = performance.now() + 300_000;
    while (own.some(isAlive) && performance.now() < end) await new Promise((done) => setTimeout(done, 50));
    expect(own.filter(isAlive)).toEqual([]);
    await fleet.up();
    expect((await fleet.status()).nodesServing).toBe(3);
  });

  test('goes down whole, in good order', async () => {
    const state = readState(fleet.folder)!;
    expect(await fleet.ok('fleet', 'down', fleet.folder.path)).toMatchObject({ stopped: true });
    expect([state.supervisor, ...state.processes.map((one) => one.process)].filter(isAlive)).toEqual([]);
    for (const name of ['node-1', 'node-2', 'node-3', 'coordinator-1', 'coordinator-2']) {
      const log = readFileSync(fleet.folder.log(name), 'utf8').trimEnd().split('\n');
      expect(log.at(-1)).toContain('"event":"stopped"');
    }
    expect(await fleet.ok('fleet', 'down', fleet.folder.path)).toMatchObject({ stopped: false });
  });
});

describe('a fleet in the foreground', () => {
  test('goes down with Ctrl-C', async () => {
    const folder = await copyFleet({ nodes: 1, coordinators: 1 });
    const outcome = await holdfast(['fleet', 'up', folder.path], {
      onStart: (child) =>
        child.stderr!.on('data', (chunk: Buffer) => {
          if (chunk.toString('utf8').includes('The fleet serves')) child.kill('SIGINT');
        }),
    });
    expect(outcome.code).toBe(0);
    expect(outcome.stdout.toString('utf8')).toBe('The fleet is down.\n');
  });
});

describe('a fleet whose plan is damaged', () => {
  test('is told by the file’s name', async () => {
    const folder = join(temporary(), 'damaged');
    mkdirSync(folder);
    writeFileSync(join(folder, 'fleet.json'), '{"format"');
    for (const command of ['up', 'down', 'status']) {
      const { code, stderr } = await holdfast(['fleet', command, folder]);
      expect({ code, stderr }).toEqual({ code: 9, stderr: expect.stringMatching(/plan, .*fleet\.json: /) });
    }
  });
});

describe('a fleet whose node cannot start', () => {
  test('says why, soon, and leaves nothing running', async () => {
    const folder = await copyFleet({ nodes: 1, coordinators: 1 });
    const path = folder.configuration('node-1');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"store"', '"stores"'));
    const { code, stdout } = await holdfast(['fleet', 'up', folder.path, '--detach', '--json']);
    expect(code).toBe(5);
    const { message, details } = parse(stdout).error as { message: string; details: unknown };
    expect(message).toMatch(/node-1 does not start; .*stores/);
    expect(details).toEqual({ final: true });
    expect(readState(folder)).toBeUndefined();
    // Soon, however slow the machine: after a few starts, and not when the time for a fleet to come up is over.
    const starts = readFileSync(folder.log('supervisor'), 'utf8').match(/node-1 ended with code/g)!.length;
    expect(starts).toBeGreaterThanOrEqual(4);
    expect(starts).toBeLessThanOrEqual(8);
    const { stderr } = await holdfast(['fleet', 'up', folder.path, '--detach']);
    expect(stderr).toMatch(/node-1 does not start; .*stores/);
    expect(stderr).not.toContain('may succeed later');
  });

  test('is served without where a majority is left, and the status says why it keeps ending', async () => {
    await using broken = await TestFleet.launch({ coordinators: 1 });
    const { folder } = broken;
    const path = folder.configuration('node-3');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"store"', '"stores"'));
    const pidOf = ({ processes }: FleetStatus) => processes.find(({ name }) => name === 'node-3')!.pid!;
    process.kill(pidOf(await broken.status()), 'SIGKILL');
    const { serving } = await broken.until(({ processes }) =>
      processes.some(({ name, ready, reason }) => name === 'node-3' && !ready && /^it ended: .*stores/.test(reason)),
    );
    expect(serving).toBe(true);
  });
});
