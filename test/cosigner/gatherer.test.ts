import { beforeEach, expect, test } from 'vitest';
import { HoldfastError, utf8 } from '../../src/core/index.ts';
import { type GatherEvent, Gatherer, type GathererOptions } from '../../src/cosigner/gather/index.ts';
import { readRows, type TransparencyLog } from '../../src/cosigner/log/index.ts';
import { parseCheckpoint, parseNote, parseTlogPolicy } from '../../src/trust/index.ts';
import { LogBench } from './log-fixture.ts';
import { TestWitness, testWitnesses } from './witnesses.ts';

const leaf = (i: number) => utf8(`test/leaf\n${i}\n`);
const DAY = 86_400;

let bench: LogBench;
let log: TransparencyLog;
let events: GatherEvent[];
let witnesses: TestWitness[];
let gatherer: Gatherer;

function newGatherer(changes: Partial<GathererOptions> = {}): Gatherer {
  const made = testWitnesses(bench.signer('checkpoint').verifierKey, () => bench.now);
  witnesses ??= made.witnesses;
  const own = witnesses;
  return new Gatherer({
    policy: made.policy,
    log,
    store: bench.store,
    transport: {
      get: async (url) => {
        const { shown } = own.find(({ signer }) => url.hostname === signer.name)!;
        return { status: shown === undefined ? 404 : 200, body: utf8(shown ?? '') };
      },
      post: async (url, body) => own.find(({ signer }) => url.hostname === signer.name)!.post(body),
    },
    clock: { now: () => bench.now, sleep: async () => {} },
    timeout: 1000,
    maximumAge: DAY,
    onEvent: (event) => events.push(event),
    ...changes,
  });
}

beforeEach(async () => {
  bench = new LogBench();
  log = await bench.open();
  events = [];
  witnesses = undefined as unknown as TestWitness[];
  gatherer = newGatherer();
});

const kinds = () =>
  events.map((event) => (event.kind === 'refused' ? `refused ${event.error.code}` : event.kind)).sort();
const stored = () => parseNote(readRows(bench.store).cosigned('newest')!.note);
const quorumSize = () => gatherer.quorum && parseCheckpoint(parseNote(gatherer.quorum.note).text).size;

test('all witnesses cosign, at first and after more leaves, with proofs from what each has seen', async () => {
  expect(gatherer.confirmed).toBe(false);
  expect(await gatherer.gather()).toBe(true);
  expect(gatherer.confirmed).toBe(true);
  expect(kinds()).toEqual(['cosigned', 'cosigned', 'cosigned', 'quorum']);
  expect(stored().signatures.length).toBe(4);
  await log.append(leaf(1));
  expect(await gatherer.gather()).toBe(true);
  expect(witnesses[0]!.requests[1]).toMatch(/^old 1\n(?:[A-Za-z0-9+/=]{44}\n)+\nlog\.example/);
  expect(quorumSize()).toBe(3);
  expect(gatherer.cosignatures(gatherer.quorum!.note).length).toBe(3);
});

test('a new process learns from 409 what each witness has seen', async () => {
  await gatherer.gather();
  await log.append(leaf(1));
  gatherer = newGatherer();
  expect(await gatherer.gather()).toBe(true);
  expect(witnesses[0]!.requests.map((request) => request.split('\n')[0])).toEqual(['old 0', 'old 0', 'old 1']);
});

test('the quorum stays with the old checkpoint until the new one has one', async () => {
  await gatherer.gather();
  await log.append(leaf(1));
  for (const witness of witnesses.slice(1)) witness.misbehave = async () => ({ status: 503, body: new Uint8Array() });
  expect(await gatherer.gather()).toBe(false);
  expect(quorumSize()).toBe(1);
  expect(readRows(bench.store).cosigned('newest')).toMatchObject({ size: 3, quorum: 0 });
  witnesses[1]!.misbehave = undefined;
  expect(await gatherer.gather()).toBe(true);
  expect(quorumSize()).toBe(3);
});

