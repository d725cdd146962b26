/** What a monitor alerts to: every rule broken by a log that misbehaves, and nothing where all is in order. */

import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../../src/core/index.ts';
import { noteLeaf, parseNote, type SignedPolicy, serialiseNote, verifyCheckpoint } from '../../../src/trust/index.ts';
import {
  acceptance,
  COSIGNER,
  digestOfManifest,
  key,
  OPERATOR,
  proposal,
  ROSTER,
  revocationLeaf,
  signPolicy,
  TestLog,
  trustPolicy,
  WITNESSES,
} from '../../trust/fixture.ts';
import { DAY, deployment, NOW, nodeKeys, revocation } from '../../trust/manifests.ts';
import { ADDRESS, EVIDENCE, evidenceEntry, HOUR, MonitorBench, manifest, orderlyLog } from './fixtures.ts';

let policy: SignedPolicy;
let log: TestLog;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
  log = await orderlyLog(policy);
});
const bench = () => new MonitorBench(policy, log.fork());

describe('a log in order', () => {
  it('gives no alert, however often it is looked at', async () => {
    const monitor = bench();
    monitor.vantages.set('w1', { log: monitor.log! });
    for (let i = 0; i < 3; i++) {
      const { alerts, size, quorum } = await monitor.look();
      expect(alerts).toEqual([]);
      expect([size, quorum]).toEqual([log.entries.length, NOW - HOUR]);
      monitor.clock.time += HOUR;
    }
  });

  it('gives none while it grows, also when a witness is ahead for a moment', async () => {
    const monitor = bench();
    expect(await monitor.rules()).toEqual([]);
    const before = monitor.log!.entries.length;
    const next = manifest({
      serial: 2,
      previous: digestOfManifest(manifest()),
      accepted: digestOfManifest(manifest()),
    });
    await monitor.log!.append(await proposal(next), await acceptance(next));
    monitor.size = before;
    monitor.vantages.set('w1', { log: monitor.log! });
    expect(await monitor.rules()).toEqual([]);
    monitor.size = undefined;
    monitor.clock.time += 2 * HOUR;
    expect(await monitor.rules()).toEqual([]);
  });

  it('gives none to a monitor that is started again', async () => {
    const monitor = bench();
    await monitor.look();
    monitor.disk = monitor.disk.reopen();
    await monitor.log!.append();
    expect(await monitor.rules()).toEqual([]);
  });
});

describe('a log that cannot be read', () => {
  it('is an alert, and over when it can', async () => {
    const monitor = bench();
    const served = monitor.log!;
    expect(await monitor.rules()).toEqual([]);
    monitor.log = undefined;
    expect(await monitor.look()).toMatchObject({ alerts: [{ rule: 'log_unreachable', since: NOW }] });
    monitor.clock.time += HOUR;
    expect(await monitor.look()).toMatchObject({ alerts: [{ rule: 'log_unreachable', since: NOW }], raised: [] });
    monitor.log = served;
    expect(await monitor.look()).toMatchObject({ alerts: [], resolved: [{ rule: 'log_unreachable' }] });
  });

  it('is another alert where the checkpoint is not signed by its key, or by witnesses falsely', async () => {
    const monitor = bench();
    monitor.log!.signers.log = key('log.example/family/production', 'ed25519', 'another secret');
    expect(await monitor.rules()).toEqual(['checkpoint_invalid', 'stale_quorum', ...[]]);
  });

  it('is another where the leaves are not those that it signed', async () => {
    const monitor = bench();
    monitor.leavesOf = new TestLog(policy);
    await monitor.leavesOf.append();
    await monitor.leavesOf.append(
      evidenceEntry(utf8('other')),
      await proposal(manifest()),
      await acceptance(manifest()),
    );
    expect((await monitor.look()).alerts.map(({ rule }) => rule)).toEqual(['leaves_wrong', 'stale_quorum']);
  });
});

