/** A node whose token is gone is replaced while the fleet runs: nothing enrolled is lost, and no guess is forgotten. */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readState } from '../../src/fleet/index.ts';
import { parseTrustFile } from '../../src/trust/index.ts';
import { holdfast, TestFleet } from './launcher.ts';

const trustOf = (fleet: TestFleet) =>
  parseTrustFile(readFileSync(fleet.folder.trust, 'utf8'), { now: Number.NEGATIVE_INFINITY });

test('a lost token is replaced; the record is recovered, its guesses counted, and it is enrolled anew with all shares', async () => {
  await using fleet = await TestFleet.launch({ nodes: 5, coordinators: 1 });
  const [pin, wrong] = [fleet.file('pin', '8351-spring\n'), fleet.file('wrong', '0000-winter\n')];
  const user = await fleet.user('alice');
  await fleet.ok(
    'secret',
    'put',
    '--user',
    user,
    '--pin-file',
    pin,
    '--secret-file',
    fleet.file('secret', 'the secret'),
  );
  for (let i = 0; i < 2; i++) await fleet.json(3, 'secret', 'get', '--user', user, '--pin-file', wrong);

  await fleet.ok('fleet', 'kill', fleet.folder.path, 'node-2');
  rmSync(join(fleet.folder.of('node-2'), 'token'), { recursive: true });
  const replaced = await fleet.ok('fleet', 'replace-node', fleet.folder.path, '--node', '2');
  expect(replaced).toMatchObject({ node: 2, epoch: 2, nodesServing: 5 });
  expect(trustOf(fleet).fleet.earlier?.map(({ epoch }) => epoch)).toEqual([1]);
  expect(existsSync(String(replaced.old))).toBe(true);
  const { processes } = await fleet.until((status) => status.processes.every(({ ready }) => ready));
  expect(processes.flatMap(({ epoch }) => (epoch === null ? [] : [epoch]))).toEqual([2, 2, 2, 2, 2]);

  expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({
    attemptsSinceSuccess: 2,
    attemptsLeft: 8,
    shares: 4,
    epoch: 1,
  });
  await fleet.json(3, 'secret', 'get', '--user', user, '--pin-file', wrong);
  const got = await fleet.ok('secret', 'get', '--user', user, '--pin-file', pin);
  expect(Buffer.from(String(got.secret), 'base64url').toString()).toBe('the secret');
  expect(got).toMatchObject({ earlierAttempts: 3, reenrolled: true, epoch: 2, generation: 2, faultyNodes: [] });
  expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ shares: 5, epoch: 2, attemptsLeft: 10 });

  // All of it lasts over a restart of the whole fleet.
  await fleet.down();
  await fleet.up(1);
  const again = await fleet.ok('secret', 'get', '--user', user, '--pin-file', pin);
  expect(again).toMatchObject({ reenrolled: false, generation: 2 });
});

test('the machine that was replaced, started again, takes part in nothing; a client with the old trust file is told', async () => {
  await using fleet = await TestFleet.launch({ nodes: 3, coordinators: 1 });
  const pin = fleet.file('pin', '8351-spring\n');
  const user = await fleet.user('alice');
  await fleet.ok(
    'secret',
    'put',
    '--user',
    user,
    '--pin-file',
    pin,
    '--secret-file',
    fleet.file('secret', 'the secret'),
  );
  const oldTrust = fleet.file('old-trust.json', readFileSync(fleet.folder.trust));
  const replaced = await fleet.ok('fleet', 'replace-node', fleet.folder.path, '--node', '3');

  const old = join(String(replaced.old));
  const zombie = await holdfast(['node', 'run', '--config', join(old, 'config.json'), '--stop-with-stdin'], {
    environment: {
      SOFTHSM2_CONF: join(old, 'token', 'softhsm2.conf'),
      HOLDFAST_NODE_TRUST_FILE: fleet.folder.trust,
      HOLDFAST_NODE_TENANTS: fleet.folder.tenants,
      HOLDFAST_NODE_TLS_AUTHORITY: join(fleet.folder.authority, 'authority.pem'),
      HOLDFAST_NODE_LISTEN_PORT: '0',
      HOLDFAST_NODE_METRICS_PORT: '0',
    },
  });
  expect(zombie.code).not.toBe(0);

  const outdated = await fleet.run(['secret', 'get', '--user', user, '--pin-file', pin, '--json'], {
    environment: { HOLDFAST_TRUST: oldTrust },
  });
  expect(outdated.code).toBe(6);
  expect(JSON.parse(outdated.stdout.toString())).toMatchObject({ code: 'other_epoch' });
  expect(await fleet.ok('secret', 'get', '--user', user, '--pin-file', pin)).toMatchObject({ reenrolled: true });
});

test('an interrupted replacement is finished by running it again, and only that one', async () => {
  await using fleet = await TestFleet.launch({ nodes: 3, coordinators: 1 });
  const { trust } = fleet.folder;
  // They cannot leave before the command is killed, however long that takes.
  const others = ['node-2', 'node-3'].map(
    (name) => readState(fleet.folder)!.processes.find((one) => one.name === name)!.process!.pid,
  );
  for (const pid of others) process.kill(pid, 'SIGSTOP');
  const first = fleet.run(['fleet', 'replace-node', fleet.folder.path, '--node', '1'], {
    onStart: (child) => {
      // As soon as the others are told, and before the new node is in its place.
      let said = '';
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('the other nodes leave')) child.kill('SIGKILL');
      });
    },
  });
  expect((await first.finally(() => others.forEach((pid) => void process.kill(pid, 'SIGCONT')))).code).toBeNull();
  expect(existsSync(`${trust}.next`)).toBe(true);
  const other = await fleet.json(5, 'fleet', 'replace-node', fleet.folder.path, '--node', '2');
  expect(other).toMatchObject({ code: 'conflict' });
  expect(await fleet.ok('fleet', 'replace-node', fleet.folder.path, '--node', '1')).toMatchObject({
    epoch: 2,
    nodesServing: 3,
  });
  expect(existsSync(`${trust}.next`)).toBe(false);
  // A second one may cost records that nobody has used since, and says so first.
  const second = await fleet.json(2, 'fleet', 'replace-node', fleet.folder.path, '--node', '2');
  expect((second.error as { message: string }).message).toContain('--accept-loss');
  expect(trustOf(fleet).fleet.epoch).toBe(2);
});