test('an idle log’s cosignatures are made anew, and one that is not keeps its old time', async () => {
  await gatherer.gather();
  bench.now += 3_600_000;
  witnesses[2]!.misbehave = async () => {
    throw new HoldfastError('not_ready', 'no answer');
  };
  expect(await gatherer.gather()).toBe(true);
  const times = gatherer.cosignatures(gatherer.quorum!.note).map(({ seconds }) => seconds * 1000 - bench.now);
  expect(times.sort((a, b) => a - b)).toEqual([-3_600_000, 0, 0]);
  expect(stored().signatures.length).toBe(4);
});

test('cosignatures that have become too old make no quorum', async () => {
  await gatherer.gather();
  bench.now += (DAY + 1) * 1000;
  for (const witness of witnesses.slice(1)) witness.misbehave = async () => ({ status: 500, body: new Uint8Array() });
  expect(await gatherer.gather()).toBe(false);
});

test('a witness that has seen more of this log than there is raises the alarm', async () => {
  await log.append(leaf(1));
  await gatherer.gather();
  const old = new LogBench();
  bench = old;
  log = await old.open();
  gatherer = newGatherer();
  expect(await gatherer.gather()).toBe(false);
  expect(gatherer.alarm).toMatchObject({ code: 'rolled_back' });
  expect(gatherer.confirmed).toBe(false);
});

test('an old store is not confirmed by the one witness that missed the last leaves', async () => {
  await gatherer.gather();
  const old = bench.store.snapshot();
  witnesses[0]!.misbehave = async () => ({ status: 503, body: new Uint8Array() });
  await log.append(leaf(1));
  expect(await gatherer.gather()).toBe(true);
  // Restored; the two that know more cannot show it now.
  witnesses[0]!.misbehave = undefined;
  for (const witness of witnesses.slice(1)) witness.shown = undefined;
  bench.store.restore(old);
  log = await bench.reopen();
  gatherer = newGatherer();
  await gatherer.gather();
  expect(kinds().filter((kind) => kind === 'refused untrusted').length).toBe(2);
  expect(gatherer.confirmed).toBe(false);
});

test('a witness that shows another root, signed by the log, raises the alarm', async () => {
  const other = new LogBench();
  other.content = { ...other.content, nextRoster: (...given) => `${bench.content.nextRoster(...given)}fork\n` };
  const forked = await other.open();
  witnesses[0]!.misbehave = async () => ({ status: 422, body: new Uint8Array() });
  witnesses[0]!.shown = forked.head.checkpoint;
  await gatherer.gather();
  expect(gatherer.alarm).toMatchObject({ code: 'split_view', details: { witness: 'w1.example' } });
});

test.each<[string, number, Uint8Array, () => string | undefined]>([
  ['more leaves', 409, utf8('99\n'), () => undefined],
  ['more leaves, with our own checkpoint', 409, utf8('99\n'), () => log.head.checkpoint],
  ['another tree', 422, new Uint8Array(), () => undefined],
  [
    'another tree, with a checkpoint of another key',
    422,
    new Uint8Array(),
    () => log.head.checkpoint.replace(/.{20}\n$/, `${'A'.repeat(20)}\n`),
  ],
])('one witness that claims %s without proof stops nothing', async (_what, status, body, shown) => {
  witnesses[0]!.misbehave = async () => ({ status, body });
  witnesses[0]!.shown = shown();
  expect(await gatherer.gather()).toBe(true);
  expect(gatherer.alarm).toBeUndefined();
  expect(kinds()).toEqual(['cosigned', 'cosigned', 'quorum', 'refused untrusted']);
});