describe('a split view', () => {
  it('between the log and a witness is an alert for ever, with both signed checkpoints in files', async () => {
    const monitor = bench();
    await monitor.look();
    const other = new TestLog(policy);
    await other.append();
    await other.append(evidenceEntry(utf8('other')), await proposal(manifest()), await acceptance(manifest()));
    monitor.vantages.set('w2', { log: other });
    const { alerts } = await monitor.look();
    expect(alerts).toMatchObject([{ rule: 'split_view', severity: 'alert' }]);
    const notes = alerts[0]!.files!.map((path) => readFileSync(path, 'utf8'));
    const texts = notes.map((note) => verifyCheckpoint(parseNote(note), policy.tlog).checkpoint);
    expect(texts.map(({ size }) => size)).toEqual([other.entries.length, log.entries.length]);
    expect(texts[0]!.root).not.toEqual(texts[1]!.root);
    monitor.vantages.clear();
    monitor.disk = monitor.disk.reopen();
    expect(await monitor.look()).toMatchObject({ alerts: [{ rule: 'split_view', since: NOW }], raised: [] });
  });

  it('at a size that the log has left behind is found too', async () => {
    const monitor = bench();
    const early = new TestLog(policy);
    await early.append(evidenceEntry(utf8('other')));
    monitor.vantages.set('mirror', { log: early });
    expect(await monitor.rules()).toEqual(['split_view']);
  });

  it('at a size that the log does not serve is an alert when it lasts', async () => {
    const monitor = bench();
    const longer = monitor.log!.fork();
    await longer.append();
    monitor.vantages.set('w3', { log: longer });
    expect(await monitor.rules()).toEqual([]);
    monitor.clock.time += HOUR;
    expect(await monitor.look()).toMatchObject({ alerts: [{ rule: 'withheld', subject: 'w3' }] });
    monitor.log = longer;
    expect(await monitor.rules()).toEqual([]);
  });

  it('at a size that the log had not reached is found when it does, whatever the place shows by then', async () => {
    const monitor = bench();
    const longer = monitor.log!.fork();
    await longer.append();
    monitor.vantages.set('w3', { log: longer });
    expect(await monitor.rules()).toEqual([]);
    monitor.vantages.clear();
    const other = manifest({
      serial: 2,
      previous: digestOfManifest(manifest()),
      accepted: digestOfManifest(manifest()),
    });
    await monitor.log!.append(await proposal(other), await acceptance(other));
    expect(await monitor.rules()).toEqual(['split_view']);
  });

  it('could stay unseen where a place does not answer: a warning', async () => {
    const monitor = bench();
    monitor.vantages.set('w4', undefined);
    expect((await monitor.look()).alerts).toMatchObject([{ rule: 'vantage_unreachable', severity: 'warning' }]);
  });
});

describe('a log that', () => {
  it('went back is an alert while it is smaller', async () => {
    const monitor = bench();
    await monitor.look();
    monitor.size = 1;
    expect(await monitor.rules()).toEqual(['went_back']);
    monitor.size = undefined;
    expect(await monitor.rules()).toEqual([]);
  });

  it('was rewritten at the same size is an alert for ever', async () => {
    const monitor = bench();
    await monitor.look();
    const honest = monitor.log!;
    monitor.log = new TestLog(policy);
    await monitor.log.append();
    await monitor.log.append(evidenceEntry(utf8('other')), await proposal(manifest()), await acceptance(manifest()));
    expect(await monitor.rules()).toEqual(['rewritten']);
    monitor.log = honest;
    expect(await monitor.rules()).toEqual(['rewritten']);
  });

  it('was rewritten and has grown is told from one that serves wrong leaves', async () => {
    const monitor = bench();
    await monitor.look();
    const rewritten = new TestLog(policy);
    await rewritten.append(evidenceEntry());
    await rewritten.append(evidenceEntry(utf8('other')));
    await rewritten.accept(manifest());
    expect(rewritten.entries.length).toBeGreaterThan(log.entries.length);
    monitor.log = rewritten;
    const { alerts } = await monitor.look();
    expect(alerts).toMatchObject([{ rule: 'rewritten', files: [expect.any(String), expect.any(String)] }]);
  });

  it('does not begin as the policy says is an alert', async () => {
    const floor = { size: 1, root: 'f'.repeat(64), serial: 1 };
    const strict = await signPolicy(trustPolicy({ floor }));
    const monitor = new MonitorBench(strict, log.fork());
    expect(await monitor.rules()).toEqual(['rewritten']);
  });
});

