/** A witness that dies between any two of its steps: no cosignature that left is ever contradicted afterwards. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import type { CrashPoint } from '../../../src/store/index.ts';
import { SampleLog } from '../sample-log.ts';
import { newWitness, witnessOver } from './fixtures.ts';

const log = new SampleLog().grow(20);
/** The same log up to leaf 4, and another history from there on. */
const fork = new SampleLog(log.origin).append(...log.leaves.slice(0, 5)).grow(20, 'forked');

describe('a power cut', () => {
  const cuts: readonly [commit: number, point: CrashPoint, size: number][] = [
    [1, 'before', 5],
    [1, 'after', 9],
    [2, 'before', 9],
    [2, 'after', 9],
  ];
  it.each(cuts)('at commit %i, %s it is durable, leaves size %i', async (commit, point, size) => {
    let signed = 0;
    const step = (name: string) => {
      if (name === 'signed') signed++;
      if ((commit === 1 && name === 'checked') || (commit === 2 && name === 'signed')) disk.crashAtNextCommit(point);
    };
    const { disk, add } = await newWitness({}, log);
    await add(0, 5);
    const dying = witnessOver(disk, { observer: { step } }, log);
    await expect(dying.add(5, 9)).rejects.toThrow('crashed');
    // The token has signed nothing that is not on the disk.
    expect(signed).toBe(commit - 1);
    const again = witnessOver(disk.reopen(), {}, log);
    expect(again.witness.newestCheckpoint).toBeDefined();
    expect(await again.add(0, 20)).toMatchObject({ status: 409, body: `${size}\n` });
    if (size === 9) expect((await again.witness.addCheckpoint(await fork.request(5, 9))).status).toBe(409);
    expect((await again.add(size, 20)).status).toBe(200);
  });

  it('or a full disk at either commit gives no cosignature, and the same request succeeds afterwards', async () => {
    for (const at of ['checked', 'signed']) {
      let failed = false;
      const { disk, add } = await newWitness({
        observer: {
          step: (step) => {
            if (step !== at || failed) return;
            failed = true;
            disk.failNextCommit();
          },
        },
      });
      await expect(add(0, 5)).rejects.toMatchObject({ code: 'unexpected' });
      expect((await add(at === 'checked' ? 0 : 5, 5)).status).toBe(200);
    }
  });
});

describe('a process that is killed', () => {
  const child = new URL('./witness-child.ts', import.meta.url).pathname;

  /** Runs a witness over `folder` in a process of its own that kills itself at `step` of the request to `size`. */
  async function run(folder: string, step: string) {
    const running = spawn(process.execPath, [child, folder, step], { stdio: ['pipe', 'pipe', 'inherit'] });
    const exited = once(running, 'exit');
    const [url] = (await once(createInterface(running.stdout), 'line')) as [string];
    const post = async (body: Uint8Array) => {
      const response = await fetch(`${url}/add-checkpoint`, { method: 'POST', body: body as Uint8Array<ArrayBuffer> });
      return { status: response.status, body: await response.text() };
    };
    return { post, exited, end: () => running.stdin.end() };
  }

  it.each([
    ['checked', 5],
    ['persisted', 9],
    ['signed', 9],
    ['recorded', 9],
  ])('when it has %s, leaves size %i to the next', async (step, size) => {
    const folder = mkdtempSync(join(tmpdir(), 'witness-'));
    const dying = await run(folder, step);
    expect((await dying.post(await log.request(0, 5))).status).toBe(200);
    await expect(dying.post(await log.request(5, 9))).rejects.toThrow();
    expect(await dying.exited).toEqual([null, 'SIGKILL']);
    const next = await run(folder, 'never');
    expect(await next.post(await fork.request(0, 20))).toEqual({ status: 409, body: `${size}\n` });
    if (size === 9) expect((await next.post(await fork.request(9, 20))).status).toBe(422);
    expect((await next.post(await log.request(size, 20))).status).toBe(200);
    next.end();
    expect(await next.exited).toEqual([0, null]);
  });
});
