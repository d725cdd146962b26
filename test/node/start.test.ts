/** What a start makes of store and anchor: accepted exactly where no more than a plain crash lies between them. */

import { describe, expect, it } from 'vitest';
import { systemClock, systemRandom, utf8 } from '../../src/core/index.ts';
import { verifyEcdsa, verifyEd25519 } from '../../src/crypto/index.ts';
import { anchorMac, encodeAnchor, judgeStart, readAnchor } from '../../src/node/anchor.ts';
import { initialiseNode, openVaultNode, silentObserver, type VaultNode } from '../../src/node/index.ts';
import {
  CONTENT,
  DEFAULT_POLICY,
  decodeNodeState,
  type Fleet,
  NODE_STATE_KEY,
  NOT_COMPARED,
} from '../../src/protocol/index.ts';
import { type CrashPoint, MemoryKeyValueStore, openDictionary, wipeStore } from '../../src/store/index.ts';
import { SoftwareToken } from '../../src/token/index.ts';

const peers = [new SoftwareToken(), new SoftwareToken()];
const dictionaries = (store: MemoryKeyValueStore) => ({
  open: () => openDictionary(store),
  wipe: () => wipeStore(store),
});
const owner = { fleet: 'test', node: 1 };

class Node {
  readonly token: SoftwareToken;
  readonly fleet: Fleet;
  readonly events: string[] = [];
  store = new MemoryKeyValueStore();
  fatal = false;

  constructor(n = 3, rollbackResistant = false) {
    this.token = new SoftwareToken({ rollbackResistant });
    const tokens = [this.token, ...peers].slice(0, n);
    const policy = { ...DEFAULT_POLICY, minimumShares: n };
    this.fleet = { fleet: 'test', epoch: 1, nodes: tokens.map((token) => token.publicKeys), policy };
  }

  async initialise(): Promise<this> {
    await initialiseNode({ fleet: this.fleet, node: 1, token: this.token, dictionaries: dictionaries(this.store) });
    return this;
  }

  open(): Promise<VaultNode> {
    this.store = this.store.reopen();
    return openVaultNode({
      fleet: this.fleet,
      node: 1,
      token: this.token,
      dictionaries: dictionaries(this.store),
      sealing: { open: () => Promise.reject(new Error('no client here')) },
      authentication: { check: () => Promise.reject(new Error('no client here')) },
      checks: { ecdsa: verifyEcdsa, ed25519: verifyEd25519 },
      clock: systemClock,
      random: systemRandom,
      observer: { ...silentObserver, event: (_, event) => this.events.push(event) },
      batchInterval: 0,
      requestsPerRecord: 10,
      onFatal: () => {
        this.fatal = true;
      },
    });
  }

  async start(): Promise<VaultNode> {
    const node = await this.open();
    await node.start();
    return node;
  }

  /** What the node thinks of itself when it was started. */
  async info(node: VaultNode) {
    return CONTENT.info.decode((await node.handle({ kind: 'info' })).content!);
  }

  /** Ends the running node's handle on the store, as does `sound`. */
  async verdict(): Promise<string> {
    const dictionary = await openDictionary(this.store.reopen());
    const anchor = await readAnchor(this.token, owner);
    return judgeStart(this.token, owner, anchor!, dictionary);
  }

  async sound(): Promise<boolean> {
    const dictionary = await openDictionary(this.store.reopen());
    return decodeNodeState(dictionary.get(NODE_STATE_KEY)!).sound;
  }

  get refused(): boolean {
    return this.events.some((event) => event.startsWith('store refused'));
  }
}