describe('leaves that break rules', () => {
  const second = () => ({ serial: 2, previous: digestOfManifest(manifest()), accepted: digestOfManifest(manifest()) });

  it.each([
    ['broken_chain', async (log: TestLog) => void log.write(await proposal(manifest({ ...second(), serial: 3 })))],
    ['broken_chain', async (log: TestLog) => void log.write(await acceptance(manifest()))],
    ['wrong_leaf', async (log: TestLog) => void log.write(utf8('something else'))],
    [
      'wrong_leaf',
      async (log: TestLog) => {
        log.write(await proposal(manifest(second()), OPERATOR));
      },
    ],
    [
      'wrong_roster',
      async (log: TestLog) => {
        const wrong = log.fork();
        wrong.state = { ...wrong.state, rosters: 9 };
        await wrong.append();
        log.write(wrong.entries.at(-1)!);
      },
    ],
    [
      'wrong_roster',
      async (log: TestLog) => {
        // The fleet is left out.
        const wrong = log.fork();
        wrong.state = { ...wrong.state, fleets: new Map() };
        await wrong.append();
        log.write(wrong.entries.at(-1)!);
      },
    ],
  ])('are %s', async (rule, misbehave) => {
    const monitor = bench();
    await monitor.look();
    await misbehave(monitor.log!);
    await monitor.log!.append();
    const { alerts } = await monitor.look();
    expect(alerts.map((alert) => alert.rule)).toEqual([rule]);
    expect(alerts[0]!.files).toHaveLength(1);
    monitor.disk = monitor.disk.reopen();
    expect(await monitor.rules()).toEqual([rule]);
  });

  it('are revived_key where a revoked key comes back, or a revoked fleet', async () => {
    const monitor = bench();
    const digest = digestOfManifest(manifest());
    const revoked = revocation({ fleet: 'first', serial: 1, digest });
    await monitor.log!.append(await revocationLeaf(revoked));
    expect(await monitor.rules()).toEqual([]);
    const again = deployment({
      fleet: 'second',
      nodes: manifest().nodes.map((node, i) => (i > 0 ? { ...node, keys: nodeKeys(`new-${i}`) } : node)),
    });
    const resurrecting = monitor.log!.fork();
    monitor.log!.write(await proposal({ ...again, evidence: manifest().evidence }));
    await monitor.log!.append();
    expect(await monitor.rules()).toEqual(['revived_key']);
    // A roster that lists the revoked fleet as live.
    const other = new MonitorBench(policy, resurrecting.fork());
    const first = resurrecting.state.fleets.get('first')!;
    resurrecting.state = { ...resurrecting.state, fleets: new Map([['first', { ...first, revokedThrough: 0 }]]) };
    await resurrecting.append();
    other.log!.write(resurrecting.entries.at(-1)!);
    await other.log!.append();
    expect(await other.rules()).toEqual(['revived_key']);
  });

  it('are wrong_roster where a signed tree ends in none', async () => {
    const monitor = bench();
    monitor.log!.write(evidenceEntry(utf8('other')));
    monitor.evidence.set(ADDRESS, EVIDENCE);
    expect(await monitor.rules()).toContain('wrong_roster');
  });
});

describe('a proposal', () => {
  const next = () =>
    manifest({ serial: 2, previous: digestOfManifest(manifest()), accepted: digestOfManifest(manifest()) });

  it('that nobody accepts is an alert after a day, counted from the first look', async () => {
    const monitor = bench();
    await monitor.log!.append(await proposal({ ...next(), notBefore: NOW + DAY, notAfter: NOW + 100 * DAY }));
    expect(await monitor.rules()).toEqual([]);
    monitor.clock.time += 23 * HOUR;
    monitor.witnessed = witnessedAt(monitor.clock.time);
    monitor.disk = monitor.disk.reopen();
    expect(await monitor.rules()).toEqual([]);
    monitor.clock.time += HOUR;
    expect(await monitor.rules()).toEqual(['unaccepted_proposal']);
  });

  it('is one at the first look where it says that it has long been in force', async () => {
    const monitor = bench();
    await monitor.log!.append(await proposal({ ...next(), notBefore: NOW - 2 * DAY }));
    expect(await monitor.rules()).toEqual(['unaccepted_proposal']);
  });

  it('is none once it is accepted, void or revoked', async () => {
    const accepted = bench();
    const old = { ...next(), notBefore: NOW - 2 * DAY };
    await accepted.log!.append(await proposal(old));
    expect(await accepted.rules()).toEqual(['unaccepted_proposal']);
    const revoked = new MonitorBench(policy, accepted.log!.fork());
    const replaced = new MonitorBench(policy, accepted.log!.fork());
    await accepted.log!.append(await acceptance(old));
    expect(await accepted.rules()).toEqual([]);
    await revoked.log!.append(
      await revocationLeaf(revocation({ fleet: 'first', serial: 2, digest: digestOfManifest(old) })),
    );
    expect(await revoked.rules()).toEqual([]);
    const later = { ...next(), serial: 3, previous: digestOfManifest(old), notBefore: NOW };
    await replaced.log!.append(await proposal(later));
    expect(await replaced.rules()).toEqual([]);
  });
});

