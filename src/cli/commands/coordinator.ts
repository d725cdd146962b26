/** `holdfast coordinator`: the service that clients talk to. */

import { loadCoordinatorConfiguration } from '../../configuration/index.ts';
import { startCoordinator } from '../../service/index.ts';
import { untilStopped } from '../service.ts';

export interface RunFlags {
  readonly config?: string;
  readonly stopWithStdin?: boolean;
}

export async function run(flags: RunFlags, signal: AbortSignal): Promise<undefined> {
  const configuration = loadCoordinatorConfiguration({ file: flags.config, environment: process.env });
  using stopped = untilStopped(signal, flags.stopWithStdin ?? false);
  const coordinator = await startCoordinator(configuration);
  try {
    await stopped.promise;
  } finally {
    await coordinator.close();
  }
}
