/** A log's static files over HTTP (C2SP tlog-tiles: checkpoint and entry bundles), and whatever else a test puts there. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { encodeEntryBundle, parseTilePath } from '../../src/trust/index.ts';

export interface ServedLog {
  /** With a slash at its end. */
  readonly url: string;
  /** What is served; tests change it. */
  readonly content: { leaves: readonly Uint8Array[]; checkpoint: string; readonly files: Map<string, Uint8Array> };
  close(): Promise<void>;
}

export async function serveLog(): Promise<ServedLog> {
  const content: ServedLog['content'] = { leaves: [], checkpoint: '', files: new Map() };
  const server = createServer((request, response) => {
    const found = find(request.url!.slice(1));
    response.writeHead(found === undefined ? 404 : 200).end(found);
  }).listen(0, '127.0.0.1');
  const find = (path: string): Uint8Array | string | undefined => {
    if (path === 'checkpoint') return content.checkpoint === '' ? undefined : content.checkpoint;
    if (!path.startsWith('tile/')) return content.files.get(path);
    const { level, index, width } = parseTilePath(path);
    const bundle = content.leaves.slice(256 * index, 256 * index + width);
    return level === 'entries' && bundle.length === width ? encodeEntryBundle(bundle) : undefined;
  };
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    content,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
