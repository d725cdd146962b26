/** The Plexi view held against the log: every way in which it can say something else. */

import { beforeAll, describe, expect, it } from 'vitest';
import { hexToBytes, utf8 } from '../../../src/core/index.ts';
import { parseVerifierKey, plexiMessage, plexiResponse, type SignedPolicy } from '../../../src/trust/index.ts';
import { digestOfManifest, key, signPolicy, type TestLog, trustPolicy } from '../../trust/fixture.ts';
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
): Promise<Map<string, Uint8Array>> {
  const digest = digestOfManifest(manifest());
  const stated = { namespace: NAMESPACE, timestamp: NOW, epoch: 1, digest: hexToBytes(digest) };
  const { publicKey } = parseVerifierKey(signer.verifierKey);
  const response = plexiResponse(stated, publicKey, await signer.sign(plexiMessage(stated)));
  return new Map([
    [`namespaces/${NAMESPACE}/audits/1`, utf8(JSON.stringify({ ...response, ...statement }))],
    [`namespaces/${NAMESPACE}/last-verified-epoch`, utf8(JSON.stringify({ epoch: 1, end_hash: digest, ...last }))],
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
