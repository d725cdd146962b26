/** The stages of `scripts/test`, in their order. To add one, add a line to `STAGES`. */

import { execFileSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { findBrowser, NO_BROWSER } from './browser.ts';
import { containerObstacle } from './containers/obstacle.ts';

/** One stage: a command that passes or fails as a whole, or a vitest project whose tests are counted one by one. */
export interface Stage {
  /** For `--only` and as the name of its output's file. */
  readonly name: string;
  readonly title: string;
  /** A command, its exit code being the result; or a project of vitest.config.ts, * standing for any end of its name. */
  readonly run: { readonly command: readonly string[] } | { readonly project: string };
  /** A group of `scripts/setup` to ask for first. */
  readonly group?: string;
  /** Commands of which each has to be there, else the stage cannot run on this machine. */
  readonly needs?: readonly string[];
  /** Looked at after the set-up: why else the stage cannot run on this machine, or undefined. */
  readonly obstacle?: () => string | undefined;
  /** After so many minutes the stage is stopped and has failed: only what hangs takes so long. Default 15. */
  readonly minutes?: number;
  /** Test files at a time, where they mostly wait for one another's processes; default as vitest.config.ts has it. */
  readonly workers?: number;
  /**
   * True puts it into a second row of stages, which runs beside the first: for tests that hardly ever wait, where those of the
   * first row mostly wait for processes, tokens, browsers and containers.
   */
  readonly aside?: boolean;
  /** Work of its own ahead of it, from the beginning and beside all others; if that fails, the stage finds out by itself. */
  readonly prepare?: readonly string[];
  /** False leaves the stage out: it has nothing to run yet. */
  readonly exists?: () => boolean;
}

const hasTests = (folder: string) => () => existsSync(folder) && globSync(`${folder}/**/*.test.ts`).length > 0;

const suite = (name: string, title: string, more: Partial<Stage> = {}): Stage => ({
  name,
  title,
  run: { project: name },
  exists: hasTests(`test/${name}`),
  ...more,
});

/** Go itself compares its version with what go.mod asks for. */
function goIsTooOld(): string | undefined {
  try {
    execFileSync('go', ['list', '-m'], { cwd: 'test/interop/formats', stdio: 'pipe', encoding: 'utf8' });
    return undefined;
  } catch (error) {
    return `Go cannot build the programs: ${(error as { stderr?: string }).stderr?.trim().split('\n').at(-1)}`;
  }
}

export const STAGES: readonly Stage[] = [
  {
    name: 'lint',
    title: 'Format, lint and layout rules',
    run: { command: ['biome', 'ci', '--colors=off', '--error-on-warnings'] },
  },
  { name: 'types', title: 'Types', run: { command: ['tsc', '--noEmit'] } },
  {
    name: 'build',
    title: 'Build',
    run: { command: ['node', 'scripts/build.ts', '--out', 'work/test/dist'] },
  },
  {
    name: 'pages',
    title: 'Build of the pages',
    run: { command: ['node', 'scripts/build-pages.ts', '--out', 'work/test/dist/pages'] },
  },
  suite('unit', 'Unit and property tests', {
    run: { project: 'unit*' },
    exists: hasTests('test'),
    group: 'test',
    aside: true,
    minutes: 60,
  }),
  suite('interop', 'Programs of others: Go’s logs, notes and witnesses', {
    group: 'interop',
    aside: true,
    minutes: 60,
    needs: ['go'],
    obstacle: goIsTooOld,
  }),
  suite('model', 'Model of the protocol', {
    group: 'model',
    aside: true,
    needs: ['spin', 'gcc'],
    minutes: 60,
  }),
  suite('simulation', 'Simulated fleets', { aside: true, minutes: 60 }),
  suite('fleet', 'Fleets of processes on real tokens', { group: 'fleet', minutes: 60 }),
  suite('hil', 'Hardware in the loop: other modules than SoftHSM, and failing ones', {
    group: 'hil',
    needs: ['gcc'],
    minutes: 60,
    workers: 3,
  }),
  suite('containers', 'Containers: the image, fleets of them, examples of deployments', {
    group: 'containers',
    obstacle: containerObstacle,
    prepare: ['node', 'test/containers/prepare.ts'],
    minutes: 60,
  }),
  suite('browser', 'The client and the pages in a browser', {
    group: 'browser',
    minutes: 60,
    obstacle: () => (findBrowser() === undefined ? NO_BROWSER : undefined),
  }),
];
