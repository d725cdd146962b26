import { configDefaults, defineConfig } from 'vitest/config';

/** Suites with a project of their own, each run after the one before it, so that none starves another of the cores. */
const LATER_SUITES = ['interop', 'model', 'simulation', 'fleet', 'hil', 'containers', 'browser'];
/** Tests on slots that somebody names (scripts/hil.ts), and on nothing else. */
const DEVICE = 'device';
/** Folders of a suite that are not only the one of its name. */
const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  fleet: ['fleet', 'faults'],
  browser: ['browser', 'pages'],
};

/** What has to be there before a suite's tests, made once. */
const SET_UP: Readonly<Record<string, string>> = { containers: 'test/containers/set-up.ts' };

const foldersOf = (suite: string): readonly string[] => FOLDERS[suite] ?? [suite];

const suite = (name: string, include: string[], exclude: string[], order: number, timeout: number) => ({
  extends: true as const,
  test: {
    name,
    include,
    exclude: [...configDefaults.exclude, ...exclude],
    testTimeout: timeout,
    hookTimeout: timeout,
    sequence: { groupOrder: order },
    ...(SET_UP[name] !== undefined && { globalSetup: [SET_UP[name]] }),
  },
});

export default defineConfig({
  test: {
    // One process per file: PKCS#11 state belongs to a process, and a native fault must not take other files with it.
    pool: 'forks',
    isolate: true,
    maxWorkers: 2,
    maxConcurrency: 2,
    retry: 0,
    // A `.only` left behind would hide all other tests of its file.
    allowOnly: false,
    teardownTimeout: 10_000,
    globalSetup: ['test/run-directory.ts'],
    setupFiles: ['test/file-directory.ts'],
    projects: [
      // Every test that is in no later suite: a new folder is never left out.
      suite(
        'unit',
        ['test/**/*.test.ts'],
        [...LATER_SUITES.flatMap(foldersOf), DEVICE].map((folder) => `test/${folder}/**`),
        0,
        60_000,
      ),
      ...LATER_SUITES.map((name, index) => {
        const include = foldersOf(name).map((folder) => `test/${folder}/**/*.test.ts`);
        return suite(name, include, [], index + 1, 300_000);
      }),
      ...(process.env.HOLDFAST_DEVICES ? [suite(DEVICE, [`test/${DEVICE}/**/*.test.ts`], [], 1, 600_000)] : []),
    ],
  },
});
