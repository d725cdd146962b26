/** Signed statements and quorum certificates: what is refused, and that what is assembled is never refused. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assembleCertificate,
  type Body,
  type Certificate,
  decodeCertificate,
  decodeSignedStatement,
  encodeCertificate,
  encodeSignedStatement,
  leafHash,
  merkleTree,
  rootFromPath,
  StatementVerifier,
  successorOf,
  threshold,
} from '../../src/protocol/index.ts';
import { certify, cheapChecks, makeFleet, named, placeOf, point, type Signing, signStatement } from './fixtures.ts';

const fleet = makeFleet(5);
const body: Body<'active'> = { kind: 'active', ...placeOf(fleet, 1), documentHash: named('document') };
const verifier = () => new StatementVerifier(fleet, cheapChecks);
const untrusted = expect.objectContaining({ code: 'untrusted' });

/** A certificate by nodes 1 to 3, of which node 2 signs differently. */
function mixed(second: Signing): Certificate {
  const parts = [signStatement(fleet, 1, body), signStatement(fleet, 2, body, second), signStatement(fleet, 3, body)];
  return { body: parts[0]!.body, signatures: parts.map(({ signer, batch }) => ({ signer, batch })) };
}

describe('a certificate', () => {
  it('is t statements of one body', () => {
    expect(verifier().certificate(certify(fleet, body), 'active')).toEqual(body);
    expect(verifier().certificate(certify(fleet, body, { nodes: [5, 2, 4, 1] }), 'active')).toEqual(body);
  });

  it.each([
    ['too few signatures', certify(fleet, body, { nodes: [1, 2] })],
    ['one node twice', certify(fleet, body, { nodes: [1, 2, 2] })],
    ['one node twice beside enough', certify(fleet, body, { nodes: [1, 2, 3, 3] })],
    ['no signatures', certify(fleet, body, { nodes: [] })],
    ['another fleet’s body', certify(makeFleet(5, {}, { fleet: 'other' }), { ...body, fleet: 'other' })],
    ['another epoch’s body', certify(makeFleet(5, {}, { epoch: 2 }), { ...body, epoch: 2 })],
    ['a body that names another fleet', certify(fleet, { ...body, fleet: 'other' })],
    ['a body that names another epoch', certify(fleet, { ...body, epoch: 2 })],
    ['another kind', certify(fleet, { kind: 'stage', ...placeOf(fleet, 1), documentHash: named('document') })],
    ['too short fences', mixed({ fences: [1, 1, 1, 1] })],
    ['too long fences', mixed({ fences: [1, 1, 1, 1, 1, 1] })],
  ])('with %s is refused', (_, certificate) => {
    expect(() => verifier().certificate(certificate, 'active')).toThrow(untrusted);
  });

  it('of an opening with t votes only, as earlier versions made them, is refused with what to do', () => {
    const opened: Body<'open'> = {
      ...{ kind: 'open', ...placeOf(fleet, 1), takeover: false },
      ...{ blindHash: named('blind'), ownerKey: named('owner') },
    };
    expect(verifier().certificate(certify(fleet, opened, { nodes: [1, 2, 3, 4] }), 'open')).toEqual(opened);
    const earlier = certify(fleet, opened, { nodes: [1, 2, 3] });
    expect(() => verifier().certificate(earlier, 'open')).toThrow(
      /with fleet and client of that version, and enrol it in a new fleet/,
    );
    expect(() => verifier().certificate(earlier, 'open')).toThrow(untrusted);
    const fewer = certify(fleet, opened, { nodes: [1, 2] });
    expect(() => verifier().certificate(fewer, 'open')).toThrow('a certificate has too few signatures');
  });

  it('is verified once in its encoded form, and stays refused as what it is not', () => {
    let checked = 0;
    const ecdsa: typeof cheapChecks.ecdsa = (...all) => {
      checked++;
      return cheapChecks.ecdsa(...all);
    };
    const verifying = new StatementVerifier(fleet, { ...cheapChecks, ecdsa }, 0);
    const encoded = encodeCertificate(certify(fleet, body));
    const wrong = encodeCertificate(mixed({ fences: [1, 1, 1, 1] }));
    for (let i = 0; i < 2; i++) {
      expect(verifying.encodedCertificate(encoded, 'active').body).toEqual(body);
      const signers = decodeCertificate(encoded).signatures.map(({ signer }) => signer);
      expect(verifying.encodedProof(encoded, 'active').signers).toEqual(signers);
      expect(checked).toBe(threshold(fleet));
      expect(() => verifying.encodedCertificate(encoded, 'attempt')).toThrow(untrusted);
      expect(() => verifying.encodedProof(encoded, 'attempt')).toThrow(untrusted);
    }
    for (let i = 0; i < 2; i++) expect(() => verifying.encodedProof(wrong, 'active')).toThrow(untrusted);
  });

  it('of an earlier epoch proves what it proved, and allows nothing, also when it has been seen', () => {
    const nodes = new Map([[2, { identity: point('i'), session: point('s'), oprf: point('o') }]]);
    const verifying = new StatementVerifier(successorOf(fleet, nodes), cheapChecks);
    const encoded = encodeCertificate(certify(fleet, body));
    for (let i = 0; i < 2; i++) {
      expect(verifying.encodedProof(encoded, 'active').body).toEqual(body);
      expect(() => verifying.encodedCertificate(encoded, 'active')).toThrow(untrusted);
    }
  });

  it('is refused where one signer fenced another off, and only then', () => {
    const fenced = (incarnation: number, fence: number): Certificate => {
      const parts = [
        signStatement(fleet, 1, body, { incarnation }),
        signStatement(fleet, 2, body, { incarnation: 9, fences: [fence, 9, 1, 1, 1] }),
        signStatement(fleet, 3, body),
      ];
      return { body: parts[0]!.body, signatures: parts.map(({ signer, batch }) => ({ signer, batch })) };
    };
    expect(verifier().certificate(fenced(4, 4), 'active')).toEqual(body);
    expect(verifier().certificate(fenced(5, 4), 'active')).toEqual(body);
    expect(() => verifier().certificate(fenced(3, 4), 'active')).toThrow(/fences disagree/);
    // A fence against a node that did not sign says nothing.
    expect(verifier().certificate(mixed({ fences: [1, 1, 1, 99, 99] }), 'active')).toEqual(body);
  });

  it('is refused where a signer’s own fence is above its incarnation', () => {
    expect(() => verifier().certificate(mixed({ fences: [1, 2, 1, 1, 1] }), 'active')).toThrow(/fences disagree/);
  });

  it('may hold statements out of batches of any size, each in its own place only', () => {
    for (const [before, after] of [
      [0, 0],
      [0, 1],
      [3, 0],
      [5, 7],
      [64, 63],
    ] as const) {
      const certificate = certify(fleet, body, { before, after });
      expect(verifier().certificate(certificate, 'active')).toEqual(body);
      for (const change of [
        { index: before + 1 },
        { size: before + after + 2 + 64 },
        { index: 2 ** 40 },
        { path: [named('x')] },
      ]) {
        const [first, ...rest] = certificate.signatures;
        const moved = { ...certificate, signatures: [{ ...first!, batch: { ...first!.batch, ...change } }, ...rest] };
        expect(() => verifier().certificate(moved, 'active')).toThrow(untrusted);
      }
    }
  });

  it('may tell another size of its batch only where that leads to the same root, and says the same', () => {
    const certificate = certify(fleet, body, { before: 1, after: 2 });
    const [first, ...rest] = certificate.signatures;
    const told = (size: number) => ({
      ...certificate,
      signatures: [{ ...first!, batch: { ...first!.batch, size } }, ...rest],
    });
    expect(verifier().certificate(told(3), 'active')).toEqual(body);
    for (const size of [0, 1, 2, 5]) expect(() => verifier().certificate(told(size), 'active')).toThrow(untrusted);
  });

  it('cannot borrow the signature of a batch that it was not in', () => {
    const other = signStatement(fleet, 1, { ...body, generation: 2 }, { before: 1 });
    const [first, ...rest] = certify(fleet, body).signatures;
    const borrowed = { body: certify(fleet, body).body, signatures: [{ ...first!, batch: other.batch }, ...rest] };
    expect(() => verifier().certificate(borrowed, 'active')).toThrow(untrusted);
  });

  it('with any byte flipped is malformed or refused, also by a verifier that knows the right one', () => {
    const right = encodeCertificate(certify(fleet, body, { before: 2, after: 1 }));
    const knowing = verifier();
    knowing.certificate(decodeCertificate(right), 'active');
    fc.assert(
      fc.property(fc.nat(right.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const wrong = right.slice();
        wrong[at]! ^= change;
        for (const one of [knowing, verifier()]) {
          expect(() => one.certificate(decodeCertificate(wrong), 'active')).toThrow(
            expect.objectContaining({ code: expect.stringMatching(/^(untrusted|malformed|too_large)$/) }),
          );
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('a signed statement', () => {
  it('with any byte flipped is malformed or refused', () => {
    const right = encodeSignedStatement(signStatement(fleet, 4, body, { before: 2, after: 1 }));
    const knowing = verifier();
    expect(knowing.body(decodeSignedStatement(right), 'active')).toEqual(body);
    fc.assert(
      fc.property(fc.nat(right.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const wrong = right.slice();
        wrong[at]! ^= change;
        expect(() => knowing.body(decodeSignedStatement(wrong), 'active')).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^(untrusted|malformed|too_large)$/) }),
        );
      }),
      { numRuns: 400 },
    );
  });

  it('of a node outside the fleet is refused', () => {
    const large = makeFleet(7);
    for (const node of [0, 6, 7, 2 ** 50]) {
      const statement = signStatement(large, Math.max(1, Math.min(node, 7)), body, { fences: [1, 1, 1, 1, 1] });
      const claimed = { ...statement, signer: { ...statement.signer, node } };
      expect(() => verifier().verify(claimed)).toThrow(untrusted);
    }
  });

  it('of one node is never that of another, even with the same batch', () => {
    const statement = signStatement(fleet, 1, body);
    const knowing = verifier();
    knowing.verify(statement);
    expect(() => knowing.verify({ ...statement, signer: { ...statement.signer, node: 2 } })).toThrow(untrusted);
  });

  it('is verified once for each batch, and forgotten when there are too many', () => {
    let verified = 0;
    const counting = {
      ...cheapChecks,
      ecdsa: (...of: Parameters<typeof cheapChecks.ecdsa>) => ++verified > 0 && cheapChecks.ecdsa(...of),
    };
    const one = new StatementVerifier(fleet, counting, 2);
    const [a, b, c] = [1, 2, 3].map((node) => signStatement(fleet, node, body));
    for (const statement of [a!, a!, b!, a!]) one.verify(statement);
    expect(verified).toBe(2);
    one.verify(c!);
    one.verify(a!);
    expect(verified).toBe(4);
  });

  it('that its own token signed is trusted for exactly that batch', () => {
    const own = verifier();
    const statement = signStatement(fleet, 1, body);
    const forged = { ...statement, batch: { ...statement.batch, signature: new Uint8Array(64) } };
    own.trustOwn(1, named('some root'), forged.batch.signature);
    expect(() => own.verify(forged)).toThrow(untrusted);
  });
});

describe('assembling', () => {
  const signing = fc.record({
    node: fc.integer({ min: 1, max: 5 }),
    generation: fc.integer({ min: 1, max: 2 }),
    incarnation: fc.integer({ min: 1, max: 4 }),
    fences: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 5, maxLength: 5 }),
  });

  it('never makes what the verifier refuses, and finds what is there without fences', () => {
    let made = 0;
    fc.assert(
      fc.property(fc.array(signing, { maxLength: 10 }), fc.boolean(), (parts, unfenced) => {
        const statements = parts.map(({ node, generation, incarnation, fences }) =>
          signStatement(
            fleet,
            node,
            { ...body, generation },
            { incarnation, fences: unfenced ? [0, 0, 0, 0, 0] : fences },
          ),
        );
        const certificate = assembleCertificate(threshold(fleet), statements);
        const most = Math.max(
          ...[1, 2].map(
            (generation) => new Set(parts.filter((one) => one.generation === generation).map(({ node }) => node)).size,
          ),
        );
        if (unfenced) expect(certificate !== undefined).toBe(most >= 3);
        if (!certificate) return;
        made++;
        expect(verifier().certificate(certificate, 'active')).toMatchObject({ kind: 'active' });
        expect(decodeCertificate(encodeCertificate(certificate))).toEqual(certificate);
      }),
      { numRuns: 500 },
    );
    expect(made).toBeGreaterThan(50);
  });

  it('never puts a signer beside one that fenced it off, and takes the newest of one node', () => {
    const old = signStatement(fleet, 1, body, { incarnation: 1 });
    const statements = [
      old,
      signStatement(fleet, 2, body, { fences: [3, 1, 1, 1, 1] }),
      signStatement(fleet, 3, body),
      signStatement(fleet, 4, body),
    ];
    const nodes = (list: typeof statements) =>
      assembleCertificate(3, list)?.signatures.map(({ signer }) => signer.node);
    expect([
      [1, 3, 4],
      [2, 3, 4],
    ]).toContainEqual(nodes(statements));
    expect(nodes(statements.slice(0, 3))).toBeUndefined();
    const again = signStatement(fleet, 1, body, { incarnation: 3 });
    expect(nodes([...statements.slice(0, 3), again])).toEqual([1, 2, 3]);
  });

  it('is not kept from a certificate of honest nodes by one signer’s lies about fences', () => {
    const liar = signStatement(fleet, 1, body, { fences: [1, 99, 99, 99, 99] });
    const honest = [2, 3, 4].map((node) => signStatement(fleet, node, body));
    expect(assembleCertificate(3, [liar, ...honest])?.signatures.map(({ signer }) => signer.node)).toEqual([2, 3, 4]);
  });
});

describe('the batch tree', () => {
  it('leads every leaf, and no other place, to the root', () => {
    for (let size = 1; size <= 33; size++) {
      const leaves = Array.from({ length: size }, (_, i) => leafHash(named(String(i))));
      const { root, paths } = merkleTree(leaves);
      for (let i = 0; i < size; i++) {
        expect(rootFromPath(leaves[i]!, i, size, paths[i]!)).toEqual(root);
        for (const wrong of [i + 1, i - 1, i + size]) {
          if (wrong >= 0)
            expect(rootFromPath(leaves[i]!, wrong, size, paths[i]!) ?? new Uint8Array()).not.toEqual(root);
        }
        expect(rootFromPath(leaves[i]!, i, size, [...paths[i]!, root])).toBeUndefined();
        if (size > 1) expect(rootFromPath(leaves[i]!, i, size, paths[i]!.slice(0, -1))).toBeUndefined();
      }
    }
  });
});
