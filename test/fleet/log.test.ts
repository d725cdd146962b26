/** A fleet with cosigner, witnesses and log, as its operator runs it: announced by itself, and none of them needed to recover. */

import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { audit } from '../../src/audit/index.ts';
import { MemoryTrustStore, openTrust, type TrustView } from '../../src/client/index.ts';
import { HoldfastError } from '../../src/core/index.ts';
import { FleetFolder, openDesk, portsOf, readPlan, readState } from '../../src/fleet/index.ts';
import { lockFile } from '../../src/lock/index.ts';
import { SigningJournal } from '../../src/signer/index.ts';
import { lintPolicy, parseTrustAnchor } from '../../src/trust/index.ts';
import { reservePorts } from '../ports.ts';
import { holdfast, TestFleet } from './launcher.ts';

let fleet: TestFleet;
let second: FleetFolder;
let user: string[];
let client: string;

beforeAll(async () => {
  fleet = await TestFleet.launch({ nodes: 3, coordinators: 1, log: true });
  client = readFileSync(fleet.folder.client, 'utf8');
  const credential = await fleet.user('alice');
  user = ['--user', credential, '--pin-file', fleet.file('pin', '493027\n')];
  await fleet.ok('secret', 'put', ...user, '--secret-file', fleet.file('secret', 'what is kept'));
});

afterAll(async () => {
  if (second) await holdfast(['fleet', 'down', second.path]);
  await fleet?.[Symbol.asyncDispose]();
});

/** What a client with no state knows by `client.json` alone. */
async function look(): Promise<TrustView> {
  const anchor = parseTrustAnchor(client);
  const trust = await openTrust({ anchor, state: new MemoryTrustStore(), builtAt: 0 });
  return await trust.view();
}

const recover = async (...more: string[]) => {
  await fleet.ok('secret', 'get', ...user, ...more, '--out', fleet.path('got'), '--overwrite');
  return readFileSync(fleet.path('got'), 'utf8');
};

describe('what fleet create makes', () => {
  test('is a policy without findings, but for those of development', () => {
    const { policy } = parseTrustAnchor(client);
    const findings = lintPolicy(policy, Date.now());
    expect(findings.map(({ code }) => code)).toEqual(['floors_weak']);
  });

  test('is a token for each party, its PIN for its owner only', () => {
    for (const party of ['cosigner', 'operator', 'witness-1', 'witness-2', 'witness-3', 'policy-1', 'policy-3']) {
      const { mode } = statSync(join(fleet.folder.of(party), 'pin'));
      expect(mode & 0o077).toBe(0);
      expect(existsSync(join(fleet.folder.of(party), 'token', 'tokens'))).toBe(true);
    }
  });

  test('is no log where no policy could protect anybody, and nothing is left behind', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'create-')), 'f');
    const made = await holdfast(['fleet', 'create', path, '--nodes', '1', '--environment', 'production']);
    expect(made.code).toBe(2);
    expect(made.stderr).toContain('no trust policy can be made');
    expect(existsSync(path) || existsSync(`${path}.partial`)).toBe(false);
  });
});

