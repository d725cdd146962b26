/** What the coordinator makes of votes, laggards, forged statements and nodes that hang; and its work behind the scenes. */

import { describe, expect, it } from 'vitest';
import { type Clock, systemClock, utf8 } from '../../src/core/index.ts';
import {
  type ClientAnswer,
  decodeCertificate,
  decodeSignedStatement,
  encodeSignedStatement,
  type NodeRequestKind,
} from '../../src/protocol/index.ts';
import { hasty, InProcessFleet, NEVER } from '../node/in-process.ts';

const secret = utf8('the backup key');

async function enrolled(n = 3) {
  const fleet = await InProcessFleet.create(n);
  const client = await fleet.client('alice');
  await client.enrol('123456', secret);
  return { fleet, client };
}

/** What the nodes were sent from now on. */
function watch(fleet: InProcessFleet) {
  const seen: { node: number; kind: NodeRequestKind; code: string }[] = [];
  fleet.tamper = (node, request, answer) => {
    seen.push({ node, kind: request.kind, code: answer.code });
    return answer;
  };
  return seen;
}

const roots = async (fleet: InProcessFleet) =>
  new Set([...(await fleet.maintenance.infos()).values()].map(({ syncRoot }) => syncRoot.join()));

describe('a certificate', () => {
  it('is never made from forged statements; the honest majority’s is', async () => {
    const { fleet, client } = await enrolled(5);
    const certificates: ClientAnswer[] = [];
    fleet.intercept = async (request, next) => {
      const answer = await next();
      if (request.operation === 'attempt') certificates.push(answer);
      return answer;
    };
    fleet.tamper = (node, request, answer) => {
      if (node > 2 || request.kind !== 'submit' || !answer.statement) return answer;
      const own = decodeSignedStatement(answer.statement);
      const forged =
        node === 1
          ? { ...own, batch: { ...own.batch, signature: new Uint8Array(64) } }
          : { ...own, signer: { ...own.signer, node: 3 } };
      return { ...answer, statement: encodeSignedStatement(forged) };
    };
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
    const signers = decodeCertificate(certificates[0]!.certificate!).signatures.map(({ signer }) => signer.node);
    expect(signers.sort()).toEqual([3, 4, 5]);
  });

  it('is not made from one node’s statement under several names', async () => {
    const { fleet } = await enrolled();
    const client = await fleet.client('alice', { clock: hasty() });
    let copy: Uint8Array | undefined;
    fleet.tamper = (node, request, answer) => {
      if (request.kind !== 'submit' || !answer.statement) return answer;
      if (node === 1) copy = answer.statement;
      return { ...answer, statement: node === 1 ? answer.statement : copy };
    };
    await expect(client.recover('123456')).rejects.toThrow();
    fleet.tamper = (_n, _r, answer) => answer;
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });
});

describe('a laggard', () => {
  it('is brought up to date and helped once', async () => {
    const { fleet, client } = await enrolled();
    // Node 3 misses a success and two wrong PINs, then node 1 falls away: node 3 is needed.
    const down = fleet.members[2]!.node;
    fleet.kill(3);
    await client.recover('123456');
    await client.recover('000000').catch(() => {});
    await client.recover('000001').catch(() => {});
    fleet.members[2]!.node = down;
    fleet.kill(1);
    const seen = watch(fleet);
    expect((await client.recover('123456')).earlierAttempts).toBe(2);
    const sent = (kind: NodeRequestKind) => seen.filter((one) => one.node === 3 && one.kind === kind).length;
    expect(sent('carry')).toBeGreaterThan(0);
    expect(seen.filter(({ node, code }) => node === 3 && code === 'behind').length).toBeLessThanOrEqual(1);
  });
});

describe('a recovery’s evaluations', () => {
  /** Which nodes were asked to evaluate, and which have voted by then. */
  async function asked(fleet: InProcessFleet, recover: () => Promise<unknown>) {
    const seen = watch(fleet);
    await recover();
    return seen.filter(({ kind }) => kind === 'evaluate').map(({ node }) => node);
  }

  it('are asked of as few nodes as will do, those whose votes came first', async () => {
    const { fleet, client } = await enrolled(5);
    const { tamper } = fleet;
    let votes: number[] = [];
    fleet.intercept = async (request, next) => {
      const answer = await next();
      if (request.operation === 'attempt') {
        votes = decodeCertificate(answer.certificate!).signatures.map(({ signer }) => signer.node);
      }
      return answer;
    };
    // However slow they are, none of them hangs.
    fleet.coordinate({ hedge: NEVER });
    const nodes = await asked(fleet, () => client.recover('123456'));
    expect(nodes).toHaveLength(3);
    expect(nodes.sort()).toEqual(votes.sort());
    fleet.tamper = tamper;
  });

  it('come from the others where one of those hangs', async () => {
    const { fleet, client } = await enrolled(5);
    const hung: number[] = [];
    fleet.tamper = (node, request, answer) => {
      if (request.kind !== 'evaluate' || (hung.length > 0 && !hung.includes(node))) return answer;
      hung.push(node);
      return new Promise(() => {});
    };
    fleet.coordinate({ grace: 20 });
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
    expect(hung).toHaveLength(1);
  });

  it('are asked of all nodes where the client asks again, so that a liar is named', async () => {
    const { fleet, client } = await enrolled(5);
    for (const { token } of fleet.members.slice(0, 2)) {
      const evaluate = token.evaluate.bind(token);
      token.evaluate = (input, element) => evaluate(Uint8Array.of(...input, 1), element);
    }
    const nodes = await asked(fleet, async () => {
      const recovered = await client.recover('123456');
      expect(recovered.secret.reveal()).toEqual(secret);
      expect(recovered.faultyNodes).toEqual([1, 2]);
    });
    expect(new Set(nodes)).toEqual(new Set([1, 2, 3, 4, 5]));
  });

  it('are waited for where the client asks again, also from the slowest: it may be the one that is needed', async () => {
    const { fleet, client } = await enrolled(3);
    const { token } = fleet.members[0]!;
    const evaluate = token.evaluate.bind(token);
    token.evaluate = (input, element) => evaluate(Uint8Array.of(...input, 1), element);
    fleet.tamper = async (node, request, answer) => {
      if (node === 3 && request.kind === 'evaluate') await new Promise((done) => setTimeout(done, 50));
      return answer;
    };
    // The grace of everything else is over before that.
    const sleep: Clock['sleep'] = (milliseconds) => (milliseconds < 1000 ? Promise.resolve() : new Promise(() => {}));
    fleet.coordinate({ timeout: NEVER, grace: 20, clock: { ...systemClock, sleep } });
    const recovered = await client.recover('123456');
    expect(recovered.secret.reveal()).toEqual(secret);
    expect(recovered.faultyNodes).toEqual([1]);
  });
});

