/** Commands of one fleet that may not work at the same time take turns. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { planText } from '../../src/fleet/folder.ts';
import { FleetFolder, recordFleet } from '../../src/fleet/index.ts';
import { lockFile } from '../../src/lock/index.ts';

function folderWithoutLog(): FleetFolder {
  const folder = new FleetFolder(mkdtempSync(join(tmpdir(), 'turns-')));
  writeFileSync(
    folder.plan,
    planText({ name: 'f', nodes: 1, coordinators: 1, basePort: 10_000, log: { kind: 'none' } }),
  );
  return folder;
}

const options = (folder: FleetFolder) => ({ folder, useSoftHsm: () => {}, patience: 60_000 });

test('whoever wants the service record waits for a process that gathers it now, and then begins', async () => {
  const folder = folderWithoutLog();
  const other = await lockFile(join(folder.path, 'service-record'), 0);
  let gathering = true;
  setTimeout(() => {
    gathering = false;
    other.release();
  }, 100);
  // It gets no further than to see that there is no log.
  await expect(recordFleet(options(folder))).rejects.toMatchObject({ code: 'usage' });
  expect(gathering).toBe(false);
  // And has left the lock to the next one.
  await expect(recordFleet({ ...options(folder), patience: 0 })).rejects.toMatchObject({ code: 'usage' });
});

test('and can be told to give up', async () => {
  const folder = folderWithoutLog();
  const other = await lockFile(join(folder.path, 'service-record'), 0);
  const signal = AbortSignal.timeout(50);
  await expect(recordFleet({ ...options(folder), signal })).rejects.toMatchObject({ code: 'cancelled' });
  other.release();
});
