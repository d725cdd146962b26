/** `holdfast monitor`: looks at a log from all sides, once or again and again, and tells of what is wrong. */

import { loadMonitorConfiguration } from '../../configuration/index.ts';
import { type Alert, type LookedAndTold, lookAndTell, openMonitor, startMonitor } from '../../service/index.ts';
import type { CommandResult } from '../run.ts';
import { untilStopped } from '../service.ts';

export interface MonitorFlags {
  readonly config?: string;
  readonly watch?: boolean;
  readonly stopWithStdin?: boolean;
}

export async function monitor(flags: MonitorFlags, signal: AbortSignal): Promise<CommandResult | undefined> {
  const configuration = loadMonitorConfiguration({ file: flags.config, environment: process.env });
  if (!flags.watch) {
    await using opened = await openMonitor(configuration);
    return resultOf(await lookAndTell(opened.options, signal));
  }
  using stopped = untilStopped(signal, flags.stopWithStdin ?? false);
  const running = await startMonitor(configuration);
  try {
    await Promise.race([stopped.promise, running.ended]);
  } finally {
    await running.close();
  }
  return undefined;
}

/** Alerts end the command with the exit code of what did not verify; warnings do not. */
function resultOf({ alerts, origin, size, root, quorum, undelivered }: LookedAndTold): CommandResult {
  const time = (at: number) => new Date(at).toISOString();
  const isSerious = alerts.some(({ severity }) => severity === 'alert');
  return {
    value: {
      origin,
      size,
      root,
      quorum: quorum === undefined ? null : time(quorum),
      alerts: alerts.map(({ since, ...alert }) => ({ ...alert, since: time(since) })),
      webhook: undelivered ? undelivered.message : null,
    },
    lines: [
      `${origin}: ${size} leaves read and replayed; newest quorum of witnesses ${quorum === undefined ? 'none' : time(quorum)}.`,
      ...(alerts.length === 0 ? ['Nothing is wrong.'] : alerts.flatMap(linesOf)),
      ...(undelivered ? [`The webhook has not been told: ${undelivered.message}`] : []),
    ],
    ...(isSerious && { code: 'untrusted' as const }),
  };
}

function linesOf({ severity, rule, message, since, files = [] }: Alert): string[] {
  const head = `${severity.toUpperCase()} ${rule} (since ${new Date(since).toISOString()}): ${message}`;
  return [head, ...files.map((file) => `  proof: ${file}`)];
}
