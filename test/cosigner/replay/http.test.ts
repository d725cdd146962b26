/** Fetching from hostile servers: endless data, slow answers, redirects, packed bombs, addresses inside the network. */

import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/core/index.ts';
import { checkUrl, Fetcher, isPublicAddress } from '../../../src/cosigner/replay/index.ts';

const cleanUp: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0)) await step();
});

async function serve(listener: RequestListener): Promise<URL> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/file`);
}

function fetcher(options: ConstructorParameters<typeof Fetcher>[0] = {}): Fetcher {
  const made = new Fetcher(options);
  cleanUp.push(() => made.close());
  return made;
}

const LIMITS = { maximumBytes: 1000, timeout: 60_000 };

describe('an answer', () => {
  it('is given with its status, up to the limit', async () => {
    const url = await serve((_request, response) => response.writeHead(404).end('x'.repeat(1000)));
    const { status, body } = await fetcher().get(url, LIMITS);
    expect([status, body.length]).toEqual([404, 1000]);
  });

  it('that never ends is cut off', async () => {
    let written = 0;
    const url = await serve((_request, response) => {
      const more = () => {
        written++;
        if (!response.destroyed) response.write('x'.repeat(500), more);
      };
      more();
    });
    await expect(fetcher().get(url, LIMITS)).rejects.toMatchObject({ code: 'too_large' });
    expect(written).toBeGreaterThan(0);
  });

  it('that drips is cut off at the deadline, whatever arrives in between', async () => {
    const url = await serve((_request, response) => {
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    await expect(fetcher().get(url, { ...LIMITS, timeout: 300 })).rejects.toMatchObject({ code: 'not_ready' });
  });

  it('that never begins is given up at the deadline, or with the signal', async () => {
    const url = await serve(() => undefined);
    await expect(fetcher().get(url, { ...LIMITS, timeout: 100 })).rejects.toMatchObject({ code: 'not_ready' });
    const signal = AbortSignal.timeout(50);
    await expect(fetcher().get(url, { ...LIMITS, signal })).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('that sends elsewhere is not followed', async () => {
    let asked = 0;
    const target = await serve((_request, response) => {
      asked++;
      response.end();
    });
    const url = await serve((_request, response) => response.writeHead(302, { location: target.href }).end());
    expect((await fetcher().get(url, LIMITS)).status).toBe(302);
    expect(asked).toBe(0);
  });

  it('is unpacked, but no further than to the limit', async () => {
    const gzip = { 'content-encoding': 'gzip' };
    const packed = (bytes: number) =>
      serve((_request, response) => response.writeHead(200, gzip).end(gzipSync('x'.repeat(bytes))));
    expect((await fetcher().get(await packed(1000), LIMITS)).body).toHaveLength(1000);
    await expect(fetcher().get(await packed(1_000_000), LIMITS)).rejects.toMatchObject({ code: 'too_large' });
    const broken = await serve((_request, response) => response.writeHead(200, gzip).end('not packed'));
    await expect(fetcher().get(broken, LIMITS)).rejects.toMatchObject({ code: 'malformed' });
    const strange = await serve((_request, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x'));
    await expect(fetcher().get(strange, LIMITS)).rejects.toMatchObject({ code: 'malformed' });
  });

  it('of nobody is an error that says who', async () => {
    const url = await serve(() => undefined);
    url.port = '1';
    const failure = await fetcher()
      .get(url, LIMITS)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(HoldfastError);
    expect(failure).toMatchObject({ code: 'not_ready', message: expect.stringContaining('127.0.0.1:1') as string });
  });
});

describe('an address that a stranger chose', () => {
  it.each([
    '127.0.0.1',
    '10.1.2.3',
    '169.254.169.254',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '::1',
    '::',
    'fe80::1',
    'fc00::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '2002:7f00:1::',
    '2001:db8::1',
    'ff02::1',
    'host.example',
    '',
  ])('%j is not of the public Internet', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each(['8.8.8.8', '1.1.1.1', '2606:4700:4700::1111', '172.32.0.1'])('%s is', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  it('is not connected to where it leads inside, as a number or by its name', async () => {
    let asked = 0;
    const url = await serve((_request, response) => {
      asked++;
      response.end();
    });
    const careful = fetcher({ publicOnly: true });
    for (const host of ['127.0.0.1', 'localhost', '2130706433', '0x7f000001']) {
      const inside = new URL(url);
      inside.hostname = host;
      await expect(careful.get(inside, LIMITS)).rejects.toMatchObject({ code: 'untrusted' });
    }
    const six = new URL(url.href.replace('127.0.0.1', '[::1]'));
    await expect(careful.get(six, LIMITS)).rejects.toMatchObject({ code: 'untrusted' });
    expect(asked).toBe(0);
  });
});

describe('an address of the configuration', () => {
  it.each(['https://log.example', 'https://log.example/a/b/', 'http://127.0.0.1:8080/x', 'http://[::1]:1/'])(
    '%s serves',
    (text) => {
      expect(checkUrl('log.url', text).href).toBe(new URL(text).href);
    },
  );

  it.each([
    'http://log.example',
    'ftp://log.example',
    'https://user@log.example',
    'https://log.example/?a',
    'https://log.example/#a',
    'log.example',
    '',
  ])('%j does not', (text) => {
    expect(() => checkUrl('log.url', text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
