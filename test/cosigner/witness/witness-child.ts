/** A witness in a process of its own that kills itself: `witness-child.ts FOLDER STEP`, at STEP of the request to size 9. */

import { initialiseWitnessStore, startWitnessService, WITNESS_TABLES } from '../../../src/cosigner/witness/index.ts';
import { createLogger } from '../../../src/http/index.ts';
import { openLmdbStore } from '../../../src/store/index.ts';
import { SampleLog } from '../sample-log.ts';
import { witnessSigner } from './fixtures.ts';

const [folder, fatal] = process.argv.slice(2) as [string, string];
const log = new SampleLog();
const disk = await openLmdbStore(folder, WITNESS_TABLES);
// A folder that has a state keeps it.
await initialiseWitnessStore(disk).catch(() => undefined);
let requests = 0;
const service = await startWitnessService({
  signer: witnessSigner,
  logs: [{ origin: log.origin, keys: [log.key] }],
  disk,
  tls: undefined,
  listen: { host: '127.0.0.1', port: 0 },
  metrics: { host: '127.0.0.1', port: 0 },
  rateLimit: undefined,
  trustedProxies: [],
  maximumInFlight: 10,
  log: createLogger('silent', {}),
  step: (step) => {
    if (step === 'checked') requests++;
    if (requests === 2 && step === fatal) process.kill(process.pid, 'SIGKILL');
  },
});
process.stdout.write(`${service.url}\n`);
process.stdin.resume().once('end', () => void service.close());
