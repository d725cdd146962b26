/** What commands do for a user without a home folder, as in a container that runs under any number. */

import { expect, test } from 'vitest';
import { runUnshared, UNKNOWN_USER, withoutNamespace } from '../unshare.ts';

const missing = withoutNamespace(UNKNOWN_USER);
const moduleOf = (name: string): string => JSON.stringify(import.meta.resolve(`../../src/cli/${name}.ts`));

/** What a process of a user whom the system does not know is told, with this environment. */
const asked = (environment: Readonly<Record<string, string>>): unknown =>
  runUnshared(UNKNOWN_USER, {
    environment,
    program: `
      import { requireHome } from ${moduleOf('files')};
      import { homeFolder } from ${moduleOf('home')};
      import { defaultProfilePath } from ${moduleOf('profile')};
      const told = (ask: () => unknown) => {
        try {
          return ask() ?? 'nothing';
        } catch (error) {
          return (error as Error).message;
        }
      };
      console.log(JSON.stringify({
        home: told(homeFolder),
        required: told(() => requireHome('use --out FILE')),
        profile: told(() => defaultProfilePath({})),
        named: told(() => defaultProfilePath({ HOLDFAST_PROFILE: '/data/profile.json' })),
        configured: told(() => defaultProfilePath({ XDG_CONFIG_HOME: '/data' })),
      }));`,
  });

const named = { named: '/data/profile.json', configured: '/data/holdfast/profile.json' };

test('there is one where HOME names it', ({ skip }) => {
  skip(missing !== undefined, missing);
  expect(asked({ HOME: '/home/alice' })).toEqual({
    ...named,
    home: '/home/alice',
    required: '/home/alice',
    profile: '/home/alice/.config/holdfast/profile.json',
  });
});

test('without one no folder is named, and what needs one says what to name instead', ({ skip }) => {
  skip(missing !== undefined, missing);
  expect(asked({})).toEqual({
    ...named,
    home: 'nothing',
    required: 'this user has no home folder; use --out FILE',
    profile: expect.stringMatching(/--profile FILE or HOLDFAST_PROFILE/),
  });
});