describe('evidence', () => {
  it('is fetched once a day while it is right', async () => {
    const monitor = bench();
    await monitor.look();
    await monitor.look();
    expect(monitor.fetched).toEqual([ADDRESS]);
    monitor.clock.time += DAY;
    monitor.witnessed = witnessedAt(monitor.clock.time);
    await monitor.look();
    expect(monitor.fetched).toEqual([ADDRESS, ADDRESS]);
  });

  it('that is not served is missing until it is', async () => {
    const monitor = bench();
    monitor.evidence.clear();
    expect(await monitor.rules()).toEqual(['evidence_missing']);
    monitor.evidence.set(ADDRESS, EVIDENCE);
    expect(await monitor.rules()).toEqual([]);
  });

  it.each([
    ['of another length', utf8('{}')],
    ['of the same length', utf8(`${'x'.repeat(EVIDENCE.length)}`)],
  ])('%s is wrong', async (_what, bytes) => {
    const monitor = bench();
    monitor.evidence.set(ADDRESS, bytes);
    expect(await monitor.rules()).toEqual(['evidence_wrong']);
  });

  it('larger than allowed is wrong, and not fetched where the log says so itself', async () => {
    const monitor = bench();
    const small = { ...monitor.options().evidence, maximumBytes: EVIDENCE.length - 1 };
    expect(await monitor.rules({ evidence: small })).toEqual(['evidence_wrong']);
    expect(monitor.fetched).toEqual([]);
  });

  it('that a deeper look finds wrong is wrong', async () => {
    const monitor = bench();
    const verify = async () => 'the statement is signed by a stranger';
    const { alerts } = await monitor.look({ evidence: { ...monitor.options().evidence, verify } });
    expect(alerts).toMatchObject([{ rule: 'evidence_wrong', message: expect.stringContaining('stranger') as string }]);
  });

  it('of a bundle that is not in the log is missing', async () => {
    const monitor = new MonitorBench(policy, new TestLog(policy));
    await monitor.log!.append(await proposal(manifest()));
    expect(await monitor.rules()).toEqual(['evidence_missing']);
    await monitor.log!.append(evidenceEntry());
    expect(await monitor.rules()).toEqual([]);
  });

  it('is not looked at where that is switched off', async () => {
    const monitor = bench();
    monitor.evidence.clear();
    expect(await monitor.rules({ evidence: { ...monitor.options().evidence, fetch: undefined } })).toEqual([]);
  });
});

const witnessedAt = (time: number) => Object.fromEntries(WITNESSES.map((name) => [name, time]));

describe('the quorum of witnesses', () => {
  it('is stale when none is younger than the policy allows', async () => {
    const monitor = bench();
    expect(await monitor.rules()).toEqual([]);
    monitor.clock.time += 23 * HOUR;
    expect(await monitor.rules()).toEqual([]);
    monitor.clock.time += HOUR / 2;
    expect(await monitor.rules()).toEqual(['stale_quorum']);
    monitor.witnessed = witnessedAt(monitor.clock.time);
    expect(await monitor.rules()).toEqual([]);
  });

  it('is stale where too few have cosigned, whoever else did', async () => {
    const monitor = bench();
    monitor.witnessed = { [WITNESSES[1]]: NOW, [WITNESSES[2]]: NOW };
    expect(await monitor.rules()).toEqual(['stale_quorum']);
  });

  it('counts cosignatures from all places, and none from the future', async () => {
    const monitor = bench();
    monitor.witnessed = witnessedAt(NOW + HOUR);
    expect(await monitor.rules()).toEqual(['stale_quorum']);
  });
});

