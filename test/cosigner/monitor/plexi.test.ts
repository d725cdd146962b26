/** The Plexi view held against the log: every way in which it can say something else. */

import { beforeAll, describe, expect, it } from 'vitest';
import { hexToBytes, utf8 } from '../../../src/core/index.ts';
import {
  type LiveManifest,
  parseVerifierKey,
  plexiMessage,
  plexiResponse,
  type SignedPolicy,
} from '../../../src/trust/index.ts';
import {
  acceptance,
  digestOfManifest,
  key,
  proposal,
  signPolicy,
  type TestLog,
  trustPolicy,
} from '../../trust/fixture.ts';
import { NOW } from '../../trust/manifests.ts';
import { MonitorBench, manifest, orderlyLog } from './fixtures.ts';

const NAMESPACE = 'family.production.first';
let policy: SignedPolicy;
let log: TestLog;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
  log = await orderlyLog(policy);
});

/** The view as it should be, with changes to its two answers. */
async function view(
  statement: object = {},
  last: object = {},
  signer = key('cosigner.example/plexi'),
  bundle: LiveManifest = manifest(),
): Promise<Map<string, Uint8Array>> {
  const digest = digestOfManifest(bundle);
  const epoch = bundle.serial;
  const stated = { namespace: NAMESPACE, timestamp: NOW, epoch, digest: hexToBytes(digest) };
  const { publicKey } = parseVerifierKey(signer.verifierKey);
  const response = plexiResponse(stated, publicKey, await signer.sign(plexiMessage(stated)));
  return new Map([
    [`namespaces/${NAMESPACE}/audits/${epoch}`, utf8(JSON.stringify({ ...response, ...statement }))],
    [`namespaces/${NAMESPACE}/last-verified-epoch`, utf8(JSON.stringify({ epoch, end_hash: digest, ...last }))],
  ]);
}

const rules = (answers: ReadonlyMap<string, Uint8Array>) =>
  new MonitorBench(policy, log.fork()).rules({ plexi: { get: async (path) => answers.get(path) } });

describe('a Plexi view', () => {
  it('that says what the log says gives no alert', async () => {
    expect(await rules(await view())).toEqual([]);
  });

  it.each<[string, object, object]>([
    ['another digest', { digest: 'a'.repeat(64) }, {}],
    ['another epoch', { epoch: 2 }, {}],
    ['another namespace', { namespace: 'family.test.first' }, {}],
    ['another time than it signed', { timestamp: NOW + 1 }, {}],
    ['a time that cannot be', { timestamp: -1 }, {}],
    ['no signature', { signature: '' }, {}],
    ['a later epoch than the log', {}, { epoch: 2 }],
    ['another last hash', {}, { end_hash: 'a'.repeat(64) }],
  ])('with %s is an alert', async (_what, statement, last) => {
    expect(await rules(await view(statement, last))).toEqual(['plexi_differs']);
  });

  it('that tells of what was accepted since the log was read gives no alert', async () => {
    const first = manifest();
    const second = manifest({ serial: 2, previous: digestOfManifest(first), accepted: digestOfManifest(first) });
    const answers = new Map([...(await view()), ...(await view({}, {}, undefined, second))]);
    const served = log.fork();
    const get = async (path: string) => {
      // The log has been read by now.
      if (served.entries.length === log.entries.length) {
        await served.append(await proposal(second), await acceptance(second));
      }
      return answers.get(path);
    };
    expect(await new MonitorBench(policy, served).rules({ plexi: { get } })).toEqual([]);
  });

  it('need not know what only a witness has seen yet, and what the log itself shows it must', async () => {
    const bench = new MonitorBench(policy, log.fork());
    bench.vantages.set('a witness', { log });
    bench.size = 1;
    const plexi = { get: async () => undefined };
    expect(await bench.rules({ plexi })).toEqual([]);
    bench.size = undefined;
    expect(await bench.rules({ plexi })).toEqual(['vantage_unreachable']);
  });

  it('signed by another key is an alert', async () => {
    expect(await rules(await view({}, {}, key('stranger.example')))).toEqual(['plexi_differs']);
  });

  it('that lacks a statement, or answers nonsense, is a warning', async () => {
    expect(await rules(new Map())).toEqual(['vantage_unreachable']);
    const nonsense = await view();
    for (const path of nonsense.keys()) nonsense.set(path, utf8('[]'));
    expect(await rules(nonsense)).toEqual(['vantage_unreachable']);
  });
});
