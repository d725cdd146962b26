/** `holdfast node run`. */

import { startNode } from '../../service/index.ts';
import { built } from '../built.ts';
import { untilStopped } from '../service.ts';
import { version } from '../version.ts';
import type { ConfigurationFlags } from './node.ts';
import { loadConfiguration, tokenPin } from './possession.ts';

export interface RunFlags extends ConfigurationFlags {
  readonly stopWithStdin?: boolean;
}

export async function run(flags: RunFlags, signal: AbortSignal): Promise<undefined> {
  const configuration = loadConfiguration(flags);
  using stopped = untilStopped(signal, flags.stopWithStdin ?? false);
  const node = await startNode(configuration, {
    readPin: () => tokenPin(configuration),
    software: { version: version(), commit: built().commit },
    onFatal: (error) => stopped.fail(error),
  });
  try {
    await stopped.promise;
  } finally {
    await node.close();
  }
}
