/** Whether containers can be built and run on this machine, for their tests. */

import { spawnSync } from 'node:child_process';

const answers = (command: string, ...words: string[]) =>
  spawnSync(command, words, { stdio: 'ignore', timeout: 120_000 }).status === 0;

/** Why not, or undefined. */
export function containerObstacle(): string | undefined {
  if (!answers('docker', '--version')) return 'docker not found; scripts/setup --with containers installs it on Debian';
  const local = answers('docker', 'image', 'inspect', 'holdfast-base:local');
  const root = process.getuid?.() === 0;
  if (!local && !(root && answers('debootstrap', '--version'))) {
    return 'no base image: scripts/base-image makes one, as root with debootstrap';
  }
  if (answers('docker', 'version')) return undefined;
  if (!root) return 'no Docker engine answers, and only root can start one';
  return answers('dockerd', '--version') ? undefined : 'no Docker engine answers, and dockerd is not installed';
}
