/** Removes from node_modules what no running program reads: sources of native code, other platforms' binaries, maps, types. */

import { globSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = process.argv[2];
if (!root) throw new Error('usage: prune.mjs NODE_MODULES');

const UNREAD = [
  '.bin',
  '.package-lock.json',
  '**/*.{map,ts,mts,cts,flow,markdown,tsbuildinfo}',
  '**/{README,CHANGELOG,HISTORY,SECURITY,CONTRIBUTING}*.md',
  '**/{test,tests,__tests__,benchmark,benchmarks,bench,example,examples,.github}',
  'lmdb/{dependencies,src,dict}',
  'pkcs11js/{src,includes}',
  'pkcs11js/build/{Makefile,*.mk,*.Makefile,config.gypi}',
  'pkcs11js/build/Release/{obj.target,.deps}',
  'pkcs11js/build/Release/**/*.{o,a,d}',
  '**/*.gyp',
];
for (const pattern of UNREAD) {
  for (const path of globSync(pattern, { cwd: root })) rmSync(join(root, path), { recursive: true, force: true });
}
