/**
 * Completes package-lock.json after `npm install`: run `node scripts/complete-lockfile.mjs` whenever it has changed.
 *
 * npm writes download addresses, which tie the file to one registry, and a registry that serves only the packages of
 * one platform makes it leave the other platforms' variants out, after which `npm ci` refuses the file. This drops the
 * addresses and adds the missing variants by name and version; their hashes are unknown here and so left out.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SYSTEMS = 'aix android darwin freebsd linux netbsd openbsd openharmony sunos win32'.split(' ');
const PROCESSORS = 'arm arm64 ia32 loong64 mips64el ppc64 riscv64 s390x wasm32 x64'.split(' ');

const path = join(import.meta.dirname, '..', 'package-lock.json');
const lock = JSON.parse(readFileSync(path, 'utf8'));
const { packages } = lock;
let dropped = 0;
let added = 0;

for (const [folder, entry] of Object.entries(packages)) {
  if (entry.resolved !== undefined) dropped++;
  delete entry.resolved;
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (packages[`node_modules/${name}`] || packages[`${folder}/node_modules/${name}`]) continue;
    const words = name.split(/[^a-z0-9]+/);
    const os = SYSTEMS.filter((system) => words.includes(system));
    const cpu = PROCESSORS.filter((processor) => words.includes(processor));
    // What is not named after a platform is missing for another reason, which a person has to see.
    if (os.length === 0 && cpu.length === 0) continue;
    packages[`node_modules/${name}`] = {
      version,
      ...(cpu.length > 0 && { cpu }),
      ...(entry.dev && { dev: true }),
      optional: true,
      ...(os.length > 0 && { os }),
    };
    added++;
  }
}

lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} variants for other platforms added, ${dropped} download addresses dropped`);
