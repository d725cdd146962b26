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

/**
 * Unit tests whose files share a few processes, which spares each file the start of one and the loading of all modules:
 * they load no PKCS#11 module, and leave nothing behind that another file could see. Only in a whole run of the stage: whoever
 * names some files, with the project `unit`, has each in a process of its own.
 */
const TOGETHER = [
  ...['client', 'configuration', 'coordinator', 'core', 'crypto', 'dashboard', 'evidence', 'layout', 'node'],
  ...['operator', 'pki', 'protocol', 'recovery', 'store', 'trust'],
].map((folder) => `test/${folder}/**/*.test.ts`);
TOGETHER.push(
  // But those that bundle, that use tokens, or that count what others of the process call.
  'test/access/!(verifier).test.ts',
  'test/audit/!(browser).test.ts',
  'test/backup/**/*.test.ts',
  'test/ceremony/{conduct,transcript}.test.ts',
  'test/cli/{built,bundle,connect,files,fleet-fetch,home,output,page,program,tenant,trust,trust-state}.test.ts',
  'test/cosigner/**/!(command).test.ts',
  'test/deploy/**/*.test.ts',
  'test/http/!(service).test.ts',
  'test/scripts/**/*.test.ts',
  'test/signer/{journal,journal-rotation,purposes}.test.ts',
  'test/token/{pin,refused-pin,software}.test.ts',
);

const SHARED = { isolate: false, setupFiles: ['test/leaves-nothing.ts'] };
const together = process.env.HOLDFAST_TEST_TOGETHER === '1' ? TOGETHER : [];

/** Milliseconds. Only what hangs comes to this end: some take minutes on a machine with a fraction of a processor and a slow disk. */
const UNIT_LIMIT = 600_000;

/** The same for suites in which one test is hundreds of simulated fleets, or a fleet's whole story. */
const LATER_LIMIT = 900_000;

/** What has to be there before a suite's tests, made once. */
const SET_UP: Readonly<Record<string, string>> = { containers: 'test/containers/set-up.ts' };

const foldersOf = (suite: string): readonly string[] => FOLDERS[suite] ?? [suite];

const elsewhere = [...LATER_SUITES.flatMap(foldersOf), DEVICE].map((folder) => `test/${folder}/**`);

const suite = (
  name: string,
  include: readonly string[],
  exclude: readonly string[],
  order: number,
  timeout: number,
  more: { isolate?: boolean; setupFiles?: string[] } = {},
) => ({
  extends: true as const,
  test: {
    ...more,
    name,
    include: [...include],
    exclude: [...configDefaults.exclude, ...exclude],
    testTimeout: timeout,
    hookTimeout: timeout,
    sequence: { groupOrder: order },
    ...(SET_UP[name] !== undefined && { globalSetup: [SET_UP[name]] }),
  },
});

export default defineConfig({
  test: {
    // One process per file, if not said otherwise: PKCS#11 state belongs to a process, and a native fault must not take other files with it.
    pool: 'forks',
    // Both processors have work all the time: threads of the collector only cost, of a simulation a fifth and more.
    execArgv: ['--single-threaded-gc'],
    isolate: true,
    maxWorkers: 2,
    maxConcurrency: 2,
    retry: 0,
    // A `.only` left behind would hide all other tests of its file.
    allowOnly: false,
    teardownTimeout: 60_000,
    globalSetup: ['test/run-directory.ts'],
    setupFiles: ['test/file-directory.ts'],
    projects: [
      // Every test that is in no later suite: a new folder is never left out.
      suite('unit', ['test/**/*.test.ts'], [...elsewhere, ...together], 0, UNIT_LIMIT),
      ...(together.length > 0 ? [suite('unit-together', together, [], 0, UNIT_LIMIT, SHARED)] : []),
      ...LATER_SUITES.map((name, index) => {
        const include = foldersOf(name).map((folder) => `test/${folder}/**/*.test.ts`);
        return suite(name, include, [], index + 1, LATER_LIMIT);
      }),
      ...(process.env.HOLDFAST_DEVICES ? [suite(DEVICE, [`test/${DEVICE}/**/*.test.ts`], [], 1, 600_000)] : []),
    ],
  },
});