describe('a fleet with a log', () => {
  test('is announced when fleet up returns, and a new client verifies it', async () => {
    const status = await fleet.status();
    expect(status).toMatchObject({ announced: true, bundle: { serial: 1, epoch: 1, kind: 'deploy' } });
    const names = status.processes.map(({ name }) => name);
    expect(names).toEqual([
      ...['node-1', 'node-2', 'node-3', 'coordinator-1'],
      ...['cosigner', 'witness-1', 'witness-2', 'witness-3'],
    ]);
    const { fleets, failure } = await look();
    expect(failure).toBeUndefined();
    expect(fleets.map(({ mode, standing }) => [mode, standing.state])).toEqual([['fresh', 'live']]);
  });

  test('has evidence and a service record in which an audit of its site finds nothing wrong', async () => {
    const { digest } = (await fleet.status()).bundle!;
    const recorded = () => existsSync(join(fleet.folder.evidence, 'records', `${digest}.json`));
    await expect.poll(recorded, { timeout: 90_000 }).toBe(true);
    // The file is there once the log has the record; whoever runs the command again hears of it when audits find it too.
    expect(await fleet.ok('evidence', 'record', '--fleet', fleet.folder.path)).toMatchObject({ already: true });
    const site = `http://127.0.0.1:${portsOf(readPlan(fleet.folder), 'cosigner').service}`;
    const source = {
      fetch: async (address: string) => {
        const response = await fetch(address);
        if (response.ok) return new Uint8Array(await response.arrayBuffer());
        throw new HoldfastError('not_found', `${address} answered with ${response.status}`);
      },
    };
    const states = new Map<string, string>();
    for await (const { id, state, message } of audit({ source, site, now: Date.now() })) {
      states.set(id, state);
      expect([id, state, message]).not.toContain('failed');
    }
    expect(states.get('node-keys')).toBe('passed');
    expect(states.get('service-record')).toBe('passed');
    // Nobody vouches for software tokens, and nobody was there.
    for (const id of ['token-class', 'ceremony']) expect(states.get(id)).not.toBe('passed');
    const file = join(fleet.folder.evidence, 'records', `${digest}.json`);
    const shown = await fleet.run(['evidence', 'show', file]);
    expect(shown.stdout.toString('utf8').split('\n').slice(2, 5)).toEqual([
      expect.stringMatching(/^ {2}node 1 at .*: 10 guesses, 50 in all; version /),
      expect.stringMatching(/^ {2}node 2 at /),
      expect.stringMatching(/^ {2}node 3 at /),
    ]);
  });

  test('is said to be announced, whatever an attempt before has failed with', async () => {
    // As an attempt leaves it that has failed. What fleet up began writes nothing any more: the service record was the last of it.
    const failure = { code: 'not_ready', message: 'no cosigner', final: false };
    writeFileSync(fleet.folder.announcement, JSON.stringify(failure));
    expect((await fleet.status()).announcement).toEqual(failure);
    expect(await fleet.ok('fleet', 'announce', fleet.folder.path)).toMatchObject({ already: true, serial: 1 });
    expect((await fleet.status()).announcement).toBeNull();
  });

  test('recovers while its cosigner is killed, and serves no new clients until that is back', async () => {
    await fleet.ok('fleet', 'kill', fleet.folder.path, 'cosigner');
    expect(await recover()).toBe('what is kept');
    expect(await fleet.status()).toMatchObject({ serving: true, bundle: null });
    await expect(look()).rejects.toMatchObject({ code: 'trust_unavailable' });
    await fleet.ok('fleet', 'start', fleet.folder.path, 'cosigner');
    expect((await look()).fleets).toHaveLength(1);
  });

  test('changes its keys with one witness killed: two of three are a quorum', async () => {
    await fleet.ok('fleet', 'kill', fleet.folder.path, 'witness-1');
    // Whoever keeps the log goes on meanwhile: it is needed as soon as the node has been replaced.
    const keepers = () =>
      readState(fleet.folder)!
        .processes.filter(({ name }) => ['cosigner', 'witness-2', 'witness-3'].includes(name))
        .map(({ name, process: own }) => [name, own?.pid]);
    const before = keepers();
    const replaced = await fleet.ok('fleet', 'replace-node', fleet.folder.path, '--node', '2');
    expect(replaced).toMatchObject({ epoch: 2, announced: true });
    expect(keepers()).toEqual(before);
    const { fleets } = await look();
    expect(fleets[0]).toMatchObject({ mode: 'fresh', manifest: { serial: 2, epoch: 2 } });
    await fleet.ok('fleet', 'start', fleet.folder.path, 'witness-1');
  });

  test('has one journal of what its operator signs: whoever comes second waits for as long as an announcement takes', async () => {
    const open = vi.spyOn(SigningJournal, 'open').mockRejectedValue(new Error('in use'));
    try {
      await expect(openDesk(fleet.folder, () => {})).rejects.toThrow('in use');
      const [path, options] = open.mock.calls[0]!;
      expect(path).toBe(join(fleet.folder.of('operator'), 'journal'));
      // Longer than `announceFleet` waits for cosigner and witnesses together.
      expect(options!.patience).toBeGreaterThan(30_000 + 2 * 60_000);
    } finally {
      open.mockRestore();
    }
  });

  test('and can be told to give up', async () => {
    const lock = await lockFile(join(fleet.folder.of('operator'), 'journal'), 60_000);
    try {
      const opening = openDesk(fleet.folder, () => {}, undefined, AbortSignal.timeout(100));
      await expect(opening).rejects.toMatchObject({ code: 'cancelled' });
    } finally {
      lock.release();
    }
  });

  test('is announced by nobody any more where it cannot serve: fleet up says why, and ends', async () => {
    await fleet.down();
    const texts = new Map(
      ['node-1', 'node-2', 'cosigner'].map((name) => {
        const path = fleet.folder.configuration(name);
        return [path, readFileSync(path, 'utf8')];
      }),
    );
    for (const [path, text] of texts) writeFileSync(path, text.replace('"store"', '"stores"'));
    const { code, stderr } = await fleet.run(['fleet', 'up', fleet.folder.path]);
    for (const [path, text] of texts) writeFileSync(path, text);
    expect({ code, stderr }).toEqual({ code: 5, stderr: expect.stringMatching(/node-\d does not start; .*stores/) });
  });

  test('comes up again as it was, announced already', async () => {
    await fleet.down();
    await fleet.up(1);
    expect(await fleet.status()).toMatchObject({ announced: true, bundle: { serial: 2 } });
    expect(await fleet.ok('fleet', 'announce', fleet.folder.path)).toMatchObject({ already: true, serial: 2 });
    expect(await recover()).toBe('what is kept');
  });
});