describe('nodes that do not answer', () => {
  it('hang without slowing a majority down', async () => {
    const { fleet, client } = await enrolled(5);
    fleet.tamper = (node, _request, answer) => (node <= 2 ? new Promise(() => {}) : answer);
    fleet.coordinate({ grace: 20 });
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('leave no majority, and that is said', async () => {
    const { fleet } = await enrolled();
    const client = await fleet.client('alice', { clock: hasty() });
    fleet.kill(1);
    fleet.kill(2);
    await expect(client.status()).rejects.toMatchObject({ code: 'no_majority' });
  });
});

describe('maintenance', () => {
  it('carries records that a node missed, until all agree', async () => {
    const { fleet } = await enrolled();
    const missing = fleet.members[2]!.node;
    const clients = await Promise.all(['bob', 'carol'].map((user) => fleet.client(user)));
    for (const client of clients) await client.enrol('1', secret);
    fleet.kill(3);
    for (const client of clients) await client.recover('1');
    fleet.members[2]!.node = missing;
    expect((await roots(fleet)).size).toBe(2);
    for (let round = 0; round < 6; round++) await fleet.maintenance.antiEntropy(await fleet.maintenance.infos());
    fleet.kill(1);
    for (const client of clients) expect(await client.status()).toMatchObject({ attemptsSinceSuccess: 0 });
  });

  it('destroys a spent record only with t + 1 nodes, and then everywhere that can be reached', async () => {
    for (const n of [3, 5]) {
      const { fleet, client } = await enrolled(n);
      for (let i = 0; i < 10; i++) await client.recover(`00000${i}`).catch(() => {});
      expect((await client.status()).state).toBe('spent');
      const away = n === 3 ? [1] : [1, 2];
      const nodes = away.map((node) => fleet.members[node - 1]!.node);
      for (const node of away) fleet.kill(node);
      await fleet.maintenance.destroySpent();
      expect((await client.status()).state).toBe('spent');
      fleet.members[0]!.node = nodes[0];
      await fleet.maintenance.destroySpent();
      expect((await client.status()).state).toBe('destroyed');
      await expect(client.recover('123456')).rejects.toMatchObject({ code: 'destroyed' });
    }
  });

  it('destroys a spent record also where one of three nodes has a new token, and no count of its own', async () => {
    const { fleet, client } = await enrolled();
    for (let i = 0; i < 10; i++) await client.recover(`00000${i}`).catch(() => {});
    await fleet.replace(3);
    const owner = await fleet.client('alice');
    expect((await owner.status()).state).toBe('spent');
    await fleet.maintenance.destroySpent();
    expect((await owner.status()).state).toBe('destroyed');
    await owner.enrol('654321', secret);
    expect((await owner.recover('654321')).secret.reveal()).toEqual(secret);
  });

  it('destroys nothing that has attempts left', async () => {
    const { fleet, client } = await enrolled();
    for (let i = 0; i < 9; i++) await client.recover(`00000${i}`).catch(() => {});
    await fleet.maintenance.destroySpent();
    expect(await client.status()).toMatchObject({ state: 'active', attemptsLeft: 1 });
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('is not stopped by one node that answers nonsense', async () => {
    const { fleet, client } = await enrolled(5);
    for (let i = 0; i < 10; i++) await client.recover(`00000${i}`).catch(() => {});
    fleet.tamper = (node, _request, answer) =>
      node === 2
        ? { ...answer, head: Uint8Array.of(1), content: Uint8Array.of(1), statement: Uint8Array.of(1) }
        : answer;
    const settled = await Promise.allSettled([fleet.maintenance.infos(), fleet.maintenance.destroySpent()]);
    expect(settled.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    fleet.tamper = (_n, _r, answer) => answer;
    expect((await client.status()).state).toBe('destroyed');
  });
});

describe('one node that answers nonsense', () => {
  it('keeps no client from its record', async () => {
    const { fleet, client } = await enrolled(5);
    const nonsense = Uint8Array.of(0, 0, 0, 1, 2);
    fleet.tamper = (node, _request, answer) =>
      node === 2 ? { ...answer, head: nonsense, content: nonsense, statement: nonsense, sealed: nonsense } : answer;
    expect((await client.status()).state).toBe('active');
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });
});
