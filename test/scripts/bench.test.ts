import { createECDH } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { byLabel, growth, parseMetrics } from '../../scripts/bench/metrics.ts';
import { machineBusy, parseStat } from '../../scripts/bench/processes.ts';
import { judgeScale, table } from '../../scripts/bench/report.ts';
import type { ScaleResult } from '../../scripts/bench/scale.ts';
import { clientSigner, newSender, sealWith } from '../../scripts/bench/seal.ts';
import { median, quantile } from '../../scripts/bench/statistics.ts';
import { ceilingOf } from '../../scripts/bench/token.ts';
import { clientKeyToJwk, generateClientKey, signAsClient } from '../../src/access/client.ts';
import { utf8 } from '../../src/core/index.ts';
import { newRequestRecipient } from '../../src/crypto/index.ts';

describe('the load generator’s own sealing', () => {
  it('is opened by what the nodes open requests with, and only with the same associated data', () => {
    const receiver = createECDH('prime256v1');
    const publicKey = new Uint8Array(receiver.generateKeys());
    const info = utf8('what it is for');
    const sender = newSender(publicKey, info);
    const dh = new Uint8Array(receiver.computeSecret(sender.enc));
    const session = newRequestRecipient({ dh, enc: sender.enc, publicKey, info });
    for (const text of ['the request', 'the next one']) {
      const ciphertext = sealWith(sender, utf8('outer fields'), utf8(text));
      const open = (aad: string) => session.open(utf8(aad), ciphertext).plaintext;
      expect(open('outer fields')).toEqual(utf8(text));
      expect(() => open('other fields')).toThrow(expect.objectContaining({ code: 'malformed' }));
    }
  });

  it('signs what a client signs', () => {
    const key = generateClientKey();
    const [outer, tokenHash] = [utf8('outer fields'), new Uint8Array(32).fill(7)];
    const own = clientSigner(clientKeyToJwk(key))(outer, tokenHash);
    expect(Buffer.compare(own, signAsClient(key, outer, tokenHash))).toBe(0);
    const enc = new Uint8Array(65).fill(4);
    const forContext = clientSigner(clientKeyToJwk(key))(outer, tokenHash, enc);
    expect(Buffer.compare(forContext, signAsClient(key, outer, tokenHash, enc))).toBe(0);
    expect(Buffer.compare(forContext, own)).not.toBe(0);
  });

  it('has a new ephemeral key for each session', () => {
    const publicKey = new Uint8Array(createECDH('prime256v1').generateKeys());
    expect(newSender(publicKey, utf8('')).enc).not.toEqual(newSender(publicKey, utf8('')).enc);
  });
});

describe('two scrapes of a service’s metrics', () => {
  const before = parseMetrics('# HELP a text\n# TYPE a counter\na{operation="sign",kind="x"} 3\nb 1.5\n');
  const after = parseMetrics(
    'a{operation="sign",kind="x"} 10\na{operation="sign",kind="y"} 1\na{operation="ecdh",kind="x"} 4\nb 2\n',
  );

  it('are subtracted value by value, new ones from zero', () => {
    expect([...growth(before, after)]).toEqual([
      ['a{operation="sign",kind="x"}', 7],
      ['a{operation="sign",kind="y"}', 1],
      ['a{operation="ecdh",kind="x"}', 4],
      ['b', 0.5],
    ]);
  });

  it('are added up by one label of one metric', () => {
    expect([...byLabel(growth(before, after), 'a', 'operation')]).toEqual([
      ['sign', 8],
      ['ecdh', 4],
    ]);
    expect(byLabel(after, 'b', 'operation').size).toBe(0);
  });
});

describe('a line of a process’s stat file', () => {
  it('is read past a name with brackets and spaces', () => {
    const line = '12 (a (b) c) S 1 12 12 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 11 0 777 1 1';
    expect(parseStat(line, 100)).toEqual({ name: 'a (b) c', seconds: 2, system: 0.5 });
  });
});

describe('the machine’s CPU time', () => {
  it('leaves out idling and waiting for disks', () => {
    expect(machineBusy('cpu  100 10 50 9000 700 1 39 0 0 0\ncpu0 1 1 1 1 1 1 1\n', 100)).toBe(2);
  });
});

describe('quantiles', () => {
  it('are numbers of the list, at the nearest rank', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([1, 2, 3, 4])).toBe(2);
    expect(quantile([...Array(100).keys()], 0.95)).toBe(94);
    expect(quantile([7], 0)).toBe(7);
    expect(median([])).toBeNaN();
  });
});

describe('the ceiling that the token’s operations allow', () => {
  const token = { tokens: 2, rates: {}, microseconds: { ecdh: 100, sign: 50 } };

  it('is the cores’ time divided by the operations of one recovery', () => {
    expect(ceilingOf(token, { ecdh: 25, sign: 10 }, 2)).toEqual({
      millisecondsPerRecovery: 3,
      recoveriesPerSecond: 2e6 / 3000,
    });
  });

  it('leaves out what was not measured by itself', () => {
    expect(ceilingOf(token, { ecdh: 10, open: 3 }, 1).millisecondsPerRecovery).toBe(1);
  });
});

describe('the goals for many records', () => {
  const result = (resident: readonly number[], start: number, ratio: number) => {
    const turns = resident.map((mebibytes) => ({
      startSeconds: start,
      atStart: { resident: 150, anonymous: 100 },
      afterLoad: { resident: mebibytes, anonymous: 100 },
    }));
    return { few: {}, many: { turns }, ratio } as unknown as ScaleResult;
  };

  it('are held against the worst that was measured, mapped files included', () => {
    expect(judgeScale(result([200, 249.4], 1.2, 0.97))).toEqual([
      'goal: resident under 250 MiB, after start and load: met (249 at most)',
      'goal: start under 10 s: met (1.2 at most)',
      'goal: at least 80 % of the rate: met (97.0 %)',
    ]);
    expect(judgeScale(result([200, 294, 210], 11, 0.79))).toEqual([
      'goal: resident under 250 MiB, after start and load: missed (294 at most)',
      'goal: start under 10 s: missed (11.0 at most)',
      'goal: at least 80 % of the rate: missed (79.0 %)',
    ]);
  });
});

describe('a table', () => {
  it('has columns as wide as their widest cell', () => {
    expect(table(['name', 'n'], [['a', '1000']])).toBe(['  name     n', '  ----  ----', '  a     1000'].join('\n'));
  });
});
