/** Runs the example application against a fleet on this machine: `node scripts/example.ts ./fleet [--port 8080]`. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readPage } from '../src/http/index.ts';
import { buildPages } from './build-pages.ts';
import { ExampleServer } from './example/server.ts';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { port: { type: 'string' } } });
const [fleet] = positionals;
if (!fleet) {
  console.error('Usage: node scripts/example.ts FOLDER [--port PORT], with a fleet that is up');
  process.exit(2);
}
const out = mkdtempSync(join(tmpdir(), 'example-'));
await buildPages({ out, only: ['client'] });
const server = await ExampleServer.start({
  fleet,
  page: await readPage(join(out, 'client')),
  port: Number(values.port ?? 0),
});
console.log(`The example application is at ${server.url}; Ctrl-C ends it.`);
