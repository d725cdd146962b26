/** When a client signs what it asks of a node, and what it does where a node wants that otherwise than it thought. */

import { describe, expect, it } from 'vitest';
import { type ClientSuite, type ClientWait, standardSuite, VaultClient } from '../../src/client/index.ts';
import { HoldfastError, systemRandom, utf8 } from '../../src/core/index.ts';
import type { ClientAnswer, ClientRequest, Operation, Policy } from '../../src/protocol/index.ts';
import { hasty, InProcessFleet } from '../node/in-process.ts';

const PIN = '123456';
const secret = utf8('the backup key');

interface Signed {
  readonly operation: Operation;
  readonly node: number;
  /** What for. */
  readonly by: 'request' | 'context';
}

/** A fleet with alice's record, and a device of hers whose signatures, requests and waits are noted. */
async function scene(options: { nodes?: number; before?: readonly number[]; policy?: Partial<Policy> } = {}) {
  const { nodes = 5, before = [], policy } = options;
  const fleet = await InProcessFleet.create(nodes, policy);
  const restart = async (...which: readonly number[]) => {
    for (const node of which) await fleet.start(node);
    await fleet.settle();
  };
  await (await fleet.client('alice')).enrol(PIN, secret);
  for (const node of before) fleet.before.add(node);
  await restart(...before);
  const signed: Signed[] = [];
  const sent: Operation[] = [];
  const waits: ClientWait[] = [];
  const standard = standardSuite(systemRandom);
  const suite: ClientSuite = {
    ...standard,
    signRequest(credential, outer, enc) {
      signed.push({ operation: outer.operation, node: outer.node, by: enc ? 'context' : 'request' });
      return standard.signRequest(credential, outer, enc);
    },
  };
  const clock = hasty();
  const { record, ...credential } = await fleet.credential('alice');
  /** Before each request: what happens to the fleet meanwhile. */
  let meanwhile: (request: ClientRequest) => Promise<void> | void = () => {};
  let answered: (answer: ClientAnswer, request: ClientRequest) => ClientAnswer = (answer) => answer;
  const device = new VaultClient({
    ...{ fleet: fleet.fleet, record, clock, suite, patience: 1000 },
    onWait: (wait) => waits.push(wait),
    credential: async () => credential,
    transport: {
      async send(request) {
        sent.push(request.operation);
        await meanwhile(request);
        return answered(await fleet.coordinator.handle(request), request);
      },
    },
  });
  return {
    ...{ fleet, device, restart, signed, sent, waits, clock },
    meanwhile: (what: typeof meanwhile) => {
      meanwhile = what;
    },
    answers: (what: typeof answered) => {
      answered = what;
    },
    attemptsUsed: async () => (await device.status()).attemptsSinceSuccess,
  };
}

/** The nodes that the operation was signed for, in turn, and what for. */
const of = (signed: readonly Signed[], operation: Operation, by: Signed['by']) =>
  signed.flatMap((one) => (one.operation === operation && one.by === by ? [one.node] : []));