describe('one’s own journal', () => {
  const line = (signer: { verifierKey: string }, purpose: string, digest: string, time = NOW - 2 * HOUR) => ({
    time,
    purpose,
    key: signer.verifierKey.split('+').slice(0, 2).join('+'),
    digest,
    about: `a signature for ${purpose}`,
  });
  const own = (digest: string, time?: number) => line(COSIGNER, 'bundle', digest, time);
  const journal = (...lines: ReturnType<typeof line>[]) => ({ journal: { read: async () => lines } });

  it('that the log agrees with gives no alert', async () => {
    const bundle = digestOfManifest(manifest());
    expect(await bench().rules(journal(own(bundle), line(OPERATOR, 'bundle', bundle)))).toEqual([]);
    expect(await bench().rules(journal())).toEqual([]);
  });

  it('with a signature that the log does not show is an alert, after a while', async () => {
    const bundle = digestOfManifest(manifest());
    expect(await bench().rules(journal(own(bundle), own('a'.repeat(64))))).toEqual(['signed_not_logged']);
    expect(await bench().rules(journal(own(bundle), own('a'.repeat(64), NOW)))).toEqual([]);
  });

  it('without a signature that the log shows is an alert: somebody else uses the key', async () => {
    expect(await bench().rules(journal(own('a'.repeat(64), NOW)))).toEqual(['logged_not_signed']);
  });

  it('of the log’s key is compared with the trees that were signed', async () => {
    const monitor = bench();
    const { digestOf } = await import('../../../src/trust/index.ts');
    const signed = async (from: TestLog, size?: number) =>
      digestOf((await from.checkpoint(size === undefined ? {} : { size })).text);
    const lines = [
      line(log.signers.log, 'checkpoint', await signed(log)),
      line(log.signers.log, 'checkpoint', await signed(log, 1)),
    ];
    expect(await monitor.rules(journal(...lines))).toEqual([]);
    const fork = new TestLog(policy);
    await fork.append(evidenceEntry(utf8('secret')));
    const hidden = line(log.signers.log, 'checkpoint', await signed(fork));
    expect(await monitor.rules(journal(...lines, hidden))).toEqual(['signed_not_logged']);
  });

  it('that is damaged stops the look', async () => {
    const read = async () => {
      throw new HoldfastError('untrusted', 'the journal is damaged');
    };
    await expect(bench().look({ journal: { read } })).rejects.toMatchObject({ message: 'the journal is damaged' });
  });
});

describe('alerts on the disk', () => {
  it('are whole after a crash at any commit, and found again', async () => {
    for (const point of ['before', 'after'] as const) {
      for (let commits = 0; commits < 4; commits++) {
        const monitor = bench();
        monitor.evidence.clear();
        for (let i = 0; i < commits; i++) await monitor.look();
        monitor.disk.crashAtNextCommit(point);
        await expect(monitor.look()).rejects.toThrow('crashed');
        monitor.disk = monitor.disk.reopen();
        expect(await monitor.rules()).toEqual(['evidence_missing']);
      }
    }
  });

  it('of another log, or damaged, are refused', async () => {
    const monitor = bench();
    await monitor.look();
    const [[key, value]] = [...monitor.disk.entries('monitor')] as [[Uint8Array, Uint8Array]];
    await monitor.disk.commit([{ table: 'monitor', key, value: value.subarray(1) }]);
    await expect(monitor.look()).rejects.toMatchObject({ code: 'store_refused' });
  });
});

// Keeps the fixtures honest: the names used above sign what the log checks.
it('the log of these tests is signed by the keys of its policy', async () => {
  expect(ROSTER.verifierKey).toBe(policy.policy.roster.text);
  expect(() =>
    noteLeaf('roster', parseNote(serialiseNote(parseNote(new TextDecoder().decode(log.entries.at(-1)))))),
  ).not.toThrow();
});
