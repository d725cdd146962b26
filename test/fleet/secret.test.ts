/** A secret through real processes and tokens, as people and programs get at it: exit codes, JSON objects, prompts. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cleanEnvironment, entry, patiently, TestFleet } from './launcher.ts';

const PIN = '8351-spring';
const WRONG = '0000-winter';
const NEW_PIN = '7046-autumn';
const SECRET = 'the secret that no log may show';

let fleet: TestFleet;
let pin: string;
let wrong: string;
let newPin: string;
let secret: string;

beforeAll(async () => {
  fleet = await TestFleet.launch();
  pin = fleet.file('pin', `${PIN}\n`);
  wrong = fleet.file('wrong', `${WRONG}\n`);
  newPin = fleet.file('new-pin', `${NEW_PIN}\n`);
  secret = fleet.file('secret', SECRET);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const withPin = (user: string, file: string) => ['--user', user, '--pin-file', file];

/** A user with the secret under the PIN. */
async function enrolled(subject: string): Promise<string> {
  const user = await fleet.user(subject);
  await fleet.ok('secret', 'put', ...withPin(user, pin), '--secret-file', secret);
  return user;
}

describe('a secret', () => {
  test('comes back byte for byte with the right PIN, to a pipe, a file, and as JSON', async () => {
    const user = await fleet.user('alice');
    const put = await fleet.ok('secret', 'put', ...withPin(user, pin), '--secret-file', secret);
    expect(put).toEqual({
      fleet: expect.any(String),
      generation: 1,
      nodes: [1, 2, 3],
      degraded: false,
      code: 'ok',
      exitCode: 0,
    });
    const piped = await fleet.run(['secret', 'get', ...withPin(user, pin)]);
    expect({ code: piped.code, text: piped.stdout.toString('utf8'), stderr: piped.stderr }).toEqual({
      code: 0,
      text: SECRET,
      stderr: '',
    });
    const out = fleet.path('out');
    const toFile = await fleet.ok('secret', 'get', ...withPin(user, pin), '--out', out);
    expect(toFile).not.toHaveProperty('secret');
    expect(readFileSync(out, 'utf8')).toBe(SECRET);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    const again = await fleet.json(2, 'secret', 'get', ...withPin(user, pin), '--out', out);
    expect((again.error as { message: string }).message).toContain('exists already');
    const object = await fleet.ok('secret', 'get', ...withPin(user, pin));
    expect(Buffer.from(String(object.secret), 'base64url').toString('utf8')).toBe(SECRET);
    expect(object).toMatchObject({ generation: 1, earlierAttempts: 0, degraded: false, faultyNodes: [] });
  });

  test('stays away from a wrong PIN, which is counted; the right one gives the budget back', async () => {
    const user = await enrolled('bob');
    const first = await fleet.json(3, 'secret', 'get', ...withPin(user, wrong));
    expect(first).toMatchObject({ code: 'wrong_pin', error: { details: { attemptsLeft: 9, spare: true } } });
    const shown = await fleet.run(['secret', 'get', ...withPin(user, wrong)]);
    expect(shown.code).toBe(3);
    expect(shown.stdout.length).toBe(0);
    expect(shown.stderr).toContain('Attempts left: 8.');
    expect(shown.stderr).toContain('Next attempt: now.');
    expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({
      attemptsLeft: 8,
      attemptsSinceSuccess: 2,
    });
    const right = await fleet.run(['secret', 'get', ...withPin(user, pin)]);
    expect(right.code).toBe(0);
    expect(right.stderr).toContain('2 attempts since the last success came before this one');
    expect(right.stderr).toContain('holdfast secret change-pin');
    expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({
      attemptsLeft: 10,
      attemptsSinceSuccess: 0,
    });
  });

  test('moves to a new PIN, and the old one opens nothing any more', async () => {
    const user = await enrolled('carol');
    const changed = await fleet.ok('secret', 'change-pin', ...withPin(user, pin), '--new-pin-file', newPin);
    expect(changed).toMatchObject({ generation: 2, degraded: false });
    await fleet.json(3, 'secret', 'get', ...withPin(user, pin));
    const { stdout } = await fleet.run(['secret', 'get', ...withPin(user, newPin)]);
    expect(stdout.toString('utf8')).toBe(SECRET);
  });

  test('is gone for good once deleted', async () => {
    const user = await enrolled('dave');
    await fleet.json(3, 'secret', 'delete', ...withPin(user, wrong));
    expect(await fleet.ok('secret', 'delete', ...withPin(user, pin))).toMatchObject({ deleted: true });
    expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ state: 'destroyed' });
    expect(await fleet.json(4, 'secret', 'get', ...withPin(user, pin))).toMatchObject({ code: 'destroyed' });
  });

  test('is not replaced without its PIN', async () => {
    const user = await enrolled('erin');
    const refused = await fleet.json(7, 'secret', 'put', ...withPin(user, newPin), '--secret-file', secret);
    expect(refused).toMatchObject({ code: 'owner_required' });
    expect((refused.error as { message: string }).message).toContain('change-pin');
    expect((await fleet.run(['secret', 'get', ...withPin(user, pin)])).code).toBe(0);
  });

  test('comes from standard input as well, with all its bytes', async () => {
    const user = await fleet.user('frank');
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const put = await fleet.run(['secret', 'put', ...withPin(user, pin)], { input: bytes });
    expect(put.code).toBe(0);
    const { stdout } = await fleet.run(['secret', 'get', '--user', user, '--pin-stdin'], { input: `${PIN}\nmore\n` });
    expect(new Uint8Array(stdout)).toEqual(bytes);
  });

  test('has 1 to 1024 bytes, and no more is read than it takes to see that', async () => {
    const user = await fleet.user('sizes');
    const put = (size: number) => fleet.run(['secret', 'put', ...withPin(user, pin)], { input: new Uint8Array(size) });
    expect(await put(0)).toMatchObject({ code: 2, stderr: expect.stringContaining('the secret is empty') });
    for (const size of [1025, 50_000_000]) {
      expect(await put(size)).toMatchObject({ code: 9, stderr: expect.stringContaining('at most 1024 bytes') });
    }
    expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ state: 'none' });
    expect(await put(1)).toMatchObject({ code: 0 });
    const largest = fleet.file('largest', new Uint8Array(1024).fill(7));
    await fleet.ok('secret', 'change-pin', ...withPin(user, pin), '--new-pin-file', newPin, '--secret-file', largest);
    const { stdout } = await fleet.run(['secret', 'get', ...withPin(user, newPin)]);
    expect(new Uint8Array(stdout)).toEqual(new Uint8Array(1024).fill(7));
  });
});