describe('a client', () => {
  it('signs once for the context with each node that answers its status, and each request to one that did not', async () => {
    const { device, signed, sent, answers } = await scene();
    let silent = 0;
    answers((answer, { operation }) => {
      if (operation !== 'status') return answer;
      // Of those that have answered, one more does not get through.
      const [first, ...rest] = answer.nodes;
      silent = first!.node;
      return { ...answer, nodes: rest };
    });
    expect((await device.recover(PIN)).secret.reveal()).toEqual(secret);
    expect(sent).toEqual(['status', 'attempt', 'confirm']);
    expect(of(signed, 'status', 'context')).toEqual([1, 2, 3, 4, 5]);
    const unheard = of(signed, 'attempt', 'request');
    expect(unheard).toContain(silent);
    expect(unheard.length).toBeLessThanOrEqual(2);
    expect(of(signed, 'confirm', 'request')).toEqual(unheard);
    expect(signed.length).toBe(5 + 2 * unheard.length);
  });

  it.each(['attempt', 'confirm'] as const)(
    'whose nodes are all restarted before its %s sends that once more at once, and no guess is lost',
    async (operation) => {
      const { device, restart, signed, sent, waits, meanwhile, attemptsUsed } = await scene();
      let restarted = false;
      meanwhile(async (request) => {
        if (request.operation !== operation || restarted) return;
        restarted = true;
        await restart(1, 2, 3, 4, 5);
      });
      expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 0, faultyNodes: [] });
      const steps = ['status', 'attempt', 'confirm'];
      expect(sent).toEqual(steps.flatMap((step) => (step === operation ? [step, step] : [step])));
      expect([...new Set(of(signed, operation, 'request'))].sort()).toEqual([1, 2, 3, 4, 5]);
      expect(waits).toEqual([]);
      expect(await attemptsUsed()).toBe(0);
    },
  );

  it('whose second sending fails, too, goes on as after any failure: nobody has refused it', async () => {
    const { device, restart, sent, waits, meanwhile } = await scene();
    meanwhile(async ({ operation }) => {
      if (operation !== 'confirm') return;
      const times = sent.filter((one) => one === operation).length;
      if (times === 1) await restart(1, 2, 3, 4, 5);
      if (times === 2) throw new HoldfastError('no_majority', 'the coordinator was restarted as well');
    });
    expect((await device.recover(PIN)).secret.reveal()).toEqual(secret);
    expect(sent).toEqual(['status', 'attempt', 'confirm', 'confirm', 'confirm']);
    expect(waits.map(({ code }) => code)).toEqual(['no_majority']);
  });

  it('whose wrong PIN meets restarted nodes loses one guess, not two', async () => {
    const { device, restart, meanwhile, attemptsUsed } = await scene();
    let times = 0;
    meanwhile(async ({ operation }) => {
      if (operation === 'attempt' && times++ === 0) await restart(1, 2, 3, 4, 5);
    });
    await expect(device.recover('654321')).rejects.toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 9 } });
    expect(await attemptsUsed()).toBe(1);
  });

  it.each(['open', 'stage', 'activate', 'attempt', 'confirm'] as const)(
    'enrols on all nodes though one of them is restarted before its %s',
    async (operation) => {
      const { device, restart, waits, meanwhile } = await scene({ nodes: 3 });
      let restarted = false;
      meanwhile(async (request) => {
        if (request.operation !== operation || restarted) return;
        restarted = true;
        await restart(2);
      });
      expect(await device.changePin(PIN, '654321')).toMatchObject({ degraded: false });
      expect(restarted).toBe(true);
      expect(waits).toEqual([]);
    },
  );

  it('signs again 20 seconds after its first request, before the nodes have forgotten it', async () => {
    const { device, signed, sent, clock, meanwhile } = await scene();
    meanwhile(async ({ operation }) => {
      if (operation === 'attempt') await clock.sleep(20_000);
    });
    expect((await device.recover(PIN)).secret.reveal()).toEqual(secret);
    expect(sent).toEqual(['status', 'attempt', 'confirm']);
    const unheard = of(signed, 'attempt', 'request').length;
    expect(of(signed, 'confirm', 'context').length).toBe(5 - unheard);
  });

  it('signs for each new user token', async () => {
    const { fleet } = await scene();
    const signed: Signed[] = [];
    const standard = standardSuite(systemRandom);
    const { record } = await fleet.credential('alice');
    const sent: Operation[] = [];
    const device = new VaultClient({
      ...{ fleet: fleet.fleet, record, patience: 1000, clock: hasty() },
      suite: {
        ...standard,
        signRequest(credential, outer, enc) {
          signed.push({ operation: outer.operation, node: outer.node, by: enc ? 'context' : 'request' });
          return standard.signRequest(credential, outer, enc);
        },
      },
      // Another key of the client's each time, too.
      credential: () => fleet.credential('alice'),
      transport: {
        send: (request) => {
          sent.push(request.operation);
          return fleet.coordinator.handle(request);
        },
      },
    });
    expect((await device.recover(PIN)).secret.reveal()).toEqual(secret);
    expect(sent).toEqual(['status', 'attempt', 'confirm']);
    expect(signed.length).toBe(15);
  });
});

