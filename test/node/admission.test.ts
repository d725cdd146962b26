/** How many requests of one record a node takes, and that nobody but who is entitled to it is counted. */

import { describe, expect, it } from 'vitest';
import { VaultClient } from '../../src/client/index.ts';
import { type HoldfastError, systemClock, utf8 } from '../../src/core/index.ts';
import { Admission, RefusedRequest } from '../../src/node/admission.ts';
import {
  type ClientRequest,
  DEFAULT_POLICY,
  decodeAnswerContent,
  encodeRequestContent,
} from '../../src/protocol/index.ts';
import { InProcessFleet } from './in-process.ts';

const PIN = '123456';
const LIMIT = 40;

async function limited() {
  const fleet = await InProcessFleet.create(3);
  await (await fleet.client('alice')).enrol(PIN, utf8('the secret'));
  // Stands still, in the middle of the time for which user tokens that are issued from now on are good.
  let now = Date.now() + 300_000;
  fleet.nodeClock = { ...systemClock, now: () => now };
  fleet.requestsPerRecord = LIMIT;
  for (const node of [1, 2, 3]) await fleet.start(node);
  await fleet.settle();
  const pass = (milliseconds: number) => {
    now += milliseconds;
  };
  return { fleet, pass };
}

/** A client that asks for one user's record with what another user was given. */
async function stranger(fleet: InProcessFleet, record: Uint8Array, userToken?: string): Promise<VaultClient> {
  const { record: _own, ...mallory } = await fleet.credential('mallory');
  return new VaultClient({
    fleet: fleet.fleet,
    record,
    transport: { send: (request) => fleet.coordinator.handle(request) },
    credential: async () => ({ ...mallory, ...(userToken !== undefined && { userToken }) }),
    patience: 0,
  });
}

describe('a record', () => {
  it('is not out of its owner’s reach, however often others ask for it: by another’s token, another’s key, or none', async () => {
    const { fleet } = await limited();
    const { userToken } = await fleet.credential('alice');
    for (const token of [undefined, userToken, 'e30.e30.e30', '']) {
      const mallory = await stranger(fleet, fleet.record('alice'), token);
      for (let i = 0; i <= LIMIT; i++) await expect(mallory.status()).rejects.toMatchObject({ code: 'forbidden' });
    }
    const alice = await fleet.client('alice', { patience: 0 });
    expect((await alice.recover(PIN)).secret.reveal()).toEqual(utf8('the secret'));
  });

  it('is not used up by who sends a request of its owner’s again', async () => {
    const { fleet } = await limited();
    const alice = await fleet.client('alice', { patience: 0 });
    const seen: ClientRequest[] = [];
    fleet.intercept = (request, next) => {
      seen.push(request);
      return next();
    };
    await alice.status();
    for (let i = 0; i <= LIMIT; i++) {
      const { nodes } = await fleet.coordinator.handle(seen[0]!);
      expect(nodes.map(({ code }) => code)).not.toContain('rate_limited');
    }
    expect((await alice.recover(PIN)).secret.reveal()).toEqual(utf8('the secret'));
  });

  it('is turned away once its own user asks more often, until the ten seconds are over; another one is not', async () => {
    const { fleet, pass } = await limited();
    const alice = await fleet.client('alice', { patience: 0 });
    for (let i = 0; i < LIMIT; i++) await alice.status();
    await expect(alice.status()).rejects.toMatchObject({ code: 'rate_limited' });
    await (await fleet.client('bob', { patience: 0 })).enrol(PIN, utf8('his own'));
    pass(9_999);
    await expect(alice.status()).rejects.toMatchObject({ code: 'rate_limited' });
    pass(1);
    expect((await alice.recover(PIN)).secret.reveal()).toEqual(utf8('the secret'));
  });
});

describe('requests over the limit', () => {
  const request = (number: number): ClientRequest => ({
    ...{ fleet: 'f', epoch: 1, operation: 'status', record: new Uint8Array(32), generation: 0, attempt: 0 },
    arguments: new Uint8Array(0),
    sealed: [{ node: 1, enc: new Uint8Array(65), ciphertext: Uint8Array.of(number) }],
  });

  /** An admission whose requests stay at the token until they are let go. */
  function slow(requestsPerRecord: number) {
    let opened = 0;
    const held: (() => void)[] = [];
    let holding = true;
    const admission = new Admission({
      fleet: { fleet: 'f', epoch: 1, nodes: [], policy: { ...DEFAULT_POLICY, minimumShares: 1 } },
      node: 1,
      sealing: {
        open: async () => {
          opened++;
          if (holding) await new Promise<void>((go) => held.push(go));
          return {
            context: { enc: new Uint8Array(65), authenticated: undefined },
            plaintext: encodeRequestContent({
              ...{ version: 1, userToken: '', clientSignature: new Uint8Array(64), blindedElement: undefined },
            }),
            sealAnswer: (answer) => answer,
          };
        },
      },
      authentication: { check: async () => {} },
      clock: { ...systemClock, now: () => 1_000 },
      requestsPerRecord,
    });
    const letGo = () => {
      holding = false;
      for (const go of held) go();
    };
    return { admission, letGo, opened: () => opened };
  }

  it('cost the token nothing', async () => {
    const { admission, letGo, opened } = slow(3);
    letGo();
    for (let i = 0; i < 3; i++) await admission.admit(request(i));
    const over = { code: 'rate_limited', details: { until: 11_000 } };
    for (let i = 3; i < 9; i++) await expect(admission.admit(request(i))).rejects.toMatchObject(over);
    expect(opened()).toBe(3);
  });

  it('do not keep out again what was taken: a second step may be asked for twice', async () => {
    const { admission, letGo, opened } = slow(3);
    letGo();
    const attempt: ClientRequest = { ...request(0), operation: 'attempt' };
    const first = await admission.admit(attempt);
    for (let i = 1; i < 3; i++) await admission.admit(request(i));
    expect(await admission.admit(attempt)).toBe(first);
    expect(opened()).toBe(3);
    first.forget();
    expect(await admission.admit(attempt)).not.toBe(first);
    expect(opened()).toBe(4);
  });

  it('that came all at once are refused too, in words sealed to the client', async () => {
    const { admission, letGo } = slow(3);
    const all = Array.from({ length: 9 }, (_, i) => admission.admit(request(i)).catch((error: HoldfastError) => error));
    letGo();
    const ends = await Promise.all(all);
    const refused = ends.filter((end) => end instanceof RefusedRequest);
    expect(refused.length).toBe(6);
    for (const { sealed } of refused) {
      expect(decodeAnswerContent(sealed)).toMatchObject({ code: 'rate_limited', until: 11_000 });
    }
  });
});
