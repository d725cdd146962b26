/**
 * What a running node says of itself for the deployment's evidence (docs/trust.md, section 4): the limits that it applies,
 * its software and its token, at one time and for one bundle.
 *
 * It is signed with `identity` directly, as a message of its own label. Everything else that this key signs begins with
 * another label (docs/protocol.md, section 3), so that this can be taken for no vote, and no vote for this.
 */

import { codec, HoldfastError, type Infer } from '../core/index.ts';
import type { SignatureChecks } from './certificate.ts';
import type { Fleet, Policy, TakeoverPolicy } from './fleet.ts';

const { bytes, fixed, list, message, struct, text, uint, word } = codec;

const service = message('holdfast/service-statement/v1', {
  fleet: text(64),
  epoch: uint,
  node: uint,
  incarnation: uint,
  /** Milliseconds since 1970 on the node's clock. */
  time: uint,
  /** SHA-256 of the bundle's text that was asked about; the node knows its keys and limits, not the bundle. */
  bundle: fixed(32),
  policy: struct({
    limit: uint,
    lifetimeLimit: uint,
    waits: list(uint, 64),
    takeover: struct({ kind: word('off', 'immediate', 'delayed'), seconds: uint }),
    destroyAfter: uint,
    minimumShares: uint,
    keyStretching: struct({ memoryKiB: uint, passes: uint, parallelism: uint }),
  }),
  /** `commit` is empty where the program was not built from a clean checkout. */
  software: struct({ version: text(64), commit: text(64), runtime: text(64) }),
  /** CK_TOKEN_INFO, as the module gave it. */
  token: struct({
    module: text(512),
    manufacturer: text(128),
    model: text(128),
    serial: text(128),
    firmware: text(64),
  }),
});

const signed = message('holdfast/signed-service-statement/v1', { statement: bytes(4096), signature: fixed(64) });

type Encoded = Infer<typeof service>;

export interface ServiceStatement extends Omit<Encoded, 'policy'> {
  readonly policy: Policy;
}

export type ServiceSoftware = ServiceStatement['software'];
export type ServiceToken = ServiceStatement['token'];

/** `statement` as `encodeServiceStatement` wrote it; `signature`: ECDSA P-256 over its SHA-256, r || s, 64 bytes. */
export type SignedServiceStatement = Infer<typeof signed>;

/** The bytes that the node's `identity` signs. @throws HoldfastError `malformed` or `too_large`. */
export function encodeServiceStatement(statement: ServiceStatement): Uint8Array<ArrayBuffer> {
  const { takeover, waits, keyStretching, ...policy } = statement.policy;
  const seconds = takeover.kind === 'delayed' ? takeover.seconds : 0;
  const { memoryKiB, passes, parallelism } = keyStretching;
  return service.encode({
    ...statement,
    policy: {
      ...policy,
      waits: [...waits],
      takeover: { kind: takeover.kind, seconds },
      keyStretching: { memoryKiB, passes, parallelism },
    },
  });
}

/** @throws HoldfastError `malformed` or `too_large` for what `encodeServiceStatement` does not write. */
export function decodeServiceStatement(encoded: Uint8Array): ServiceStatement {
  const { policy, ...rest } = service.decode(encoded);
  return { ...rest, policy: { ...policy, takeover: takeoverOf(policy.takeover) } };
}

function takeoverOf({ kind, seconds }: Encoded['policy']['takeover']): TakeoverPolicy {
  if (kind === 'delayed') return { kind, seconds };
  if (seconds !== 0) throw new HoldfastError('malformed', 'only a delayed takeover has seconds');
  return { kind };
}

export const encodeSignedServiceStatement = signed.encode;
/** @throws HoldfastError `malformed` or `too_large`. */
export const decodeSignedServiceStatement = signed.decode;

/**
 * What the statement says, if the node that it names has signed it. Whether it is what a bundle says is for the caller.
 * @throws HoldfastError `untrusted`, `malformed`, `too_large`.
 */
export function verifyServiceStatement(
  { statement, signature }: SignedServiceStatement,
  fleet: Pick<Fleet, 'fleet' | 'epoch' | 'nodes'>,
  checks: Pick<SignatureChecks, 'ecdsa'>,
): ServiceStatement {
  const says = decodeServiceStatement(statement);
  const keys = fleet.nodes[says.node - 1];
  if (says.fleet !== fleet.fleet || says.epoch !== fleet.epoch || !keys) {
    throw new HoldfastError('untrusted', 'the service statement is of another fleet, epoch or node');
  }
  if (checks.ecdsa(keys.identity, statement, signature)) return says;
  throw new HoldfastError('untrusted', `the service statement is not signed by node ${says.node}`);
}