describe('nodes of before', () => {
  it.each([
    ['all', [1, 2, 3, 4, 5]],
    ['two of five', [2, 4]],
    ['one of five', [5]],
  ])('%s of them: only a status is asked twice, nothing is lost, and all know of it', async (_, before) => {
    const { fleet, device, sent, waits, attemptsUsed } = await scene({ before });
    const steps = ['status', 'attempt', 'confirm'] as const;
    expect(await device.recover(PIN)).toMatchObject({ faultyNodes: [], earlierAttempts: 0 });
    for (const step of steps) {
      const times = sent.filter((one) => one === step).length;
      if (step === 'status') expect(times).toBeLessThanOrEqual(2);
      else expect(times).toBe(1);
    }
    expect(waits).toEqual([]);
    await expect(device.recover('654321')).rejects.toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 9 } });
    expect(await device.changePin(PIN, '654321')).toMatchObject({ degraded: false });
    expect(await attemptsUsed()).toBe(0);
    await (await fleet.client('alice')).delete('654321');
    expect((await device.status()).state).toBe('destroyed');
  });

  it('that take the place of newer ones between two requests are asked once more', async () => {
    const { fleet, device, restart, sent, waits, meanwhile } = await scene();
    let times = 0;
    meanwhile(async ({ operation }) => {
      if (operation !== 'attempt' || times++ > 0) return;
      for (const node of [1, 2, 3, 4, 5]) fleet.before.add(node);
      await restart(1, 2, 3, 4, 5);
    });
    expect(await device.recover(PIN)).toMatchObject({ faultyNodes: [], earlierAttempts: 0 });
    expect(sent).toEqual(['status', 'attempt', 'attempt', 'confirm']);
    expect(waits).toEqual([]);
  });
});

describe('who lies about signatures', () => {
  it('a coordinator that says of every node that it cannot read what is sealed costs one more status', async () => {
    const { device, sent, signed, answers } = await scene();
    let lies = 0;
    answers((answer, { operation }) => {
      if (operation !== 'status' || lies++ > 0) return answer;
      const bare = { statement: undefined, head: undefined, sealed: undefined };
      return { ...answer, nodes: [1, 2, 3, 4, 5].map((node) => ({ ...bare, node, code: 'malformed' })) };
    });
    expect((await device.recover(PIN)).secret.reveal()).toEqual(secret);
    expect(sent).toEqual(['status', 'status', 'attempt', 'confirm']);
    expect(of(signed, 'confirm', 'request')).toEqual([1, 2, 3, 4, 5]);
  });

  it('a coordinator that says so always gets no more out of it', async () => {
    const { device, sent, answers } = await scene();
    answers((answer, { operation }) => ({
      ...answer,
      nodes: answer.nodes.map((part) =>
        operation === 'attempt' ? { ...part, sealed: undefined, code: 'malformed' } : part,
      ),
    }));
    await expect(device.recover(PIN)).rejects.toMatchObject({ code: 'no_majority', details: { attempt: 2 } });
    answers((answer) => answer);
    expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 0 });
    expect(sent.at(-1)).toBe('confirm');
  });

  it('a coordinator that shows an old head for nodes that it never asked costs one more request', async () => {
    const { fleet, device, sent, waits, answers, attemptsUsed } = await scene();
    let old: ClientAnswer | undefined;
    answers((answer, { operation }) => {
      if (operation === 'status') old ??= answer;
      return answer;
    });
    await device.status();
    const handle = fleet.coordinator.handle.bind(fleet.coordinator);
    fleet.coordinator.handle = (request) => (request.operation === 'status' ? Promise.resolve(old!) : handle(request));
    sent.length = 0;
    expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 0 });
    expect(sent).toEqual(['status', 'attempt', 'attempt', 'confirm']);
    expect(waits).toEqual([]);
    fleet.coordinator.handle = handle;
    expect(await attemptsUsed()).toBe(0);
  });

  it('a client whose key is not the token’s is refused after two requests', async () => {
    const { fleet, sent } = await scene();
    const { record, userToken } = await fleet.credential('alice');
    const { clientKey } = await fleet.credential('mallory');
    const stranger = new VaultClient({
      ...{ fleet: fleet.fleet, record, clock: hasty(), patience: 1000 },
      credential: async () => ({ userToken, clientKey }),
      transport: {
        send: (request) => {
          sent.push(request.operation);
          return fleet.coordinator.handle(request);
        },
      },
    });
    const refused = { code: 'forbidden', details: { reason: 'client_signature' } };
    await expect(stranger.recover(PIN)).rejects.toMatchObject(refused);
    expect(sent).toEqual(['status', 'status']);
  });
});
