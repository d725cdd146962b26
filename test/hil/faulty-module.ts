/** The fault-injecting module of test/hil/shim: building it, and telling it what to do. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Compiles the module into `directory`. @returns its path. */
export function buildFaultyModule(directory: string): string {
  const module = join(directory, 'faulty.so');
  const source = resolve(import.meta.dirname, 'shim/faulty.c');
  const flags = ['-std=c11', '-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-pthread'];
  execFileSync('gcc', [...flags, '-o', module, source, '-ldl'], { stdio: ['ignore', 'inherit', 'inherit'] });
  return module;
}

/** Rules for the module: see the head of shim/faulty.c. */
export class FaultControl {
  /** For FAULTY_CONTROL in the environment of whoever loads the module. */
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** These rules from now on, each call counted from one. */
  set(...rules: readonly string[]): void {
    rmSync(`${this.path}.done`, { force: true });
    // Whole at once: the module looks at it at any time.
    writeFileSync(`${this.path}.new`, rules.map((rule) => `${rule}\n`).join(''));
    renameSync(`${this.path}.new`, this.path);
  }

  /** The device works as it should. */
  clear(): void {
    rmSync(this.path, { force: true });
  }

  /** How often a rule was carried out since `set`. */
  get done(): number {
    const path = `${this.path}.done`;
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').length - 1 : 0;
  }
}