describe('the same by hand', () => {
  test('is a renewal that bundle propose describes by the folder, with the evidence that was made for it', async () => {
    const { folder } = fleet;
    const at = (name: string) => join(folder.of('operator'), name);
    const own = readPlan(folder).basePort;
    const submission = [
      ...['--cosigner', `https://127.0.0.1:${own + 41}`, '--authority', join(folder.authority, 'authority.pem')],
      ...['--certificate', at('certificate.pem'), '--key', at('certificate.key')],
    ];
    const anchor = ['--anchor', folder.client];
    const propose = ['bundle', 'propose', '--fleet', folder.path, ...anchor, ...submission];
    // Another region is another description, of which nobody has proven anything.
    const elsewhere = await fleet.json(6, ...propose, '--region', 'elsewhere');
    expect(elsewhere).toMatchObject({ code: 'evidence_mismatch' });
    const proposed = await fleet.ok(...propose);
    expect(proposed).toMatchObject({ status: 'logged', serial: 3, weaker: [] });
    const digest = String(proposed.digest);
    const signing = [
      ...['--label', 'operator', '--pin-file', at('pin'), '--journal', at('journal'), '--approve', digest],
      ...['--digest', digest, '--out', fleet.path('renewal.bundle')],
    ];
    const environment = { SOFTHSM2_CONF: folder.softHsm('operator') };
    const countersign = ['bundle', 'countersign', ...anchor, ...signing];
    expect((await fleet.run(countersign, { environment })).code).toBe(0);
    await fleet.ok('bundle', 'accept', fleet.path('renewal.bundle'), ...anchor);
    expect((await look()).fleets[0]).toMatchObject({ manifest: { serial: 3, epoch: 2 } });
  });
});

