/** `holdfast node`: a vault node, from an empty token to one that can be run. */

import { bytesToHex, HoldfastError, toBase64Url } from '../../core/index.ts';
import { initialiseNode } from '../../node/index.ts';
import { membershipDigest } from '../../protocol/index.ts';
import {
  dictionariesOf,
  nextTrustFile,
  openNodeStore,
  openNodeToken,
  readKeysOf,
  readNodeTrust,
  requireNextTrust,
} from '../../service/index.ts';
import { COMMAND_TIMEOUT, createTokenKeys, initialiseToken, readPin } from '../../token/index.ts';
import { MAXIMUM_TRUST_FILE } from '../../trust/index.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';
import { digestOf, loadConfiguration, tokenPin, writePredicate } from './possession.ts';

export interface ConfigurationFlags {
  readonly config?: string;
}

export interface InitFlags extends ConfigurationFlags {
  /** Reads the keys back, as `holdfast evidence possession` does, through the same opening of the token. */
  readonly description?: string;
  readonly out?: string;
}

export async function init(flags: InitFlags): Promise<CommandResult> {
  const { description, out } = flags;
  if ((description === undefined) !== (out === undefined)) {
    throw new HoldfastError('usage', 'name both --description DIGEST and --out FILE, or neither');
  }
  const digest = description === undefined ? undefined : digestOf(description);
  const configuration = loadConfiguration(flags);
  const trust = await readNodeTrust(configuration);
  const pinOf = () => tokenPin(configuration);
  const token = await openNodeToken(configuration, trust, pinOf, COMMAND_TIMEOUT);
  try {
    const store = await openNodeStore(configuration);
    try {
      const dictionaries = dictionariesOf(store);
      await initialiseNode({ fleet: trust.fleet, node: configuration.node, token, dictionaries });
    } finally {
      await store.close();
    }
    if (digest !== undefined) {
      await writePredicate(await readKeysOf(token, configuration, trust, digest, pinOf), out);
    }
  } finally {
    await token.close();
  }
  const { node } = configuration;
  return { value: { node }, lines: [`Node ${node} is ready; run it with holdfast node run.`] };
}

export async function info(flags: ConfigurationFlags): Promise<CommandResult> {
  const configuration = loadConfiguration(flags);
  const trust = await readNodeTrust(configuration);
  const token = await openNodeToken(configuration, trust, () => tokenPin(configuration), COMMAND_TIMEOUT);
  try {
    const { node } = configuration;
    const expected = trust.fleet.nodes[node - 1]!;
    const names = ['identity', 'session', 'oprf'] as const;
    const keys = Object.fromEntries(names.map((name) => [name, toBase64Url(token.publicKeys[name])]));
    const different = names.filter((name) => keys[name] !== toBase64Url(expected[name]));
    if (different.length > 0) {
      throw new HoldfastError('untrusted', `the token’s keys are not the trust file’s: ${different.join(', ')}`);
    }
    const { keysCreatedAt, rollbackResistant, description } = token;
    return {
      value: { node, fleet: trust.fleet.fleet, epoch: trust.fleet.epoch, description, keys, keysCreatedAt },
      lines: [
        `Node ${node} of fleet ${trust.fleet.fleet}, epoch ${trust.fleet.epoch}. Its token’s keys are those of the trust file.`,
        `Token ${description.label} (${description.manufacturer} ${description.model}, serial ${description.serial}).`,
        `Declared rollback-resistant: ${rollbackResistant ? 'yes' : 'no'}.`,
      ],
    };
  } finally {
    await token.close();
  }
}

export interface LeaveFlags extends ConfigurationFlags {
  readonly next: string;
}

/** The running node finds the file within a second, once it serves; one that is down, at its next start. */
export async function leave(flags: LeaveFlags): Promise<CommandResult> {
  const configuration = loadConfiguration(flags);
  const { trustFile, node } = configuration;
  const current = await readNodeTrust(configuration);
  const text = await readTextFile(flags.next, 'the next trust file', MAXIMUM_TRUST_FILE);
  const { fleet } = requireNextTrust(text, current, node);
  await writeWholeFile(nextTrustFile(trustFile), text, { mode: 0o644, overwrite: true });
  const membership = bytesToHex(membershipDigest(fleet));
  return {
    value: { node, epoch: fleet.epoch, membership },
    lines: [
      `Node ${node} leaves epoch ${current.fleet.epoch} as soon as it serves, and starts again in epoch ${fleet.epoch}.`,
      `Membership ${membership}`,
      `When all have left, put this trust file in the place of ${trustFile}.`,
    ],
  };
}

export interface KeysFlags {
  readonly module: string;
  readonly label: string;
  readonly fleet: string;
  readonly name: string;
  readonly pinFile?: string;
  readonly soPinFile?: string;
}

/** Makes a node's keys, and before that the token itself where the security officer's PIN is given. */
export async function keys(flags: KeysFlags): Promise<CommandResult> {
  const { module, label, fleet, name } = flags;
  const read = async (file: string | undefined, question: string) =>
    file === undefined ? askHidden(question) : (await readPin({ file })).pin;
  using pin = await read(flags.pinFile, 'PIN of the token: ');
  if (flags.soPinFile !== undefined) {
    using soPin = await read(flags.soPinFile, '');
    await initialiseToken({ module, label, soPin, userPin: pin });
  }
  const { publicKeys, profile } = await createTokenKeys({ module, label, pin, fleet, node: name });
  const encoded = {
    identity: toBase64Url(publicKeys.identity),
    session: toBase64Url(publicKeys.session),
    oprf: toBase64Url(publicKeys.oprf),
  };
  return {
    value: { name, ...encoded, profile },
    lines: [`Keys of ${name}, for the trust file:`, ...Object.entries(encoded).map(([use, key]) => `  ${use} ${key}`)],
  };
}
