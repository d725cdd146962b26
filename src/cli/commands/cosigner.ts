/** `holdfast cosigner`: a cosigner and its log, from an empty store to a running process. */

import { type CosignerConfiguration, loadCosignerConfiguration } from '../../configuration/index.ts';
import type { Secret } from '../../core/index.ts';
import { initialiseConfiguredCosigner, startCosigner } from '../../service/index.ts';
import { readPin } from '../../token/index.ts';
import { warn } from '../output.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';
import { untilStopped } from '../service.ts';

export interface ConfigurationFlags {
  readonly config?: string;
}

export interface ServeFlags extends ConfigurationFlags {
  readonly stopWithStdin?: boolean;
}

const load = ({ config }: ConfigurationFlags): CosignerConfiguration =>
  loadCosignerConfiguration({ file: config, environment: process.env });

async function tokenPin({ token }: CosignerConfiguration): Promise<Secret> {
  if (!token.pin) return askHidden('PIN of the token: ');
  const { pin, warnings } = await readPin(token.pin, process.env);
  warn(warnings);
  return pin;
}

export async function init(flags: ConfigurationFlags): Promise<CommandResult> {
  const configuration = load(flags);
  const { origin, checkpoint } = await initialiseConfiguredCosigner(configuration, {
    readPin: () => tokenPin(configuration),
  });
  return {
    value: { origin, checkpoint, store: configuration.store.directory },
    lines: [`The log ${origin} has its first checkpoint; run it with holdfast cosigner serve.`],
  };
}

export async function serve(flags: ServeFlags, signal: AbortSignal): Promise<undefined> {
  const configuration = load(flags);
  using stopped = untilStopped(signal, flags.stopWithStdin ?? false);
  const cosigner = await startCosigner(configuration, { readPin: () => tokenPin(configuration) });
  try {
    await stopped.promise;
  } finally {
    await cosigner.close();
  }
}
