/**
 * Builds the container image so that the same commit always gives the same digest: `docker build`, then the layers above the
 * base and the image's configuration are written anew without what tells when, where and by which engine it was built.
 *
 * Docker Image Specification 1.2: layers are tar archives, named by the SHA-256 of their bytes; an image's identifier is the
 * SHA-256 of its configuration, which names the layers.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { normaliseImage } from './normalise.ts';

const root = resolve(import.meta.dirname, '../..');

const USAGE = `Usage: scripts/image [--tag NAME] [--base IMAGE] [--builder IMAGE] [--context FOLDER] [--no-cache | --anew]
                     [--sbom FILE] [--json]

Builds the container image from the Dockerfile, with one digest for one commit on one base.

  --tag NAME        name of the image (default holdfast:local)
  --base IMAGE      what it is built on (default debian:bookworm-slim, or holdfast-base:local where that exists)
  --builder IMAGE   where it is compiled (default the base, or holdfast-builder:local where that exists)
  --context FOLDER  the sources (default this checkout)
  --no-cache        build every step anew
  --anew            build every step anew, but for fetching packages, each of which the lock file has the hash of
  --sbom FILE       copy the bill of materials (CycloneDX) there
  --json            print the result as one JSON object

Where no image can be pulled, scripts/base-image makes both. SOURCE_DATE_EPOCH (seconds) is the time of everything in the
image; the default is that of the last commit.`;

const { values: flags } = parseArgs({
  options: {
    tag: { type: 'string', default: 'holdfast:local' },
    base: { type: 'string' },
    builder: { type: 'string' },
    context: { type: 'string', default: root },
    'no-cache': { type: 'boolean' },
    anew: { type: 'boolean' },
    sbom: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});

/** Output for people goes to standard error: standard output is the result's. */
function docker(words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync('docker', words, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (status === 0) return stdout.trim();
  throw new Error(`docker ${words[0]} failed: ${error?.message ?? `${stdout}\n${stderr}`.trim().slice(-4000)}`);
}

function exists(image: string): boolean {
  return spawnSync('docker', ['image', 'inspect', image], { stdio: 'ignore' }).status === 0;
}

function sourceDate(): number {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined && !/^\d{1,11}$/.test(given)) throw new Error('SOURCE_DATE_EPOCH must be whole seconds');
  if (given !== undefined) return Number(given);
  try {
    return Number(execFileSync('git', ['-C', root, 'log', '-1', '--format=%ct'], { encoding: 'utf8' }));
  } catch {
    throw new Error('set SOURCE_DATE_EPOCH: this is no git checkout whose last commit could be asked');
  }
}

/** The commit of a checkout that nobody has changed since; empty for any other folder. */
function commitOf(folder: string): string {
  const git = (...words: string[]) => spawnSync('git', ['-C', folder, ...words], { encoding: 'utf8' });
  const top = git('rev-parse', '--show-toplevel');
  if (top.status !== 0 || resolve(top.stdout.trim()) !== resolve(folder)) return '';
  const changes = git('status', '--porcelain', '--untracked-files=no');
  return changes.status === 0 && changes.stdout === '' ? git('rev-parse', 'HEAD').stdout.trim() : '';
}

/** Seconds of each step, for whoever wonders what takes so long. */
const seconds: Record<string, number> = {};
async function timed<T>(step: string, work: () => T | Promise<T>): Promise<T> {
  const began = performance.now();
  const result = await work();
  seconds[step] = Math.round((performance.now() - began) / 100) / 10;
  return result;
}

async function main(): Promise<void> {
  const epoch = sourceDate();
  const local = exists('holdfast-base:local');
  const base = flags.base ?? (local ? 'holdfast-base:local' : 'debian:bookworm-slim');
  const builder = flags.builder ?? (local && exists('holdfast-builder:local') ? 'holdfast-builder:local' : base);
  const scratch = mkdtempSync(join(tmpdir(), 'holdfast-image-'));
  const draft = `holdfast-draft:${process.pid}`;
  try {
    await timed('build', () =>
      docker([
        ...['build', '--tag', draft, '--file', join(root, 'Dockerfile')],
        ...['--build-arg', `BASE=${base}`, '--build-arg', `BUILDER=${builder}`],
        ...['--build-arg', `SOURCE_COMMIT=${commitOf(flags.context)}`, '--build-arg', `SOURCE_DATE_EPOCH=${epoch}`],
        ...(flags['no-cache'] ? ['--no-cache'] : []),
        ...(flags.anew ? ['--build-arg', `ANEW=${Date.now()}`] : []),
        flags.context,
      ]),
    );
    const archive = join(scratch, 'draft.tar');
    await timed('save', () => docker(['save', '--output', archive, draft]));
    const kept = (JSON.parse(docker(['image', 'inspect', base, '--format', '{{json .RootFS.Layers}}'])) as string[])
      .length;
    const normalised = join(scratch, 'image.tar');
    const { id, layers } = await timed('normalise', () =>
      normaliseImage(archive, normalised, { scratch: join(scratch, 'layers'), kept, epoch, tag: flags.tag }),
    );
    await timed('load', () => docker(['load', '--input', normalised]));
    const bytes = Number(docker(['image', 'inspect', id, '--format', '{{.Size}}']));
    if (flags.sbom !== undefined) copyBill(id, flags.sbom);
    if (flags.json) console.log(JSON.stringify({ tag: flags.tag, id, bytes, layers, base, epoch, seconds }));
    else
      console.log(
        `${flags.tag}\n${id}\n${(bytes / 1e6).toFixed(0)} MB in ${layers} layers, on ${base} (seconds: ${JSON.stringify(seconds)})`,
      );
  } finally {
    spawnSync('docker', ['rmi', draft], { stdio: 'ignore' });
    rmSync(scratch, { recursive: true, force: true });
  }
}

function copyBill(image: string, target: string): void {
  const container = docker(['create', image]);
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bill-'));
  try {
    docker(['cp', `${container}:/app/sbom.cdx.json`, join(folder, 'bill')]);
    mkdirSync(resolve(target, '..'), { recursive: true });
    copyFileSync(join(folder, 'bill'), target);
  } finally {
    docker(['rm', container]);
    rmSync(folder, { recursive: true, force: true });
  }
}

if (flags.help) console.log(USAGE);
else {
  await main().catch((error: unknown) => {
    console.error(`scripts/image: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  });
}
