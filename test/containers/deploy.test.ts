/** The examples of docs/deploy: manifests against Kubernetes' schemas, units by systemd's own check. */

import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it, type TestContext } from 'vitest';
import { kept, root } from './engine.ts';

/** Skips the rest of a test with its reason, which the run prints. */
function need(test: TestContext, what: string, there: boolean): void {
  // biome-ignore lint/suspicious/noSkippedTests: only where the tool cannot be had, with the reason
  test.skip(!there, `${what} is not installed; scripts/setup --with containers`);
}

describe('the manifests for Kubernetes', () => {
  // PyPI's package carries the schemas, so that nothing is fetched here (scripts/setup --with containers).
  const validate = join(kept, 'kubernetes-validate/bin/kubernetes-validate');
  const check = (path: string) => spawnSync(validate, ['--strict', path], { encoding: 'utf8', timeout: 600_000 });

  it('are valid', (test) => {
    need(test, 'kubernetes-validate', existsSync(validate));
    const manifests = globSync('docs/deploy/kubernetes/*.yaml', { cwd: root });
    expect(manifests.length).toBe(2);
    for (const path of manifests) {
      const { status, stdout, stderr } = check(join(root, path));
      expect(status, `${stdout}${stderr}`).toBe(0);
    }
  });

  it('would not be if a member were misspelt', (test) => {
    need(test, 'kubernetes-validate', existsSync(validate));
    const text = readFileSync(join(root, 'docs/deploy/kubernetes/node.yaml'), 'utf8');
    const path = join(tmpdir(), 'wrong.yaml');
    writeFileSync(path, text.replace('readOnlyRootFilesystem', 'readOnlyRootFileSystem'));
    expect(check(path).status).not.toBe(0);
  });
});

describe('the units for systemd', () => {
  const there = spawnSync('systemd-analyze', ['--version']).status === 0;
  const verify = (path: string, text: string) => {
    const copy = join(mkdtempSync(join(tmpdir(), 'unit-')), basename(path));
    // The check wants the program to be there.
    writeFileSync(copy, text.replaceAll('/usr/local/bin/holdfast', process.execPath));
    const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], { encoding: 'utf8' });
    return { status, said: `${stdout}${stderr}` };
  };
  const units = globSync('docs/deploy/systemd/*.service', { cwd: root });

  it('are valid, and expose little', (test) => {
    need(test, 'systemd-analyze', there);
    expect(units.length).toBe(2);
    for (const unit of units) {
      const path = join(root, unit);
      const { status, said } = verify(path, readFileSync(path, 'utf8'));
      expect(said).toBe('');
      expect(status).toBe(0);
      const security = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=20', path]);
      expect(security.status, `${unit} is exposed more than 2.0`).toBe(0);
    }
  });

  it('would not be if a setting were misspelt', (test) => {
    need(test, 'systemd-analyze', there);
    const text = readFileSync(join(root, units[0]!), 'utf8').replace('ProtectSystem=', 'ProtectSystems=');
    expect(verify(units[0]!, text).said).toContain('ProtectSystems');
  });
});