describe('a second fleet in the log', () => {
  test('is none that no client would use', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'weak-')), 'f');
    await fleet.ok(
      'fleet',
      'create',
      path,
      '--name',
      'weak',
      '--nodes',
      '1',
      '--coordinators',
      '1',
      '--base-port',
      String(await reservePorts()),
      '--join',
      fleet.folder.path,
    );
    try {
      expect(await fleet.ok('fleet', 'up', path, '--detach')).toMatchObject({ announced: false });
      const { announcement } = JSON.parse(
        (await holdfast(['fleet', 'status', path, '--json'])).stdout.toString('utf8'),
      ) as { announcement: unknown };
      expect(announcement).toMatchObject({ code: 'policy_floor', final: true });
    } finally {
      await holdfast(['fleet', 'down', path]);
    }
  });

  test('follows the first when that is retired', async () => {
    second = new FleetFolder(join(mkdtempSync(join(tmpdir(), 'second-')), 'f'));
    const { path } = second;
    const sunset = new Date(Date.now() + 30 * 86_400_000).toISOString().replace(/\.\d+Z$/, 'Z');
    const retire = [...['fleet', 'retire', fleet.folder.path, '--successor', path], '--sunset', sunset];
    await fleet.ok(
      'fleet',
      'create',
      path,
      '--name',
      'second',
      '--nodes',
      '3',
      '--coordinators',
      '1',
      '--base-port',
      String(await reservePorts()),
      '--join',
      fleet.folder.path,
    );
    expect(await fleet.json(2, ...retire)).toMatchObject({ code: 'usage' });
    expect(await fleet.ok('fleet', 'up', path, '--detach')).toMatchObject({ announced: true });
    const retired = await fleet.ok(...retire);
    expect(retired).toMatchObject({ serial: 4, successor: 'second' });
    expect(await fleet.ok(...retire)).toMatchObject({ digest: retired.digest });
    const { fleets } = await look();
    expect(fleets.map(({ fleet: { fleet: name }, standing }) => [name, standing.state])).toEqual([
      ['development', 'retired'],
      ['second', 'live'],
    ]);
  });

  test('has the record after the next use of the PIN, and the first has none any more', async () => {
    const there = fleet.path('alice-second.json');
    await fleet.ok('user-token', '--fleet', second.path, '--subject', 'alice', '--out', there);
    const [old, pinned] = [
      ['--user', fleet.path('alice.json')],
      ['--trust', fleet.folder.trust],
    ];
    expect(await fleet.ok('secret', 'status', ...old, ...pinned)).toMatchObject({ state: 'active' });
    user.push('--user', there);
    expect(await recover()).toBe('what is kept');
    expect(await fleet.ok('secret', 'status', '--user', there, '--trust', second.trust)).toMatchObject({
      state: 'active',
      attemptsLeft: 10,
    });
    expect(await fleet.ok('secret', 'status', ...old, ...pinned)).not.toMatchObject({ state: 'active' });
    await fleet.down();
    // The first coordinators are gone, of which a client asks for as long as it is patient; the cosigner is, too.
    expect(await recover('--patience', '20')).toBe('what is kept');
    await fleet.up(1);
  });

  test('is followed by nobody once it is revoked', async () => {
    await fleet.ok('fleet', 'revoke', second.path, '--reason', 'a token was stolen');
    expect((await look()).failure).toMatchObject({ code: 'bundle_revoked' });
    expect(await fleet.json(6, 'fleet', 'revoke', second.path, '--reason', 'again')).toMatchObject({
      code: 'bundle_revoked',
    });
  });
});

describe('a revoked fleet', () => {
  test('is used by nobody, whatever a client remembers', async () => {
    await fleet.ok('fleet', 'revoke', fleet.folder.path, '--reason', 'the log’s end');
    await expect(look()).rejects.toMatchObject({ code: 'bundle_revoked' });
    const refused = await fleet.json(6, 'secret', 'get', ...user, '--out', fleet.path('none'));
    expect(refused).toMatchObject({ code: 'bundle_revoked' });
    expect(existsSync(fleet.path('none'))).toBe(false);
  });
});