const MANY = new Uint8Array(10_000).fill(65);
test.each<[string, number, Uint8Array, string]>([
  ['an unknown log', 404, new Uint8Array(), 'untrusted'],
  ['a key that it does not take', 403, new Uint8Array(), 'untrusted'],
  ['a conflict without a size', 409, utf8('many\n'), 'untrusted'],
  ['a conflict with a size without its newline', 409, utf8('0'), 'untrusted'],
  ['a conflict with leading zeroes', 409, utf8('00\n'), 'untrusted'],
  ['a conflict for ever', 409, utf8('0\n'), 'not_ready'],
  ['an error of its own', 500, new Uint8Array(), 'not_ready'],
  ['a redirect', 302, new Uint8Array(), 'not_ready'],
  ['nothing', 200, new Uint8Array(), 'untrusted'],
  ['something else', 200, MANY, 'untrusted'],
  ['bytes that are no text', 200, Uint8Array.of(0xff, 0xfe, 10), 'untrusted'],
  ['a line of an unknown key', 200, utf8('— other.example AAAAAAAA\n'), 'untrusted'],
])('an answer of %s is refused, and the others make the quorum', async (_what, status, body, code) => {
  witnesses[0]!.misbehave = async () => ({ status, body });
  expect(await gatherer.gather()).toBe(true);
  expect(kinds()).toEqual(['cosigned', 'cosigned', 'quorum', `refused ${code}`]);
  expect(gatherer.alarm).toBeUndefined();
  expect(stored().signatures.length).toBe(3);
});

test('a forged cosignature never gets into what is stored; lines of unknown keys are passed over', async () => {
  witnesses[0]!.misbehave = async (_request, right) => {
    const { body } = await right();
    const forged = body.slice();
    // A digit of the signature.
    forged[forged.length - 12]! = forged[forged.length - 12] === 65 ? 66 : 65;
    return { status: 200, body: forged };
  };
  witnesses[1]!.misbehave = async (_request, right) => {
    const { status, body } = await right();
    return { status, body: new Uint8Array([...utf8('— stranger.example AAAAAAAAAAAA\n'), ...body]) };
  };
  expect(await gatherer.gather()).toBe(true);
  expect(stored().signatures.map(({ name }) => name)).toEqual(['log.example/vault/test', 'w2.example', 'w3.example']);
});

test('rounds asked for at the same time become two at most, and the last sees the newest head', async () => {
  const first = gatherer.gather();
  await log.append(leaf(1));
  await Promise.all([first, gatherer.gather(), gatherer.gather(), gatherer.gather()]);
  expect(quorumSize()).toBe(3);
  expect(witnesses[0]!.requests.length).toBeLessThanOrEqual(3);
});

test('after a start another round is due until a quorum has confirmed, however good the cosignatures kept', async () => {
  expect(await gatherer.gather()).toBe(true);
  log = await bench.reopen();
  gatherer = newGatherer();
  for (const witness of witnesses.slice(1)) witness.misbehave = async () => ({ status: 503, body: new Uint8Array() });
  expect(await gatherer.gather()).toBe(false);
  witnesses[1]!.misbehave = undefined;
  expect(await gatherer.gather()).toBe(true);
  expect(gatherer.confirmed).toBe(true);
});

test('under a later policy those count as having confirmed that have the same keys, whatever they are called there', async () => {
  await gatherer.gather();
  const own = witnesses;
  const policyOf = (names: readonly string[], who: readonly TestWitness[]) =>
    parseTlogPolicy(
      [
        `log ${bench.signer('checkpoint').verifierKey}`,
        ...who.map(({ signer }, i) => `witness ${names[i]} ${signer.verifierKey} https://${signer.name}/prefix`),
        `group both 2 ${names.join(' ')}`,
        'quorum both\n',
      ].join('\n'),
    );
  const renamed = newGatherer({ before: gatherer, policy: policyOf(['x', 'y'], own.slice(0, 2)) });
  expect(renamed.confirmed).toBe(true);
  const stranger = new TestWitness('w4.example', bench.signer('checkpoint').verifierKey, () => bench.now);
  const policy = policyOf(['w1.example', 'w4.example'], [own[0]!, stranger]);
  expect(newGatherer({ before: renamed, policy }).confirmed).toBe(false);
});
