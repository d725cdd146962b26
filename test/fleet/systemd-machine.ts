/**
 * A machine that systemd runs: namespaces and a control group of their own, in which this machine's own files can be read, and
 * nothing of it is changed. What it needs to be is systemd's "Container Interface".
 */

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const checkout = resolve(import.meta.dirname, '../..');
const INIT = '/lib/systemd/systemd';
const NAMESPACES = ['--mount', '--pid', '--uts', '--ipc', '--cgroup'] as const;

/** Where the machine's own changes go is memory; the checkout is at /opt/holdfast, and `$SHARED` at its own path. */
const BOOT = `
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE"/{changes,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$PLACE/changes,workdir=$PLACE/work" "$PLACE/root"
cd "$PLACE/root"
mount -t proc proc proc && mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run && mount -t tmpfs -o mode=1777 tmpfs tmp && mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir dev/shm dev/pts && mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx && ln -s /proc/self/fd dev/fd
mkdir -p opt/holdfast && mount --rbind "$CHECKOUT" opt/holdfast
mkdir -p "./$SHARED" && mount --bind "$SHARED" "./$SHARED"
# Another machine than this one, with no services but those of its tests.
: > etc/machine-id
rm -rf etc/systemd/system/* var/lib/systemd/* etc/holdfast* usr/local/bin/holdfast var/lib/holdfast
mkdir -p before && pivot_root . before && umount -l /before
# What a unit mounts for itself, as a folder of credentials, systemd shows to all.
mount --make-rshared /
exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
  ${INIT} --system --unit=basic.target --log-target=journal-or-kmsg --show-status=0
`;

function controlGroups(): string | undefined {
  return /^\S+ (\S+) cgroup2 \S*\brw\b/m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1];
}

/** Why there can be none here, or undefined. */
export function systemdObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can start systemd';
  if (spawnSync('systemd-creds', ['--version']).status !== 0)
    return 'systemd is not installed; scripts/setup --with fleet';
  if (controlGroups() === undefined) return 'no control groups of version 2 that can be written to';
  const { status } = spawnSync('unshare', [...NAMESPACES, '--fork', 'true']);
  return status === 0 ? undefined : 'this machine makes no namespaces';
}

export class SystemdMachine implements AsyncDisposable {
  readonly #group: string;
  readonly #place: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  #init = 0;

  /** @param shared a folder that it and this machine both have, at the same path. */
  private constructor(shared: string) {
    this.#group = mkdtempSync(join(controlGroups()!, 'holdfast-'));
    this.#place = mkdtempSync(join(tmpdir(), 'machine-'));
    const begin = 'echo $$ > "$GROUP/cgroup.procs"; exec unshare "$@"';
    this.#process = spawn('bash', ['-c', begin, 'bash', ...NAMESPACES, '--fork', '--kill-child', 'bash', '-c', BOOT], {
      env: { ...process.env, GROUP: this.#group, PLACE: this.#place, CHECKOUT: checkout, SHARED: shared },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.#ended = once(this.#process, 'close');
  }

  /** Resolves when it is up. */
  static async boot(shared: string): Promise<SystemdMachine> {
    const machine = new SystemdMachine(shared);
    const end = performance.now() + 300_000;
    for (;;) {
      const { pid, exitCode } = machine.#process;
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
      machine.#init = Number(children);
      const state = machine.#init > 0 ? await machine.run('systemctl is-system-running || true').catch(() => '') : '';
      if (/^(running|degraded)$/m.test(state)) return machine;
      if (exitCode !== null || performance.now() > end) {
        await machine[Symbol.asyncDispose]();
        throw new Error(`systemd is not up: ${state || 'no answer'}`);
      }
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /** Runs commands on it. @returns what they print. */
  async run(text: string): Promise<string> {
    const inside = ['--target', String(this.#init), '--mount', '--pid', '--uts', '--ipc', '--cgroup'];
    const environment = ['env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
    const words = [...inside, ...environment, 'bash', '-euo', 'pipefail', '-c', text];
    const { stdout } = await promisify(execFile)('nsenter', words, { cwd: '/' });
    return stdout;
  }

  /** Polls until `holds`; fails with the journal's end after five minutes. */
  async until(holds: () => Promise<boolean>): Promise<void> {
    for (const end = performance.now() + 300_000; !(await holds()); ) {
      if (performance.now() > end)
        throw new Error(`not in time: ${await this.run('journalctl --lines=50 --no-pager')}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /** Waits until a unit has said that: the journal takes what a process writes a moment later, also when that has ended. */
  async untilSaid(unit: string, what: RegExp): Promise<void> {
    await this.until(async () => what.test(await this.run(`journalctl --unit=${unit} --output=cat --no-pager`)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
    // Processes of a namespace go with its first, a moment later.
    while (!readFileSync(join(this.#group, 'cgroup.events'), 'utf8').includes('populated 0'))
      await new Promise((done) => setTimeout(done, 20));
    removeGroup(this.#group);
    rmSync(this.#place, { recursive: true, force: true });
  }
}

/** A control group goes when it has no processes, and those below it first. */
function removeGroup(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroup(join(path, entry.name));
  rmdirSync(path);
}