describe('a start', () => {
  it('accepts a store that is what the anchor says, in a new incarnation each time', async () => {
    const one = await new Node().initialise();
    expect(await one.verdict()).toBe('matches');
    const first = await one.info(await one.start());
    const second = await one.info(await one.start());
    expect([first.incarnation, second.incarnation]).toEqual([2, 3]);
    expect(second.phase).toBe('repairing');
    expect(one.refused).toBe(false);
    expect(await one.sound()).toBe(true);
  });

  it('serves at once alone, or on a token declared rollback-resistant, and never where the store is behind', async () => {
    expect((await (await new Node(1).initialise()).start()).phase).toBe('serving');
    const one = await new Node(3, true).initialise();
    const old = one.store.snapshot();
    expect((await one.start()).phase).toBe('serving');
    one.store.restore(old);
    const behind = await one.start();
    expect(behind.phase).toBe('repairing');
    expect((await one.info(behind)).headsNeeded).toBe(2);
  });

  it('says of a store in another version’s form what to do, and changes nothing in it', async () => {
    const one = await new Node().initialise();
    const dictionary = await openDictionary(one.store);
    const value = utf8('\0\0\0\u0016holdfast/node-state/v1');
    const prepared = dictionary.prepare([{ key: NODE_STATE_KEY, value, syncHash: NOT_COMPARED }]);
    const mac = await anchorMac(one.token, owner, prepared.head);
    await dictionary.commit(prepared, mac);
    await one.token.writeAnchor(encodeAnchor(prepared.head, mac));
    for (let i = 0; i < 2; i++) {
      await expect(one.open()).rejects.toMatchObject({
        code: 'bad_input',
        message: expect.stringMatching(/another version of Holdfast.*run that version, or make a new fleet/),
      });
      expect(await one.verdict()).toBe('matches');
    }
  });

  it('takes a store exactly one batch ahead, and writes its anchor before it serves', async () => {
    const one = await new Node().initialise();
    const before = one.token.snapshot();
    const node = await one.start();
    await node.stop();
    one.token.rollback(before);
    expect(await one.verdict()).toBe('ahead');
    await one.open();
    expect(await one.verdict()).toBe('matches');
    expect(one.refused).toBe(false);
  });

  it('refuses a store two batches ahead, as an older token’s image gives', async () => {
    const one = await new Node().initialise();
    const before = one.token.snapshot();
    await one.start();
    await one.start();
    one.token.rollback(before);
    expect(await one.verdict()).toBe('behind');
    await one.start();
    expect(one.refused).toBe(true);
    expect(await one.sound()).toBe(false);
  });

  it('refuses an older store, numbers its batches above the anchor, and stays unsound across restarts', async () => {
    const one = await new Node(3, true).initialise();
    const old = one.store.snapshot();
    for (let i = 0; i < 3; i++) await one.start();
    const anchored = (await readAnchor(one.token, owner))!.sequence;
    one.store.restore(old);
    expect(await one.verdict()).toBe('behind');
    const repairing = await one.start();
    expect(one.refused).toBe(true);
    expect((await one.info(repairing)).sequence).toBeGreaterThan(anchored);
    // Its own anchor now says what is stored: that must not make it pass for whole, whatever the token promises.
    expect(await one.verdict()).toBe('matches');
    for (let i = 0; i < 2; i++) {
      const again = await one.start();
      expect(again.phase).toBe('repairing');
      expect((await one.info(again)).headsNeeded).toBe(2);
      expect(await one.sound()).toBe(false);
    }
  });

  it.each([
    ['an empty store', async (one: Node) => wipeStore(one.store.reopen())],
    ['another node’s store', async (one: Node) => one.store.restore((await new Node().initialise()).store.snapshot())],
    [
      'a store with a tampered entry',
      async (one: Node) => {
        const image = one.store.snapshot();
        const buckets = new Map(image.tables.bucket);
        const [key, value] = [...buckets][0]!;
        buckets.set(
          key,
          Uint8Array.from(value, (byte, i) => (i === value.length - 1 ? byte ^ 1 : byte)),
        );
        one.store.restore({ tables: { ...image.tables, bucket: buckets } });
      },
    ],
    [
      'a store whose head is damaged',
      async (one: Node) => {
        const image = one.store.snapshot();
        const meta = new Map([...image.tables.meta].map(([key, value]) => [key, value.map((byte) => byte ^ 1)]));
        one.store.restore({ tables: { ...image.tables, meta } });
      },
    ],
  ])('empties %s and repairs as a node that knows nothing', async (_, spoil) => {
    const one = await new Node(3, true).initialise();
    await one.start();
    await spoil(one);
    const node = await one.start();
    expect(one.refused).toBe(true);
    expect(node.phase).toBe('repairing');
    expect(await one.info(node)).toMatchObject({ headsNeeded: 2, headsKnown: 0 });
    expect(await one.sound()).toBe(false);
    expect(await one.verdict()).toBe('matches');
  });

  it('reads past a torn anchor object to the other one', async () => {
    const one = await new Node().initialise();
    await one.start();
    const before = one.token.snapshot();
    await one.start();
    const [first, second] = one.token.snapshot().anchors;
    // The newest write was torn: the other object still holds the anchor before it, and the store is one ahead.
    const torn = Uint8Array.of(0);
    const newest = before.writes % 2 === 0 ? ([torn, second] as const) : ([first, torn] as const);
    one.token.rollback({ ...one.token.snapshot(), anchors: newest });
    expect(await one.verdict()).toBe('ahead');
    await one.open();
    expect(one.refused).toBe(false);
  });

  it('is refused without an anchor, with a foreign token, and for a lone node whose store does not match', async () => {
    await expect(new Node().open()).rejects.toMatchObject({ code: 'store_refused' });
    const one = await new Node().initialise();
    const fleet = { ...one.fleet, nodes: [...one.fleet.nodes].reverse() };
    await expect(Object.assign(new Node(), { fleet, token: one.token }).open()).rejects.toMatchObject({
      code: 'untrusted',
    });
    const alone = await new Node(1).initialise();
    const old = alone.store.snapshot();
    await alone.start();
    await alone.start();
    alone.store.restore(old);
    await expect(alone.open()).rejects.toMatchObject({ code: 'store_refused' });
  });

  it('initialises a node once only', async () => {
    const one = await new Node().initialise();
    await expect(one.initialise()).rejects.toMatchObject({ code: 'conflict' });
    one.store = new MemoryKeyValueStore();
    await expect(one.initialise()).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe('a power cut between the first batch and its anchor', () => {
  async function cut(): Promise<Node> {
    const one = new Node();
    one.store.crashAtNextCommit('after');
    await expect(one.initialise()).rejects.toMatchObject({ code: 'unexpected' });
    one.store = one.store.reopen();
    expect(await readAnchor(one.token, owner)).toBeUndefined();
    return one;
  }

  it('is made good by initialising it again, which writes the anchor of that very batch', async () => {
    const one = await cut();
    const { head } = await openDictionary(one.store);
    await one.initialise();
    expect(await readAnchor(one.token, owner)).toMatchObject({ sequence: 1, root: head.root });
    await expect(one.initialise()).rejects.toMatchObject({ code: 'conflict' });
    expect((await one.start()).phase).toBe('repairing');
    expect(await one.verdict()).toBe('matches');
  });

  it('is no excuse for a store of another token, nor for one that has gone on', async () => {
    const stranger = new Node();
    stranger.store = (await cut()).store;
    await expect(stranger.initialise()).rejects.toMatchObject({ code: 'conflict' });
    const one = await cut();
    const blank = one.token.snapshot();
    await one.initialise();
    const node = await one.start();
    await node.stop();
    one.store = one.store.reopen();
    one.token.rollback(blank);
    expect(await readAnchor(one.token, owner)).toBeUndefined();
    await expect(one.initialise()).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe('no plain crash makes a node refuse its own store', () => {
  it.each<[string, (one: Node) => void]>([
    ...(['before', 'after'] as const).map((point: CrashPoint): [string, (one: Node) => void] => [
      `${point} the store’s commit`,
      (one) => one.store.crashAtNextCommit(point),
    ]),
    [
      'before the anchor write',
      (one) => {
        one.token.faults = (operation) => (operation === 'anchor_write' ? 'token_removed' : undefined);
      },
    ],
    [
      'after the anchor write',
      (one) => {
        one.token.faults = (operation) => (operation === 'anchor_write' ? 'unclear' : undefined);
      },
    ],
    [
      'before the signature',
      (one) => {
        one.token.faults = (operation) => (operation === 'sign' ? 'token_removed' : undefined);
      },
    ],
  ])('crashing %s, again and again', async (_, crash) => {
    const one = await new Node().initialise();
    let incarnation = 0;
    for (let round = 0; round < 4; round++) {
      const node = await one.open();
      crash(one);
      await node.start().catch(() => {});
      one.token.faults = undefined;
      one.store.crash();
      expect(await one.verdict()).toMatch(/^(matches|ahead)$/);
      const restarted = await one.start();
      expect(one.refused).toBe(false);
      const now = (await one.info(restarted)).incarnation;
      expect(await one.sound()).toBe(true);
      expect(now).toBeGreaterThan(incarnation);
      incarnation = now;
    }
  });

  it('crashing while it repairs a store that was refused keeps it repairing, never serving', async () => {
    for (const point of ['before', 'after'] as const) {
      const one = await new Node(3, true).initialise();
      const old = one.store.snapshot();
      await one.start();
      await one.start();
      one.store.restore(old);
      const node = await one.open();
      one.store.crashAtNextCommit(point);
      await node.start().catch(() => {});
      const again = await one.start();
      expect(again.phase).toBe('repairing');
      expect((await one.info(again)).headsNeeded).toBe(2);
    }
  });
});
