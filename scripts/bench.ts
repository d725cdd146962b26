/** Measures a fresh fleet on this machine: rates, latencies, the token's share, memory. `npm run bench -- --help`. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compareBuilds, printComparison } from './bench/compare.ts';
import { type FleetResult, measureFleet } from './bench/fleet.ts';
import { OWN_ENTRY } from './bench/holdfast.ts';
import { measureLog } from './bench/log.ts';
import { printFleet, printLog, printScale, printToken, printTrust } from './bench/report.ts';
import { measureScale } from './bench/scale.ts';
import { measureTokens } from './bench/token.ts';
import { measureTrust } from './bench/trust.ts';
import { buildFacts, bundleCommand } from './build.ts';

const HELP = `usage: npm run bench -- [options]

  --only <parts>        some of fleet, scale, token, log, trust; default all
  --seconds <n>         length of each timed window (default 8)
  --windows <n>         timed windows under load; the median one is reported (default 3)
  --concurrency <n>     recoveries at a time under load (default 32)
  --records <n>         records under load (default 96)
  --coordinators <n>    coordinators under load (default 1)
  --scale-records <n>   records in the large store (default 1000000)
  --log-entries <n>     entries of the transparency log (default 1000000)
  --compare <file>      nothing of this, but the fleet of this checkout and that of another build (its dist/cli/main.js), under
                        load at the same time: CPU of each per recovery
  --node-options=<text> Node's own options in every process of the fleet, for profiles
  --json <file>         where the results go (default bench-results/<time>.json)
  --keep                leave the fleet's folder in place
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: 'fleet,scale,token,log,trust' },
    seconds: { type: 'string', default: '8' },
    windows: { type: 'string', default: '3' },
    concurrency: { type: 'string', default: '32' },
    records: { type: 'string', default: '96' },
    coordinators: { type: 'string', default: '1' },
    'scale-records': { type: 'string', default: '1000000' },
    'log-entries': { type: 'string', default: '1000000' },
    compare: { type: 'string' },
    'node-options': { type: 'string' },
    json: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

type WholeOption = 'seconds' | 'windows' | 'concurrency' | 'records' | 'coordinators' | 'scale-records' | 'log-entries';

function whole(name: WholeOption): number {
  const number = Number(values[name]);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new Error(`--${name} must be a whole number from 1`);
}

const PARTS = ['fleet', 'scale', 'token', 'log', 'trust'];

async function main(): Promise<void> {
  const parts = values.only.split(',');
  const unknown = parts.find((part) => !PARTS.includes(part));
  if (unknown !== undefined) throw new Error(`--only: ${JSON.stringify(unknown)} is none of ${PARTS.join(', ')}`);
  const place = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  const results: Record<string, unknown> = {
    time: new Date().toISOString(),
    machine: { cores: cpus().length, processor: cpus()[0]?.model, runtime: process.version, loadAverage: loadavg() },
  };
  let fleet: FleetResult | undefined;
  say('building the command');
  await bundleCommand(dirname(OWN_ENTRY));
  writeFileSync(join(dirname(OWN_ENTRY), 'build.json'), buildFacts());
  try {
    if (values.compare !== undefined) {
      const comparison = await compareBuilds({
        ...{
          directory: join(place, 'compare'),
          say,
          other: resolve(values.compare),
          nodeOptions: values['node-options'],
        },
        ...{ seconds: whole('seconds'), windows: whole('windows'), concurrency: whole('concurrency') },
        records: whole('records'),
      });
      results.comparison = comparison;
      printComparison(comparison);
      parts.length = 0;
    }
    if (parts.includes('fleet')) {
      fleet = await measureFleet({
        ...{ directory: join(place, 'fleet'), say, nodeOptions: values['node-options'] },
        ...{ seconds: whole('seconds'), windows: whole('windows'), concurrency: whole('concurrency') },
        ...{ records: whole('records'), coordinators: whole('coordinators') },
      });
      results.fleet = fleet;
      printFleet(fleet, cpus().length);
    }
    if (parts.includes('token')) {
      say('token: measuring fresh tokens');
      const token = await measureTokens(place);
      results.token = token;
      printToken(token, fleet, cpus().length);
    }
    if (parts.includes('scale')) {
      const scale = await measureScale({
        ...{ directory: join(place, 'scale'), say, few: 1000, many: whole('scale-records') },
        ...{ seconds: Math.min(4, whole('seconds')), concurrency: Math.min(16, whole('concurrency')) },
      });
      results.scale = scale;
      printScale(scale);
    }
    if (parts.includes('log')) {
      say('log: appending');
      const log = await measureLog({ directory: join(place, 'log'), say, entries: whole('log-entries') });
      results.log = log;
      printLog(log);
    }
    if (parts.includes('trust')) {
      say('trust: verifying');
      const trust = await measureTrust();
      results.trust = trust;
      printTrust(trust);
    }
  } finally {
    if (values.keep) say(`kept: ${place}`);
    else rmSync(place, { recursive: true, force: true });
  }
  const path = resolve(values.json ?? join('bench-results', `${String(results.time).replaceAll(':', '-')}.json`));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(results, undefined, 2)}\n`);
  console.log(`\nWritten: ${path}`);
}

if (values.help) console.log(HELP);
else await main();
