/** What scripts/setup does when a mirror or a registry fails for a moment, or for good: the script as it is, with other tools. */

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';

/** What of the machine's own the script uses. */
const REAL =
  'bash basename cat cut date dirname env find flock grep head mkdir readlink rm sed sha256sum sort tail tee touch';
const folder = mkdtempSync(join(tmpdir(), 'setup-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Each tool notes how it was called. Those named in FAIL ("ci:2") fail so often first. */
const NOTE = `#!/bin/bash
echo "$(basename "$0") $*" >>"$PLACE/calls"
for one in $FAIL; do
  [[ "$(basename "$0") $*" == *"\${one%:*}"* ]] || continue
  printf x >>"$PLACE/failed-$one"
  if [ "$(wc -c <"$PLACE/failed-$one")" -le "\${one##*:}" ]; then exit 100; fi
done
`;
const TOOLS: Readonly<Record<string, string>> = {
  'apt-get': '[[ " $* " != *" install "* ]] || touch "$PLACE/installed"',
  'apt-cache': '#!/bin/bash\n[[ " $KNOWN " != *" $2 "* ]] || echo "  Candidate: 1.2"',
  dpkg: '',
  sleep: '',
  id: 'echo 0',
  uname: 'echo Linux',
  openssl: '',
  make: '',
  'g++': '',
  python3: '',
  wc: 'exec /usr/bin/env -i wc "$@"',
  npm: `case $1 in
  ci) mkdir -p node_modules/pkcs11js/build/Release && touch node_modules/pkcs11js/build/Release/pkcs11.node ;;
  rebuild) mkdir -p node_modules/.bin && cp "$PLACE/tools/node" node_modules/.bin/node ;;
  config) echo "$PLACE/npm-cache" ;;
esac`,
  node: 'case $1 in --version) echo v24.0.0 ;; */build.ts) mkdir -p dist ;; esac',
};

interface Outcome {
  readonly code: number | null;
  readonly said: string;
  /** Calls of tools that fetch, and waits, in their order. */
  readonly calls: readonly string[];
  readonly installed: boolean;
}

/** Sets up a checkout of its own in which nothing is there yet. */
function setUp(fail: string, { known = 'softhsm2', words = [] as readonly string[] } = {}): Outcome {
  const place = mkdtempSync(join(folder, 'place-'));
  const tools = join(place, 'tools');
  for (const name of ['tools', 'scripts', 'npm-cache']) mkdirSync(join(place, name));
  copyFileSync(resolve(import.meta.dirname, '../../scripts/setup'), join(place, 'scripts/setup'));
  for (const name of ['package.json', 'package-lock.json']) writeFileSync(join(place, name), '{}');
  const found = (process.env.PATH ?? '').split(delimiter);
  for (const name of [...REAL.split(' '), 'cp', 'mktemp', 'touch']) {
    const at = found.map((one) => join(one, name)).find((path) => existsSync(path));
    if (at === undefined) throw new Error(`this machine has no ${name}`);
    writeFileSync(join(tools, name), `#!/bin/bash\nexec ${at} "$@"\n`);
  }
  for (const [name, body] of Object.entries(TOOLS)) {
    writeFileSync(join(tools, name), `${name === 'apt-cache' ? '' : NOTE}${body}\n`);
  }
  const run = spawnSync('bash', ['-c', 'chmod 755 "$0"/*', tools]);
  expect(run.status).toBe(0);
  chmodSync(join(place, 'scripts/setup'), 0o755);
  const { status, stdout, stderr } = spawnSync('/bin/bash', [join(place, 'scripts/setup'), ...words], {
    env: { PATH: tools, PLACE: place, HOME: place, FAIL: fail, KNOWN: known },
    encoding: 'utf8',
  });
  const calls = readFileSync(join(place, 'calls'), 'utf8').split('\n');
  return {
    code: status,
    said: stdout + stderr,
    calls: calls
      .filter((line) => /^(apt-get|sleep|dpkg|npm (ci|rebuild node))/.test(line))
      .map((line) =>
        line.replace(/-q -o DPkg\S+ (-o APT\S+ )?|-y --no-install-recommends /g, '').replace(/^(npm .*?) --.*/, '$1'),
      ),
    installed: existsSync(join(place, 'installed')),
  };
}

const NPM = ['npm ci', 'npm rebuild node'];
const INSTALL = 'apt-get install softhsm2';

it('asks nobody twice when all goes well', () => {
  const { code, said, calls } = setUp('');
  expect([code, calls], said).toEqual([0, ['apt-get update', INSTALL, ...NPM]]);
});

it('installs once more, from a new list, what a mirror failed to give', () => {
  const { code, said, calls, installed } = setUp('install:1');
  const again = ['sleep 5', 'dpkg --configure -a', 'apt-get update', INSTALL];
  expect([code, calls], said).toEqual([0, ['apt-get update', INSTALL, ...again, ...NPM]]);
  expect(installed).toBe(true);
});

it('fetches a list again that was not complete and lacked what is needed', () => {
  // As apt has it: the list fails, and so no package is found.
  const { code, said, calls } = setUp('update:1 install:1', { known: '' });
  const again = ['sleep 5', 'dpkg --configure -a', 'apt-get update', INSTALL];
  expect([code, calls], said).toEqual([0, ['apt-get update', INSTALL, ...again, ...NPM]]);
});

it('begins anew with packages of npm of which one broke off', () => {
  const { code, said, calls } = setUp('ci:2 rebuild:1');
  const anew = ['npm ci', 'sleep 5', 'npm ci', 'sleep 30', 'npm ci', 'npm rebuild node', 'sleep 5', 'npm rebuild node'];
  expect([code, calls], said).toEqual([0, ['apt-get update', INSTALL, ...anew]]);
});

it('gives up after three times, and says at what', () => {
  const { code, said, calls } = setUp('ci:99');
  expect(code).toBe(1);
  expect(calls.filter((line) => line === 'npm ci')).toHaveLength(3);
  expect(said).toContain('scripts/setup: this step failed: Installing npm packages');
});

it('does not wait for what the release does not have, nor for each package of a mirror that is gone', () => {
  const words = ['--with', 'model'];
  const lacking = setUp('spin:99 gcc:99', { words });
  expect([lacking.code, lacking.calls], lacking.said).toEqual([
    0,
    ['apt-get update', INSTALL, ...NPM, 'apt-get install spin', 'apt-get install gcc', 'apt-get install libc6-dev'],
  ]);
  expect(lacking.said).toContain('could not install spin');
  const gone = setUp('spin:99 gcc:99 libc6:99', { words, known: 'softhsm2 spin gcc libc6-dev' });
  expect(gone.code, gone.said).toBe(0);
  expect(gone.calls.filter((line) => line === 'apt-get install spin')).toHaveLength(3);
  expect(gone.calls.filter((line) => line === 'apt-get install gcc')).toHaveLength(1);
});
