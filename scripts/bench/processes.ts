/** What the system says of a process: CPU time of it and of each kind of its threads, and memory (Linux, proc(5)). */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds since the process began. */
export interface ProcessUsage {
  readonly total: number;
  /** The thread that runs the event loop. */
  readonly main: number;
  /** Threads that call the PKCS#11 module, where the system shows their name. */
  readonly token: number;
  /** Everything else: file and compression threads, the engine's compiler and collector. */
  readonly other: number;
  /** Of the total, what the kernel did for the process. */
  readonly system: number;
}

export interface ProcessMemory {
  /** MiB. Pages of a mapped file count as resident, though the kernel may take them back at any time. */
  readonly resident: number;
  /** MiB that belong to no file: what the process needs. */
  readonly anonymous: number;
}

const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

export interface ThreadStat {
  readonly name: string;
  readonly seconds: number;
  /** Of these, in the kernel. */
  readonly system: number;
}

/** Reads a `stat` file: the name stands in brackets and may hold anything; utime and stime are fields 14 and 15. */
export function parseStat(text: string, ticks: number = TICKS): ThreadStat {
  const end = text.lastIndexOf(')');
  const fields = text.slice(end + 2).split(' ');
  return {
    name: text.slice(text.indexOf('(') + 1, end),
    seconds: (Number(fields[11]) + Number(fields[12])) / ticks,
    system: Number(fields[12]) / ticks,
  };
}

export function processUsage(pid: number): ProcessUsage {
  const { seconds: total, system } = parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  let main = 0;
  let token = 0;
  let known = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    let stat: ThreadStat;
    try {
      stat = parseStat(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8'));
    } catch {
      continue; // it has ended meanwhile
    }
    known += stat.seconds;
    if (Number(thread) === pid) main += stat.seconds;
    else if (stat.name.includes('pkcs11')) token += stat.seconds;
  }
  return { total, main, token, other: Math.max(0, Math.max(known, total) - main - token), system };
}

export function usageBetween(before: ProcessUsage, after: ProcessUsage): ProcessUsage {
  return {
    total: after.total - before.total,
    main: after.main - before.main,
    token: after.token - before.token,
    other: Math.max(0, after.other - before.other),
    system: after.system - before.system,
  };
}

export function processMemory(pid: number): ProcessMemory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN);
  return { resident: field('VmRSS') / 1024, anonymous: field('RssAnon') / 1024 };
}

/** CPU seconds that the whole machine has worked since it started: first line of proc(5) `stat`, idle and waiting left out. */
export function machineBusy(text: string = readFileSync('/proc/stat', 'utf8'), ticks: number = TICKS): number {
  const [user, nice, system, , , irq, softirq] = text.split('\n')[0]!.split(/\s+/).slice(1).map(Number);
  return (user! + nice! + system! + irq! + softirq!) / ticks;
}

/** When a process began, in milliseconds since 1970: field 22 of its `stat` counts from the machine's start. */
export function startedAt(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const ticks = Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[19]);
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return Date.now() - (uptime - ticks / TICKS) * 1000;
}
