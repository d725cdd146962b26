/** Trust files out of what node keys prints, and the next epoch's out of one that is in force. */

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { p256 } from '@noble/curves/nist.js';
import { describe, expect, it } from 'vitest';
import { leave } from '../../src/cli/commands/node.ts';
import { assemble, next, show } from '../../src/cli/commands/trust.ts';
import { toBase64Url } from '../../src/core/index.ts';
import { nextTrustFile } from '../../src/service/index.ts';
import { parseTrustFile } from '../../src/trust/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'trust-'));
const path = (name: string) => join(folder, name);
let seed = 1;
const point = () => {
  const secret = new Uint8Array(32);
  new DataView(secret.buffer).setUint32(28, seed++);
  return toBase64Url(p256.getPublicKey(secret, false));
};

function keysFile(name: string, change: object = {}): string {
  const file = path(`${name}-${seed}.json`);
  const keys = { name, identity: point(), session: point(), oprf: point(), profile: {}, code: 'ok', exitCode: 0 };
  writeFileSync(file, JSON.stringify({ ...keys, ...change }));
  return file;
}

const flags = {
  fleet: 'main',
  environment: 'production',
  coordinator: ['https://vault.example'],
  expires: Date.UTC(2040, 0, 1),
  limit: 10,
  lifetimeLimit: 50,
};
const read = (file: string) => parseTrustFile(readFileSync(file, 'utf8'), { now: 0 });
const fails = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

async function assembled(n: number): Promise<string> {
  const out = path(`trust-${seed}.json`);
  await assemble(
    Array.from({ length: n }, (_, i) => keysFile(`node-${i + 1}`)),
    { ...flags, out },
  );
  return out;
}

describe('a trust file', () => {
  it('is assembled in the order of the nodes, and names its membership', async () => {
    const out = await assembled(5);
    const trust = read(out);
    expect(trust.names).toEqual(['node-1', 'node-2', 'node-3', 'node-4', 'node-5']);
    expect(trust.fleet).toMatchObject({ fleet: 'main', epoch: 1, policy: { limit: 10, minimumShares: 4 } });
    const shown = await show(out);
    expect(shown.value).toMatchObject({ epoch: 1, earlier: [], membership: expect.stringMatching(/^[0-9a-f]{64}$/) });
    await expect(assemble([], { ...flags, out })).rejects.toMatchObject({ code: 'bad_input' });
  });

  it.each([
    ['a key that is no point', { identity: toBase64Url(new Uint8Array(65).fill(4)) }],
    ['a key too short', { oprf: 'AAAA' }],
    ['something more', { more: 1 }],
  ])('is not made of a file with %s', async (_, change) => {
    const files = [keysFile('node-1'), keysFile('node-2'), keysFile('node-3', change)];
    const made = assemble(files, { ...flags, out: path('never.json') });
    await expect(made).rejects.toMatchObject({ code: 'bad_input' });
  });

  it('of the next epoch has the new tokens, carries the old ones, and warns of what may be lost', async () => {
    const first = await assembled(5);
    const second = path('second.json');
    await next(first, { replace: [`2=${keysFile('node-2')}`], out: second });
    expect(read(second).fleet.earlier?.map(({ epoch }) => epoch)).toEqual([1]);
    expect((await show(second)).lines.join()).toContain('Since epoch 1 replaced: node-2.');
    const third = { replace: [`4=${keysFile('node-4')}`], out: path('third.json') };
    await expect(next(second, third)).rejects.toEqual(fails('usage', /records of epoch 1 .*--accept-loss/));
    await next(second, { ...third, acceptLoss: true });
    expect(read(third.out).fleet.epoch).toBe(3);
    for (const replace of [[], ['2'], [`9=${keysFile('node-9')}`]]) {
      await expect(next(first, { replace, out: path('never.json') })).rejects.toMatchObject({
        code: replace[0]?.includes('=') ? 'bad_input' : 'usage',
      });
    }
  });
});

describe('node leave', () => {
  it('lays the next trust file beside the node’s own, if it may follow', async () => {
    const trustFile = await assembled(3);
    const second = path(`second-${seed}.json`);
    await next(trustFile, { replace: [`3=${keysFile('node-3')}`], out: second });
    const config = path('node.json');
    const token = { module: 'm.so', label: 'vault', pinFile: 'pin' };
    const tls = { authority: 'a.pem', certificate: 'c.pem', key: 'c.key' };
    writeFileSync(
      config,
      JSON.stringify({ trustFile, node: 1, token, tls, tenants: 't.json', store: { directory: 's' } }),
    );
    await expect(leave({ config, next: await assembled(3) })).rejects.toEqual(fails('bad_input', /cannot follow/));
    const { value } = await leave({ config, next: second });
    expect(value).toMatchObject({ node: 1, epoch: 2, membership: (await show(second)).value.membership });
    expect(readFileSync(nextTrustFile(trustFile), 'utf8')).toBe(readFileSync(second, 'utf8'));
    const renamed = path(`renamed-${seed}.json`);
    const other = JSON.parse(readFileSync(second, 'utf8'));
    writeFileSync(
      renamed,
      JSON.stringify({ ...other, nodes: [{ ...other.nodes[0], name: 'other' }, ...other.nodes.slice(1)] }),
    );
    await expect(leave({ config, next: renamed })).rejects.toEqual(fails('bad_input', /another name/));
  });
});
