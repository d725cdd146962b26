/** Tokens of a new fleet's parties, asked for at the same moment: each owner gets the one that is named like its folder. */

import { mkdir, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FleetFolder } from '../../src/fleet/folder.ts';
import { TokenWorkshop } from '../../src/fleet/workshop.ts';
import { findSoftHsm, openSigningToken } from '../../src/token/index.ts';

const NAMES = ['cosigner', 'operator', 'witness-1'];

it('gives each owner its own token, which its own PIN opens', async () => {
  const folder = new FleetFolder(join(await mkdtemp(join(tmpdir(), 'holdfast-workshop-')), 'fleet'));
  await mkdir(folder.path, { recursive: true });
  const module = findSoftHsm()!;
  const useSoftHsm = (configuration: string) => {
    process.env.SOFTHSM2_CONF = configuration;
  };
  const workshop = new TokenWorkshop(folder, module, useSoftHsm);
  const made = await Promise.all(NAMES.map((name) => workshop.make(name)));
  expect(made.map(({ label }) => label)).toEqual(NAMES);
  await workshop.deliver();
  for (const [i, name] of NAMES.entries()) {
    expect(await readdir(join(folder.of(name), 'token', 'tokens'))).toHaveLength(1);
    useSoftHsm(folder.softHsm(name));
    const token = await openSigningToken({ module, label: name, pin: made[i]!.pin });
    await token.close();
  }
});