describe('exit codes tell what to do', () => {
  test('5 where no coordinator or no majority answers, and nothing is counted', async () => {
    const user = await enrolled('grace');
    const nobody = ['--url', 'https://127.0.0.1:1', '--patience', '0'];
    expect(await fleet.json(5, 'secret', 'get', ...withPin(user, wrong), ...nobody)).toMatchObject({
      code: 'no_majority',
    });
    await fleet.ok('fleet', 'kill', fleet.folder.path, 'node-1', 'node-2');
    await fleet.json(5, 'secret', 'get', ...withPin(user, wrong), '--patience', '1');
    await fleet.ok('fleet', 'start', fleet.folder.path, 'node-1', 'node-2');
    await fleet.until(({ nodesServing }) => nodesServing === 3);
    expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({
      attemptsLeft: 10,
      attemptsSinceSuccess: 0,
    });
  });

  test('6 where the trust file has other keys than the coordinator’s certificate', async () => {
    const user = await fleet.user('heidi');
    const other = JSON.parse(readFileSync(fleet.folder.trust, 'utf8')) as { authority: string };
    // A certificate that is not the authority's: any other one of the fleet will do.
    other.authority = readFileSync(join(fleet.folder.of('node-1'), 'certificate.pem'), 'utf8');
    const trust = fleet.file('other-trust.json', JSON.stringify(other));
    expect(await fleet.json(6, 'secret', 'status', '--user', user, '--trust', trust)).toMatchObject({
      code: 'untrusted',
    });
  });

  test('7 for a user token that does not allow the operation', async () => {
    const user = await fleet.user('ivan', '--operations', 'recover');
    const refused = await fleet.json(7, 'secret', 'put', ...withPin(user, pin), '--secret-file', secret);
    expect(refused).toMatchObject({ code: 'forbidden' });
  });

  test('8 where nothing is enrolled', async () => {
    const user = await fleet.user('judy');
    expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ state: 'none' });
    expect(await fleet.json(8, 'secret', 'get', ...withPin(user, pin))).toMatchObject({ code: 'not_found' });
  });

  test('9 for a trust file or credential that is none', async () => {
    const user = await fleet.user('kim');
    const trust = fleet.file('bad-trust.json', '{"format":"holdfast/trust/v1"}');
    await fleet.json(9, 'secret', 'status', '--user', user, '--trust', trust);
    await fleet.json(9, 'secret', 'status', '--user', fleet.file('bad-user.json', '{}'));
  });

  test('2 for wrong usage, with one JSON object too', async () => {
    expect(await fleet.json(2, 'secret', 'get', '--nonsense')).toMatchObject({ code: 'usage' });
    expect(await fleet.json(2, 'secret', 'status')).toMatchObject({ code: 'usage' });
    expect(await fleet.json(2, 'secret', 'get', '--user', fleet.path('nobody.json'))).toMatchObject({ code: 'usage' });
  });

  test('130 for Ctrl-C while it tries', async () => {
    const user = await fleet.user('leo');
    // A coordinator that takes connections and never says a word.
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const { code, stderr } = await fleet.run(['secret', 'status', '--user', user, '--url', url, '--patience', '600'], {
      onStart: (child) => silent.once('connection', () => child.kill('SIGINT')),
    });
    silent.close();
    expect({ code, stderr }).toEqual({ code: 130, stderr: 'holdfast: cancelled\n' });
  });
});

