/** What a node says of itself for the evidence: read back as written, believed of its own node only, taken for nothing else. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codec, concatBytes, HoldfastError } from '../../src/core/index.ts';
import {
  batchToSign,
  DEFAULT_POLICY,
  decodeServiceStatement,
  decodeSignedServiceStatement,
  encodeServiceStatement,
  encodeSignedServiceStatement,
  type ServiceStatement,
  verifyServiceStatement,
} from '../../src/protocol/index.ts';
import { cheapChecks, named, point, sign } from './fixtures.ts';

const nodes = [1, 2, 3].map((node) => ({
  identity: point(`identity ${node}`),
  session: point(`session ${node}`),
  oprf: point(`oprf ${node}`),
}));
const fleet = { fleet: 'fleet-a', epoch: 4, nodes };
const statement: ServiceStatement = {
  ...{ fleet: 'fleet-a', epoch: 4, node: 2, incarnation: 3, time: 1_800_000_000_000, bundle: named('bundle') },
  policy: { ...DEFAULT_POLICY, minimumShares: 3 },
  software: { version: '1.2.3', commit: '', runtime: 'node 24.0.0' },
  token: { module: 'libtoken.so', manufacturer: 'Maker', model: 'Model', serial: '0001', firmware: '1.0' },
};

function signedBy(node: number, encoded: Uint8Array = encodeServiceStatement(statement)) {
  return { statement: encoded, signature: sign(nodes[node - 1]!.identity, encoded) };
}

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'accepted';
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return error.code;
  }
}

describe('a service statement', () => {
  it('is read back as it was written, whatever is in it', () => {
    const takeover = fc.oneof(
      fc.constant({ kind: 'off' as const }),
      fc.constant({ kind: 'immediate' as const }),
      fc.nat().map((seconds) => ({ kind: 'delayed' as const, seconds })),
    );
    const any = fc.record({
      takeover,
      waits: fc.array(fc.nat(), { maxLength: 12 }),
      commit: fc.string({ maxLength: 16 }),
    });
    fc.assert(
      fc.property(any, ({ takeover, waits, commit }) => {
        const one = {
          ...statement,
          policy: { ...statement.policy, takeover, waits },
          software: { ...statement.software, commit: commit.toWellFormed() },
        };
        const signed = { statement: encodeServiceStatement(one), signature: new Uint8Array(64) };
        const { statement: read } = decodeSignedServiceStatement(encodeSignedServiceStatement(signed));
        expect(decodeServiceStatement(read)).toEqual(one);
      }),
    );
  });

  it('is believed of the node whose identity signed it, in its fleet and epoch, and of no other', () => {
    expect(verifyServiceStatement(signedBy(2), fleet, cheapChecks)).toEqual(statement);
    expect(codeOf(() => verifyServiceStatement(signedBy(1), fleet, cheapChecks))).toBe('untrusted');
    for (const other of [
      { ...fleet, fleet: 'fleet-b' },
      { ...fleet, epoch: 5 },
      { ...fleet, nodes: nodes.slice(0, 1) },
    ]) {
      expect(codeOf(() => verifyServiceStatement(signedBy(2), other, cheapChecks))).toBe('untrusted');
    }
    const changed = encodeServiceStatement({ ...statement, policy: { ...statement.policy, limit: 3 } });
    const { signature } = signedBy(2);
    expect(codeOf(() => verifyServiceStatement({ statement: changed, signature }, fleet, cheapChecks))).toBe(
      'untrusted',
    );
  });

  it('has one form: a takeover that is not delayed has no seconds, and nothing follows', () => {
    const encoded = encodeServiceStatement(statement);
    const off = Buffer.from(encoded).indexOf('off');
    const withSeconds = encoded.slice();
    // After the word: the length of the number, then its eight bytes.
    withSeconds[off + 3 + 4 + 7] = 1;
    expect(codeOf(() => decodeServiceStatement(withSeconds))).toBe('malformed');
    expect(codeOf(() => decodeServiceStatement(concatBytes(encoded, new Uint8Array(1))))).toBe('malformed');
    expect(codeOf(() => decodeServiceStatement(encoded.slice(0, -1)))).toBe('malformed');
  });

  it('is another message than a batch of votes, so that neither signature serves for the other', () => {
    const vote = batchToSign(fleet, 2, named('root'));
    expect(codec.labelOf(encodeServiceStatement(statement))).not.toBe(codec.labelOf(vote));
    expect(codeOf(() => verifyServiceStatement(signedBy(2, vote), fleet, cheapChecks))).toBe('malformed');
  });
});
