/** What scripts/setup does beside building: no more is kept of earlier builds than there is of the last one. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const setup = readFileSync(new URL('../../scripts/setup', import.meta.url), 'utf8');
const ensureBuild = /^ensure_build\(\) \{\n[\s\S]*?^\}$/m.exec(setup)?.[0];

it('removes what was compiled of earlier builds, where the command keeps it, and nothing else', () => {
  const root = mkdtempSync(join(tmpdir(), 'setup-'));
  const cache = join(root, 'cache/holdfast');
  try {
    for (const folder of ['dist/cli', 'cache/holdfast/compile-cache/v24-x64', 'cache/other/compile-cache']) {
      mkdirSync(join(root, folder), { recursive: true });
      writeFileSync(join(root, folder, 'file'), '');
    }
    writeFileSync(join(cache, 'kept'), '');
    // The building itself is the tests' own first step: here it only makes the folder.
    const script = `set -euo pipefail\nstep() { mkdir -p "$root/dist"; }\nnode=node\n${ensureBuild}\nensure_build`;
    const { status, stderr } = spawnSync('bash', ['-c', script], {
      env: { ...process.env, root, XDG_CACHE_HOME: join(root, 'cache') },
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(existsSync(join(root, 'dist/.built'))).toBe(true);
    expect(existsSync(join(root, 'dist/cli'))).toBe(false);
    expect(existsSync(join(cache, 'compile-cache'))).toBe(false);
    expect(existsSync(join(cache, 'kept'))).toBe(true);
    expect(existsSync(join(root, 'cache/other/compile-cache/file'))).toBe(true);
    const entry = readFileSync(new URL('../../src/cli/main.ts', import.meta.url), 'utf8');
    expect(entry).toContain("'holdfast', 'compile-cache'");
  } finally {
    rmSync(root, { recursive: true });
  }
});
