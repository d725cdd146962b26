/** A token that is only slow: a command waits for it longer than a service does, since nobody is served by it meanwhile. */

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { findSoftHsm } from '../../src/token/index.ts';
import { copyFleet, holdfast } from '../fleet/launcher.ts';
import { buildFaultyModule, FaultControl } from './faulty-module.ts';

test('what a node has on its token is told, where that takes longer for an answer than the service would wait', async () => {
  const folder = await copyFleet();
  const directory = dirname(folder.path);
  const control = new FaultControl(join(directory, 'faults'));
  const path = folder.configuration('node-1');
  const configuration = JSON.parse(readFileSync(path, 'utf8')) as { token: object };
  Object.assign(configuration.token, { module: buildFaultyModule(directory), timeoutMilliseconds: 100 });
  writeFileSync(path, JSON.stringify(configuration));
  control.set('C_FindObjectsInit 1 1 wait');
  const asked = holdfast(['node', 'info', '--config', path, '--json'], {
    environment: { FAULTY_MODULE: findSoftHsm()!, FAULTY_CONTROL: control.path },
    onStart: async (child) => {
      while (control.done === 0 && child.exitCode === null) await setTimeout(20);
      // Ten times what the service would wait.
      await setTimeout(1000);
      control.clear();
    },
  });
  const { code, stdout, stderr } = await asked;
  expect([code, `${stdout}${stderr}`]).toEqual([0, expect.stringContaining('"node":1')]);
  rmSync(directory, { recursive: true });
});
