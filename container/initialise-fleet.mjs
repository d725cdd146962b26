/**
 * Makes a fleet for containers: keys on tokens, certificates and the trust file, each process's own in a folder (a volume) of
 * its own. For development and tests; production makes keys where they stay (docs/hsm.md).
 *
 *   initialise-fleet.mjs VOLUMES [OPTION OF holdfast fleet create ...]
 *
 * VOLUMES gets a folder for each process: `node-1` and so on with token and certificate, `node-1-store` and so on,
 * `coordinator-1` and so on, `cosigner`, `witness-1` and so on, `monitor`; and `fleet`, for the owner: authority, operator and
 * policy keys, trust files and the development tenant. A process finds its own at /var/lib/holdfast/own and a node its store at
 * /var/lib/holdfast/store. Run again, this finds the fleet and changes nothing; a volume that was lost since is not made anew.
 * With --no-log there is no cosigner, witness or monitor.
 */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';

const USER = 10_001;
/** Where a process finds its volume in its own container. */
const HOME = '/var/lib/holdfast/own';
const app = resolve(import.meta.dirname, '..');
const [volumes, ...options] = process.argv.slice(2);
if (!volumes) {
  console.error('usage: initialise-fleet.mjs VOLUMES [OPTION OF holdfast fleet create ...]');
  process.exit(2);
}

const owner = join(volumes, 'fleet');
if (existsSync(join(owner, 'fleet.json'))) {
  console.log('The fleet is there already.');
  process.exit(0);
}
const used = readdirSync(volumes).filter((name) => readdirSync(join(volumes, name)).length > 0);
if (used.length > 0) {
  console.error(
    `These volumes are not empty, but the fleet's own volume is: ${used.join(', ')}. Remove them all to begin anew.`,
  );
  process.exit(2);
}

const scratch = mkdtempSync(join(tmpdir(), 'fleet-'));
const made = join(scratch, 'fleet');
const words = ['fleet', 'create', made, '--named', ...options];
// What is compiled is kept for the other processes that this starts: in a container nobody's home can be written to.
const env = { ...process.env, XDG_CACHE_HOME: scratch };
const { status } = spawnSync(process.execPath, [join(app, 'dist/cli/main.js'), ...words], { stdio: 'inherit', env });
if (status !== 0) process.exit(status ?? 1);

const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
const write = (path, value) => writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
/** Everything of a process lies beside its configuration, not in the folder above. */
const beside = (value) =>
  JSON.parse(
    JSON.stringify(value).replaceAll('"../authority/authority.pem"', '"authority.pem"').replaceAll('"../', '"'),
  );

const plan = json(join(made, 'fleet.json'));
const numbers = (count) => Array.from({ length: count }, (_, i) => i + 1);
const nodes = numbers(plan.nodes).map((node) => ({ node, url: `https://node-${node}:7443`, name: `node-${node}` }));
const template = readFileSync(join(app, 'softhsm/softhsm2.conf'), 'utf8');

function deliver(name, shared, change) {
  const target = join(volumes, name);
  mkdirSync(target, { recursive: true });
  cpSync(join(made, name), target, { recursive: true });
  for (const file of [...shared, 'authority/authority.pem']) cpSync(join(made, file), join(target, basename(file)));
  const configuration = beside(json(join(target, 'config.json')));
  // Monitoring as the image has it: all of the container, at the role's own port.
  write(join(target, 'config.json'), change({ ...configuration, metrics: { host: '0.0.0.0' } }, target));
}

function deliverToken(name, target) {
  const tokens = join(HOME, 'token/tokens');
  writeFileSync(join(target, 'token/softhsm2.conf'), template.replaceAll('@TOKENS@', tokens), { mode: 0o600 });
  // The SO's PIN is the owner's: whoever runs the process needs it for nothing.
  mkdirSync(join(owner, 'so-pins'), { recursive: true, mode: 0o700 });
  cpSync(join(target, 'so-pin'), join(owner, 'so-pins', name));
  rmSync(join(target, 'so-pin'));
}

for (const { name } of nodes) {
  deliver(name, ['trust.json', 'tenants.json'], (configuration, target) => {
    deliverToken(name, target);
    cpSync(join(target, 'store'), join(volumes, `${name}-store`), { recursive: true });
    rmSync(join(target, 'store'), { recursive: true });
    return { ...configuration, listen: {}, store: { directory: '../store' } };
  });
}
for (const coordinator of numbers(plan.coordinators)) {
  deliver(`coordinator-${coordinator}`, ['trust.json', 'dashboard.credential'], (configuration) => {
    const { credentialFile } = configuration.dashboard;
    const dashboard = { credentialFile, host: '0.0.0.0', certificate: 'public.pem', key: 'public.key' };
    return { ...configuration, listen: {}, nodes, dashboard };
  });
}
const logged = plan.log.kind === 'own';
if (logged) {
  for (const name of ['cosigner', ...numbers(3).map((witness) => `witness-${witness}`)]) {
    // Where they listen stands in the signed policy, and is published on the host under the same number.
    deliver(name, ['policy.note'], (configuration, target) => {
      deliverToken(name, target);
      return configuration;
    });
  }
  const monitor = join(volumes, 'monitor');
  mkdirSync(monitor, { recursive: true });
  for (const file of ['policy.note', 'authority/authority.pem']) {
    cpSync(join(made, file), join(monitor, basename(file)));
  }
  write(join(monitor, 'config.json'), {
    ...{ policy: 'policy.note', authority: 'authority.pem', interval: 30 },
    ...{ store: { directory: 'store' }, evidenceDirectory: 'evidence', metrics: { host: '0.0.0.0' } },
    // The cosigner serves the evidence too; addresses in the log must be public ones, but for those named here.
    evidence: { origins: [`https://cosigner:${plan.basePort + 40}`] },
  });
}
mkdirSync(owner, { recursive: true });
const ofParties = ['operator', 'policy-1', 'policy-2', 'policy-3', 'policy.note', 'client.json', 'evidence'];
const always = ['authority', 'dashboard.credential', 'tenant', 'tenants.json', 'trust.json'];
for (const name of [...always, ...(logged ? ofParties : [])]) {
  cpSync(join(made, name), join(owner, name), { recursive: true });
}

function own(path) {
  const folder = lstatSync(path).isDirectory();
  if (process.getuid() === 0) chownSync(path, USER, USER);
  if (folder) for (const name of readdirSync(path)) own(join(path, name));
}
for (const name of readdirSync(volumes)) {
  chmodSync(join(volumes, name), 0o700);
  own(join(volumes, name));
}
// Last: whoever finds it finds a whole fleet.
cpSync(join(made, 'fleet.json'), join(owner, 'fleet.json'));
own(join(owner, 'fleet.json'));
rmSync(scratch, { recursive: true });
console.log(`A fleet of ${plan.nodes} nodes and ${plan.coordinators} coordinators is in ${volumes}.`);
