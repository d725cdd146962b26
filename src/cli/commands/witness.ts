/** `holdfast witness`: a witness of transparency logs, plain or auditing. */

import {
  loadWitnessConfiguration,
  variableOf,
  WITNESS_PREFIX,
  type WitnessConfiguration,
} from '../../configuration/index.ts';
import type { Secret } from '../../core/index.ts';
import { initialiseWitness, startWitness } from '../../service/index.ts';
import { readPin } from '../../token/index.ts';
import { warn } from '../output.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';
import { untilStopped } from '../service.ts';

export interface ConfigurationFlags {
  readonly config?: string;
}

export interface ServeFlags extends ConfigurationFlags {
  readonly audit?: boolean;
  readonly stopWithStdin?: boolean;
}

const load = ({ config, audit }: ServeFlags): WitnessConfiguration =>
  loadWitnessConfiguration({
    file: config,
    // The option stands above the variable, as variables stand above the file.
    environment: audit ? { ...process.env, [variableOf(WITNESS_PREFIX, 'audit')]: 'true' } : process.env,
  });

async function tokenPin({ token }: WitnessConfiguration): Promise<Secret> {
  if (!token.pin) return askHidden('PIN of the token: ');
  const { pin, warnings } = await readPin(token.pin, process.env);
  warn(warnings);
  return pin;
}

export async function init(flags: ConfigurationFlags): Promise<CommandResult> {
  const configuration = load(flags);
  await initialiseWitness(configuration);
  const { name, store } = configuration;
  return {
    value: { name, store: store.directory },
    lines: [`${name} has an empty state in ${store.directory}; run it with holdfast witness serve.`],
  };
}

export async function serve(flags: ServeFlags, signal: AbortSignal): Promise<undefined> {
  const configuration = load(flags);
  using stopped = untilStopped(signal, flags.stopWithStdin ?? false);
  const witness = await startWitness(configuration, {
    readPin: () => tokenPin(configuration),
    onFatal: (error) => stopped.fail(error),
  });
  try {
    await stopped.promise;
  } finally {
    await witness.close();
  }
}
