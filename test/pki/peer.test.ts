/** Whom a certificate speaks for: one strict reading, and nobody wherever two readers could differ. */

import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PEER_ROLES, type PeerIdentity, type PeerRole, peerIdentityOf, peerUri } from '../../src/pki/index.ts';
import { createFleet } from './fixtures.ts';

const ALICE: PeerIdentity = { fleet: 'a', role: 'node', name: 'one' };
const BOB: PeerIdentity = { fleet: 'a', role: 'node', name: 'two' };

/** One DER value of up to 65,535 bytes. */
function tlv(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), content]);
}

const BASIC_CONSTRAINTS = Buffer.from('551d13', 'hex');
const ALTERNATIVE_NAME = Buffer.from('551d11', 'hex');
const sequence = (...parts: readonly Uint8Array[]) => tlv(0x30, ...parts);
const extension = (id: Uint8Array, value: Uint8Array) => sequence(tlv(0x06, id), tlv(0x04, value));
const uri = (text: string) => tlv(0x86, Buffer.from(text, 'latin1'));
const dns = (text: string) => tlv(0x82, Buffer.from(text, 'latin1'));

const leaf = extension(BASIC_CONSTRAINTS, sequence());
const named = (...names: readonly Uint8Array[]) => extension(ALTERNATIVE_NAME, sequence(...names));

/** With these extensions; nobody looks at its other fields. */
function certificate(...extensions: readonly Uint8Array[]): Buffer {
  const empty = sequence();
  const inner = sequence(
    tlv(0xa0, tlv(0x02, Buffer.of(2))),
    tlv(0x02, Buffer.of(1)),
    ...[empty, empty, empty, empty, empty],
    tlv(0xa3, sequence(...extensions)),
  );
  return sequence(inner, empty, tlv(0x03, Buffer.of(0)));
}

const identityOf = (raw: Uint8Array) => peerIdentityOf({ raw } as unknown as X509Certificate);

describe('the identity of a certificate', () => {
  it('is that of its one Holdfast name, whatever other names stand beside it', () => {
    const alice = uri(peerUri(ALICE));
    expect(identityOf(certificate(leaf, named(alice)))).toEqual(ALICE);
    expect(identityOf(certificate(named(dns('localhost'), alice, uri('https://a.example/')), leaf))).toEqual(ALICE);
  });

  it.each([
    ['two Holdfast names', certificate(leaf, named(uri(peerUri(ALICE)), uri(peerUri(BOB))))],
    ['the same Holdfast name twice', certificate(leaf, named(uri(peerUri(ALICE)), uri(peerUri(ALICE))))],
    ['two lists of names', certificate(leaf, named(uri(peerUri(ALICE))), named(dns('localhost')))],
    ['two basic constraints', certificate(leaf, leaf, named(uri(peerUri(ALICE))))],
    ['no basic constraints', certificate(named(uri(peerUri(ALICE))))],
    ['no names', certificate(leaf)],
    ['its name among the host names', certificate(leaf, named(dns(peerUri(ALICE))))],
    ['a byte after its name', certificate(leaf, named(uri(`${peerUri(ALICE)}\0`)))],
    ['a byte before its name', certificate(leaf, named(uri(` ${peerUri(ALICE)}`)))],
    ['something after the list of names', certificate(leaf, named(uri(peerUri(ALICE))), Buffer.of(5, 0))],
    [
      'the mark of an authority',
      certificate(extension(BASIC_CONSTRAINTS, sequence(tlv(0x01, Buffer.of(255)))), named(uri(peerUri(ALICE)))),
    ],
    [
      'basic constraints that are not in their one form',
      certificate(extension(BASIC_CONSTRAINTS, sequence(tlv(0x01, Buffer.of(0)))), named(uri(peerUri(ALICE)))),
    ],
    ['something after its end', Buffer.concat([certificate(leaf, named(uri(peerUri(ALICE)))), Buffer.of(0)])],
  ])('a certificate with %s is nobody’s', (_, raw) => {
    expect(identityOf(raw)).toBeUndefined();
  });

  it('a length that is not in its one form makes it nobody’s', () => {
    const raw = certificate(leaf, named(uri(peerUri(ALICE))));
    expect(raw[1]).toBeLessThan(128);
    expect(identityOf(Buffer.concat([Buffer.of(0x30, 0x81, raw[1]!), raw.subarray(2)]))).toBeUndefined();
  });

  it('of what the fleet’s authority issues is the subject’s', async () => {
    const fleet = await createFleet('fleet-a');
    for (const role of PEER_ROLES) {
      const { certificatePem } = await fleet.issue(role, `${role} ü:1`);
      expect(identityOf(new X509Certificate(certificatePem).raw)).toEqual({
        fleet: 'fleet-a',
        role,
        name: `${role} ü:1`,
      });
    }
  });

  it('survives every change of a byte as the same identity, another one that is written there, or nobody’s', () => {
    const raw = certificate(leaf, named(dns('localhost'), uri(peerUri(ALICE))));
    const change = fc.record({ at: fc.nat({ max: raw.length - 1 }), to: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(change, ({ at, to }) => {
        const changed = Buffer.from(raw);
        changed[at] = to;
        const found = identityOf(changed);
        return found === undefined || changed.includes(Buffer.from(peerUri(found), 'latin1'));
      }),
      { numRuns: 500 },
    );
  });

  it('is read for any name', () => {
    const text = fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom(...'aZ0 :%/?*~ü€') });
    const identity = fc.record({
      fleet: text.filter((name) => name.trim() === name),
      role: fc.constantFrom<PeerRole>(...PEER_ROLES),
      name: text.filter((name) => name.trim() === name),
    });
    fc.assert(
      fc.property(identity, (someone) => {
        expect(identityOf(certificate(leaf, named(uri(peerUri(someone)))))).toEqual(someone);
      }),
      { numRuns: 200 },
    );
  });
});