/** Types at prompts on a pseudo-terminal; gives what the terminal showed, and the command's exit code. */
const TYPE_AT_PROMPTS = `
import json, os, pty, select, sys
plan = json.load(sys.stdin)
pid, terminal = pty.fork()
if pid == 0:
    os.execvpe(plan["command"][0], plan["command"], plan["environment"])
shown = b""
seen = 0
while True:
    ready, _, _ = select.select([terminal], [], [], 60)
    if not ready:
        os.kill(pid, 9)
        break
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    if plan["answers"] and plan["answers"][0][0].encode() in shown[seen:]:
        seen = len(shown)
        os.write(terminal, plan["answers"].pop(0)[1].encode())
_, status = os.waitpid(pid, 0)
print(json.dumps({"code": os.waitstatus_to_exitcode(status), "shown": shown.decode()}))
`;

function atTerminal(words: readonly string[], answers: readonly (readonly [string, string])[]) {
  const plan = {
    command: [process.execPath, entry, ...patiently(words)],
    environment: { ...cleanEnvironment({ HOLDFAST_TRUST: fleet.folder.trust }), TERM: 'xterm' },
    answers,
  };
  const { stdout, stderr } = spawnSync('python3', ['-c', TYPE_AT_PROMPTS], {
    input: JSON.stringify(plan),
    encoding: 'utf8',
    timeout: 90_000,
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as { code: number; shown: string };
}

describe('at a terminal', () => {
  test('the PIN is asked for twice, and never shown', async () => {
    const user = await fleet.user('mallory');
    const { code, shown } = atTerminal(
      ['secret', 'put', '--user', user, '--secret-file', secret],
      [
        ['New PIN: ', `${PIN}\r`],
        ['The same again: ', `${PIN}\r`],
      ],
    );
    expect({ code, shown }).toMatchObject({ code: 0, shown: expect.stringContaining('The secret is kept') });
    expect(shown).not.toContain(PIN);
    const got = await fleet.run(['secret', 'get', ...withPin(user, pin)]);
    expect(got.stdout.toString('utf8')).toBe(SECRET);
  });

  test('a secret is not shown unless that is asked for', async () => {
    const user = await enrolled('niaj');
    const refused = atTerminal(['secret', 'get', '--user', user, '--pin-file', pin], []);
    expect(refused.code).toBe(2);
    expect(refused.shown).toContain('--show');
    expect(refused.shown).not.toContain(SECRET);
    const shown = atTerminal(['secret', 'get', '--user', user, '--show'], [['PIN: ', `${PIN}\r`]]);
    expect(shown).toMatchObject({ code: 0, shown: expect.stringContaining(SECRET) });
  });

  test('Ctrl-C at the prompt is exit code 130, and nothing is counted', async () => {
    const user = await enrolled('olivia');
    const { code, shown } = atTerminal(['secret', 'get', '--user', user, '--show'], [['PIN: ', '12\u0003']]);
    expect(code).toBe(130);
    expect(shown).toContain('nothing was sent');
    expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ attemptsSinceSuccess: 0 });
  });
});

describe('PINs and secrets', () => {
  test('stand in no process’s arguments or log, a token’s PIN neither', async () => {
    const user = await fleet.user('peggy');
    const seen = new Set<string>();
    const look = () => {
      for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        try {
          seen.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
        } catch {
          // It ended meanwhile.
        }
      }
    };
    const timer = setInterval(look, 20);
    await fleet.run(['secret', 'put', '--pin-stdin', '--user', user, '--secret-file', secret], { input: `${PIN}\n` });
    await fleet.run(['secret', 'get', ...withPin(user, wrong)]);
    await fleet.run(['secret', 'get', ...withPin(user, pin)]);
    clearInterval(timer);
    const tokenPins = ['pin', 'so-pin'].map((name) =>
      readFileSync(join(fleet.folder.of('node-1'), name), 'utf8').trim(),
    );
    const tenant = JSON.parse(readFileSync(fleet.folder.tenantKey, 'utf8')) as { privateKey: { d: string } };
    const userToken = (JSON.parse(readFileSync(user, 'utf8')) as { userToken: string }).userToken;
    const encoded = Buffer.from(SECRET).toString('base64url').slice(0, 30);
    const shapes = [PIN, WRONG, NEW_PIN, SECRET, encoded, ...tokenPins, tenant.privateKey.d, userToken];
    const everything = [...seen].join('\n');
    expect(everything).toContain('node-1/config.json');
    const logs = fleet.logs();
    expect(logs).toContain('"event":"listening"');
    expect(shapes.filter((shape) => everything.includes(shape) || logs.includes(shape))).toEqual([]);
  });
});
