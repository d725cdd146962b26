/** Section 7 of docs/production.md, run as it stands there: keys of ceremonies, evidence, a bundle in a public log, and clients of it. */

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { atOnce, Machines, NODES, nodeFolder, textsOf } from './machines.ts';
import { TrustParties } from './trust-parties.ts';

let machines: Machines;
let parties: TrustParties;
let approver: string;

/** Anna and Ben sign whatever they are asked to; the cosigner's person approves; whoever is too early tries again. */
const PEOPLE = `
signed() {
  local text
  if person "$@"; then return; fi
  # A ceremony goes on as it was planned.
  [ "$1 $2" = 'ceremony statement' ] || set -- ceremony run "$3" --answers "$PEOPLES_KEYS/answers.json"
  for round in 1 2 3; do
    for text in $(find . -path '*to-sign*' -name '*.txt'); do
      [ -e "\${text%.txt}.sig" ] || openssl pkeyutl -sign -rawin -inkey "$PEOPLES_KEYS/$(basename "$text" .txt | cut -d- -f2).key" \\
        -in "$text" -out "\${text%.txt}.sig"
    done
    if person "$@"; then return; fi
  done
  return 1
}
proposal() { person bundle cosign --json $APPROVER | jq -r '.waiting[0].digest'; }
token_of() { export SOFTHSM2_CONF="$MACHINES/machine-of-node-\${1#./node-}/softhsm2.conf"; }
holdfast() {
  case "$1 $2" in
    'ceremony run') signed "$@" --answers "$PEOPLES_KEYS/answers.json" ;;
    'ceremony possession') (token_of "$3"; person "$@") ;;
    'ceremony statement') (token_of "$3"; signed "$@") ;;
    'evidence software') person "$@" --commit "$(printf 'c%.0s' $(seq 40))" --lockfile trust.json ;;
    'evidence publish') person "$@" --json | jq -r .address > address ;;
    'bundle cosign') person "$@" --approve "$5" ;;
    'bundle countersign') DIGEST=$(jq -r .digest proposed.json); person "$@" --approve "$DIGEST" ;;
    'bundle propose') person "$@" --json > proposed.json ;;
    *) person "$@" ;;
  esac
}
`;

/** Names that the document shortens, and addresses of the cosigner. */
const here = (text: string) =>
  text
    .replaceAll('https://cosigner.example:8445', parties.cosignerUrl)
    .replace(/https:\/\/log\.example\/evidence\/0c41\S*/, '$(cat address)')
    .replaceAll('https://log.example', parties.logUrl)
    .replaceAll('sha256:9ab0...', `sha256:${'9ab0'.repeat(16)}`)
    .replaceAll('3f1c...', '$(proposal)')
    .replaceAll('node-$NODE.example:7443', '127.0.0.1:744$NODE');

beforeAll(async () => {
  parties = await TrustParties.create();
  machines = await Machines.prepare(['operator', 'people'], { here, people: PEOPLE });
  for (const name of ['anna', 'ben']) {
    const key = machines.path('people', `${name}.key`);
    execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key], { stdio: 'ignore' });
    const pem = execFileSync('openssl', ['pkey', '-in', key, '-pubout']);
    for (const node of NODES) writeFileSync(machines.path(nodeFolder(node), `${name}.pem`), pem);
  }
  const answers = { 'signature:Anna': '', 'signature:Ben': '' };
  writeFileSync(machines.path('people', 'answers.json'), JSON.stringify(answers));
  // The policy, the cosigner and the witnesses, as docs/bundles.md, cosigner.md and witness.md have them.
  const note = parties.path('policy.note');
  const draft = parties.put('draft.json', { ...parties.policyDraft(), fleet: 'main' });
  const { digest } = await parties.ok('anna', 'policy', 'create', '--draft', draft, '--out', note);
  for (const party of ['anna', 'bela'] as const) {
    const sign = ['--name', `${party}.example/policy`, ...parties.signing(party), '--approve', String(digest)];
    await parties.ok(party, 'policy', 'sign', note, ...sign);
  }
  const anchor = machines.path('operator', 'client.json');
  await parties.ok('anna', 'policy', 'anchor', note, '--source', parties.logUrl, '--out', anchor);
  await parties.serve(note, ['anna']);
  approver = (await parties.connection('anna')).join(' ');
  await parties.connection('olga');
  for (const [kind, file] of [
    ['authority', 'ca.pem'],
    ['certificate', 'olga.pem'],
    ['key', 'olga.key'],
  ])
    copyFileSync(parties.path(`olga-${kind}.pem`), machines.path('operator', file!));
  copyFileSync(parties.path('pin'), machines.path('operator', 'operator-pin'));
}, 300_000);

afterAll(async () => {
  await machines[Symbol.asyncDispose]();
  await parties[Symbol.asyncDispose]();
});

const common = () => ({ MACHINES: machines.work, PEOPLES_KEYS: machines.path('people'), APPROVER: approver });
/** The operator's own token is another party's there. */
const operator = (text: string) =>
  machines.run('operator', text, { ...common(), SOFTHSM2_CONF: parties.path('operator', 'softhsm2.conf') });

it('begins with a ceremony on each prepared slot, in the place of node keys', async () => {
  const [first] = textsOf('sh', 'node');
  const [ceremony] = textsOf('sh', 'node ceremony');
  const keys = /^holdfast node keys [\s\S]*? > node-\$NODE\.json$/m;
  expect(first).toMatch(keys);
  await atOnce(async (node) => {
    const replaced = first!.replace(keys, () => `${ceremony!.trimEnd()}\ncp keys/keys.json node-$NODE.json`);
    await machines.run(nodeFolder(node), replaced, { ...common(), NODE: String(node) });
    for (const file of [`node-${node}.json`, `node-${node}.csr`]) machines.send(file, nodeFolder(node), 'assembler');
    cpSync(machines.path(nodeFolder(node), 'keys'), machines.path('operator', `node-${node}`), { recursive: true });
  });
  expect(await machines.assemble()).toMatch(/Membership [0-9a-f]{64}/);
  machines.send('trust.json', 'assembler', 'operator');
}, 300_000);

it('goes on with evidence, and a bundle that operator and cosigner have signed', async () => {
  await operator(textsOf('sh', 'operator').join(''));
  expect(existsSync(machines.path('operator', 'accepted.bundle'))).toBe(true);
}, 300_000);

it('ends with nodes whose statements are logged, a client of the log, and an audit that finds all in order', async () => {
  const [setting] = textsOf('json', 'trust source');
  await machines.serveFleet(JSON.parse(here(setting!)) as Record<string, unknown>);
  const client = (text: string) =>
    machines.run('client', text, { ...common(), HOLDFAST_TRUST_STATE: machines.path('client', 'state.json') });
  expect(await client(textsOf('sh', 'client')[0]!)).toContain('Shares: 5 of 5 nodes.');
  const [variables] = textsOf('sh', 'operator');
  const defined = variables!.split('\n').filter((line) => /^(C|SIGN)=/.test(line));
  const recorded = await operator([...defined, ...textsOf('sh', 'operator later')].join('\n'));
  expect(recorded).toContain('audits find it from now on');
  machines.send('client.json', 'operator', 'client');
  const audit = await client(textsOf('sh', 'client later')[0]!);
  expect(existsSync(machines.path('client', 'recovered-again'))).toBe(true);
  expect(audit).toContain('Nothing that was checked is wrong.');
}, 300_000);
