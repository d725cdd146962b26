/** What commands do for a user without a home folder, as in a container that runs under any number. */

import { expect, it, vi } from 'vitest';
import { requireHome } from '../../src/cli/files.ts';
import { homeFolder } from '../../src/cli/home.ts';
import { defaultProfilePath } from '../../src/cli/profile.ts';

const nobody = vi.hoisted(() => ({ known: true }));
vi.mock('node:os', async (original) => {
  const os = await original<typeof import('node:os')>();
  const homedir = () => {
    if (nobody.known) return '/home/alice';
    throw Object.assign(new Error('uv_os_homedir returned ENOENT'), { code: 'ERR_SYSTEM_ERROR' });
  };
  return { ...os, default: os, homedir };
});

it('names no folder, and what needs one says what to name instead', () => {
  expect(homeFolder()).toBe('/home/alice');
  expect(defaultProfilePath({})).toBe('/home/alice/.config/holdfast/profile.json');
  nobody.known = false;
  expect(homeFolder()).toBeUndefined();
  expect(() => requireHome('use --out FILE')).toThrow('this user has no home folder; use --out FILE');
  expect(() => defaultProfilePath({})).toThrow(/--profile FILE or HOLDFAST_PROFILE/);
  expect(defaultProfilePath({ HOLDFAST_PROFILE: '/data/profile.json' })).toBe('/data/profile.json');
  expect(defaultProfilePath({ XDG_CONFIG_HOME: '/data' })).toBe('/data/holdfast/profile.json');
});
