/** Runs the suite for hardware (`npm run test:hil`) as a person does, and reads what it says. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { findSoftHsm, initialiseToken, readInventory, writeSoftHsmConfiguration } from '../../src/token/index.ts';
import { cleanEnvironment } from '../fleet/launcher.ts';
import { secret } from '../token/fixture.ts';

export const PIN = '4711-user';
export const script = resolve(import.meta.dirname, '../../scripts/hil.ts');

export function pinFile(): string {
  const path = join(mkdtempSync(join(tmpdir(), 'pin-')), 'pin');
  writeFileSync(path, PIN, { mode: 0o600 });
  return path;
}

export interface Run {
  readonly code: number | null;
  readonly output: string;
  readonly junit: string;
}

export async function hil(words: readonly string[], environment: Readonly<Record<string, string>>): Promise<Run> {
  const report = join(mkdtempSync(join(tmpdir(), 'hil-')), 'junit.xml');
  const child = spawn(process.execPath, [script, ...words, '--junit', report], {
    // Not this run's own workers: it is a run by itself.
    env: { ...cleanEnvironment(environment), VITEST: '', VITEST_POOL_ID: '', VITEST_WORKER_ID: '', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const pieces: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => pieces.push(piece));
  const [code] = (await once(child, 'close')) as [number | null];
  const output = Buffer.concat(pieces).toString('utf8');
  return { code, output, junit: existsSync(report) ? readFileSync(report, 'utf8') : '' };
}

/** All passed, and as many as there are at least. */
export function expectPassed({ code, output, junit }: Run, atLeast: number): void {
  const [, passed, failed] = /(\d+) passed, (\d+) failed/.exec(output) ?? [];
  expect([code, failed], output.slice(-6000)).toEqual([0, '0']);
  expect(Number(passed)).toBeGreaterThanOrEqual(atLeast);
  expect(junit).toMatch(/<testsuites .*failures="0"/);
}

/** A SoftHSM with so many tokens, and the numbers of their slots. */
export async function softHsm(count: number): Promise<{ module: string; configuration: string; slots: number[] }> {
  const module = findSoftHsm()!;
  const configuration = writeSoftHsmConfiguration(mkdtempSync(join(tmpdir(), 'hsm-')));
  process.env.SOFTHSM2_CONF = configuration;
  for (let i = 1; i <= count; i++) {
    await initialiseToken({ module, label: `slot-${i}`, soPin: secret('officer-1'), userPin: secret(PIN) });
  }
  const { slots } = await readInventory({ module });
  return { module, configuration, slots: slots.flatMap(({ number, token }) => (token ? [number] : [])) };
}
