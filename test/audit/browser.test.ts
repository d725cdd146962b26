/** The audit as a browser runs it: without Node's own cryptography, small enough, and fast enough for a fleet of five nodes. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type OutputChunk, rolldown } from 'rolldown';
import { describe, expect, it } from 'vitest';

const MAXIMUM_BYTES = 100_000;
const MAXIMUM_MILLISECONDS = 2000;

async function bundled(file: string): Promise<string> {
  const input = join(import.meta.dirname, file);
  const bundle = await rolldown({ input, platform: 'browser', treeshake: true, logLevel: 'silent' });
  const { output } = await bundle.generate({ format: 'esm', minify: true, codeSplitting: false });
  await bundle.close();
  return output.find((each): each is OutputChunk => each.type === 'chunk')!.code;
}

describe('the audit in a browser', () => {
  it('has less than 100 kB with all that it needs, compressed', async () => {
    const code = await bundled('../../src/audit/index.ts');
    expect(gzipSync(code).length).toBeLessThan(MAXIMUM_BYTES);
  });

  it('takes less than 2 seconds for a fleet of five nodes', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'bundle-')), 'run.mjs');
    // What a browser has not, so that nothing of it is used.
    const without = 'process.getBuiltinModule = undefined; globalThis.Buffer = undefined;\n';
    writeFileSync(file.replace('run', 'without'), without);
    writeFileSync(file, await bundled('in-browser-run.ts'));
    const words = ['--import', file.replace('run', 'without'), file];
    const printed = execFileSync(process.execPath, words, { encoding: 'utf8', timeout: 60_000 });
    const { milliseconds, report } = JSON.parse(printed) as {
      milliseconds: number;
      report: { passed: boolean; steps: { state: string }[] };
    };
    expect(report.passed).toBe(true);
    expect(report.steps.filter(({ state }) => state === 'not_checked')).toHaveLength(1);
    expect(milliseconds).toBeLessThan(MAXIMUM_MILLISECONDS);
  });
});
