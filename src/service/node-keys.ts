/**
 * What a node's token says of its keys, for the statement of the deployment's evidence (docs/trust.md, section 4): attributes
 * as read back, and the signing key's proof that it is there. The statement is signed elsewhere, by whoever vouches for it.
 */

import { applyTokenEnvironment, type NodeConfiguration } from '../configuration/index.ts';
import { HoldfastError, type Secret, utf8 } from '../core/index.ts';
import {
  type AgreementAnswers,
  type AgreementChallenge,
  answerAgreement,
  NODE_KEY_NAMES,
  type NodeKeyFacts,
  type NodeKeysPredicate,
  possessionText,
  requireChallengeOf,
} from '../evidence/index.ts';
import {
  COMMAND_TIMEOUT,
  type KeyReading,
  nodeKeySpecs,
  openToken,
  readKeys,
  type TokenProfile,
} from '../token/index.ts';
import type { Token } from '../token/port.ts';
import { type Digest, ecdsaToDer, type PinnedTrust } from '../trust/index.ts';
import { readNodeTrust } from './node-parts.ts';

/**
 * Opens the token, reads its keys back and has the identity key sign for itself. The node may run meanwhile.
 * @param description digest of the fleet's description, in hexadecimal.
 * @throws HoldfastError `token_*`; `untrusted` where the token's keys are not the trust file's; what `readPin` throws.
 */
export async function readNodeKeys(
  configuration: NodeConfiguration,
  description: Digest,
  readPin: () => Promise<Secret>,
): Promise<NodeKeysPredicate> {
  const trust = await readNodeTrust(configuration);
  return withToken(configuration, placeOf(configuration, trust), readPin, (token) =>
    readKeysOf(token, configuration, trust, description, readPin),
  );
}

/**
 * The node's answers to a witness's challenge (docs/evidence.md), made on its token. The node may run meanwhile.
 * @throws HoldfastError `evidence_mismatch` for another node's challenge; else as `readNodeKeys`.
 */
export async function answerNodeChallenge(
  configuration: NodeConfiguration,
  challenge: AgreementChallenge,
  readPin: () => Promise<Secret>,
): Promise<AgreementAnswers> {
  const trust = await readNodeTrust(configuration);
  const place = placeOf(configuration, trust);
  requireChallengeOf(challenge, place.fleet, place.node, nodeKeySpecs(place));
  return withToken(configuration, place, readPin, (token) => {
    requireKeysOf(token, configuration, trust);
    return answerAgreement(challenge, token);
  });
}

/** Where a node's keys are on its token. */
interface Place {
  readonly fleet: string;
  readonly node: string;
}

function placeOf(configuration: NodeConfiguration, trust: PinnedTrust): Place {
  return { fleet: trust.fleet.fleet, node: trust.names[configuration.node - 1]! };
}

/** Does something with the node's token, which is open for that long. */
async function withToken<T>(
  configuration: NodeConfiguration,
  place: Place,
  readPin: () => Promise<Secret>,
  work: (token: Awaited<ReturnType<typeof openToken>>) => Promise<T>,
): Promise<T> {
  applyTokenEnvironment(configuration);
  using pin = await readPin();
  const timeout = Math.max(configuration.token.timeoutMilliseconds, COMMAND_TIMEOUT);
  const token = await openToken({ ...accessOf(configuration), ...place, pin, timeout });
  try {
    return await work(token);
  } finally {
    await token.close();
  }
}

/** As `readNodeKeys`, with a node's token that is open already. Throws as `readNodeKeys`. */
export async function readKeysOf(
  token: Token & { readonly profile: TokenProfile },
  configuration: NodeConfiguration,
  trust: PinnedTrust,
  description: Digest,
  readPin: () => Promise<Secret>,
): Promise<NodeKeysPredicate> {
  const node = trust.names[configuration.node - 1]!;
  requireKeysOf(token, configuration, trust);
  using pin = await readPin();
  const specs = nodeKeySpecs({ fleet: trust.fleet.fleet, node });
  const readings = await readKeys({ ...accessOf(configuration), pin }, specs, token.profile);
  const facts: NodeKeyFacts[] = [];
  for (const reading of readings) facts.push(await factsOf(reading, { description, node, token }));
  return { node, readAt: Math.floor(Date.now() / 1000) * 1000, token: tokenFacts(token), keys: facts };
}

/** @throws HoldfastError `untrusted` where the token has other keys than the trust file says. */
function requireKeysOf(
  { publicKeys }: Pick<Token, 'publicKeys'>,
  { node }: NodeConfiguration,
  trust: PinnedTrust,
): void {
  const keys = trust.fleet.nodes[node - 1]!;
  for (const name of ['identity', 'session', 'oprf'] as const) {
    if (Buffer.compare(keys[name], publicKeys[name]) === 0) continue;
    throw new HoldfastError('untrusted', `the token’s ${name} key is not the one in the trust file`);
  }
}

function accessOf({ token }: NodeConfiguration) {
  const { module, slot, label, serial, moduleParameters } = token;
  return {
    module,
    ...(moduleParameters !== undefined && { moduleParameters }),
    ...(slot !== undefined && { slot }),
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
  };
}

async function factsOf(
  reading: KeyReading,
  { description, node, token }: { description: Digest; node: string; token: Token },
): Promise<NodeKeyFacts> {
  const name = NODE_KEY_NAMES.find((each) => each === reading.name);
  if (!name) throw new HoldfastError('unexpected', `a node has no key ${reading.name}`);
  const { label, publicKey, curve, length, type } = reading;
  const attributes = Object.entries(reading.attributes).filter((each): each is [string, boolean] => each[1] !== null);
  return {
    ...{ name, label, id: '', publicKey, attestation: [] },
    type: curve === null ? `${type}, ${(length ?? 0) * 8} bit` : `${type} ${curve}`,
    attributes: Object.fromEntries(attributes),
    proof: await proofOf(name, possessionText({ description, node, label }), token),
  };
}

async function proofOf(name: NodeKeyFacts['name'], text: string, token: Token): Promise<NodeKeyFacts['proof']> {
  if (name === 'identity') return { kind: 'signature', signature: ecdsaToDer(await token.sign(utf8(text))) };
  const reason =
    name === 'session' || name === 'oprf'
      ? 'a key for key agreement signs nothing'
      : 'a secret key has no proof that others could check';
  return { kind: 'none', reason };
}

/** A token need not say everything of itself. */
function tokenFacts({ description }: Token): NodeKeysPredicate['token'] {
  const said = (text: string) => text.trim() || 'not said';
  const { module, label, manufacturer, model, serial, firmware } = description;
  return {
    module: said(module.slice(module.lastIndexOf('/') + 1)),
    label: said(label),
    manufacturer: said(manufacturer),
    model: said(model),
    serial: said(serial),
    firmware: said(firmware),
  };
}
