/**
 * Every encoding that is hashed, MACed, signed or stored, written out by hand: a 32-bit big-endian length before each
 * field, the label first. Nothing of src is used here, so that a change there cannot change what is expected.
 */

import { Buffer } from 'node:buffer';

type Bytes = Buffer;

/** Each part with its length before it. */
const fields = (...parts: readonly Bytes[]): Bytes =>
  Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    }),
  );
const text = (value: string): Bytes => Buffer.from(value, 'utf8');
const uint = (value: number): Bytes => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
};
const flag = (value: boolean): Bytes => Buffer.of(value ? 1 : 0);
const present = (value: Bytes): Bytes => Buffer.concat([Buffer.of(1), value]);
const absent: Bytes = Buffer.alloc(0);
const message = (label: string, ...parts: readonly Bytes[]): Bytes => fields(text(label), ...parts);

/** `length` bytes, all the same: the values of the fields. */
export const fill = (byte: number, length = 32): Bytes => Buffer.alloc(length, byte);

const place = [text('fleet-1'), uint(3), fill(0x11), uint(5)];
const facts = fields(
  uint(6),
  present(fields(fill(0x21), fill(0x22), flag(true), flag(false))),
  present(fill(0x23)),
  present(
    fields(uint(5), fill(0x24), uint(9), present(fill(0x25)), uint(8), uint(11), present(fields(uint(9), uint(8)))),
  ),
  uint(4),
);
const noFacts = fields(uint(0), absent, absent, absent, uint(0));
const signer = fields(uint(2), uint(7), uint(99), uint(1_800_000_000_000), fields(uint(1), uint(7), uint(0)));
const batch = fields(uint(1), uint(3), fields(fill(0x31), fill(0x32)), fill(0x33, 64));
const head = { sequence: uint(42), parent: fill(0x41), root: fill(0x42) };
const handover = fields(uint(4), uint(5), fill(0x51), fill(0x52), fill(0x53, 64), fill(0x54));
const proof = fields(fill(0x61, 5), fill(0x62, 6), fill(0x63, 7), fill(0x64, 64));
const confirmationProof = fields(fill(0x65, 9), fill(0x66, 64));
const tombstone = fields(uint(4), text('owner'), fill(0x67, 3));
const serviceStatement = message(
  'holdfast/service-statement/v1',
  text('fleet-1'),
  uint(3),
  uint(2),
  uint(7),
  uint(1_800_000_000_000),
  fill(0x78),
  fields(
    uint(10),
    uint(50),
    fields(uint(0), uint(60)),
    fields(text('delayed'), uint(86_400)),
    uint(604_800),
    uint(4),
    fields(uint(65_536), uint(3), uint(1)),
  ),
  fields(text('1.2.3'), text('c0ffee'), text('node 24.0.0')),
  fields(text('/usr/lib/token.so'), text('Maker'), text('Model'), text('0001'), text('1.0')),
);
const documentContent = message(
  'holdfast/document/v1',
  text('fleet-1'),
  uint(3),
  fill(0x11),
  uint(5),
  flag(false),
  fields(handover),
  fields(fields(uint(1), uint(200), fill(0x71)), fields(uint(3), uint(7), fill(0x72))),
  fill(0x73),
  fill(0x54),
  fill(0x74, 10),
);

/** Name of the file, and its bytes. */
export const GOLDEN: Readonly<Record<string, Bytes>> = {
  'statement-open': message('holdfast/open/v1', ...place, fill(0x12), fill(0x13), flag(true)),
  'statement-stage': message('holdfast/stage/v1', ...place, fill(0x14)),
  'statement-active': message('holdfast/active/v1', ...place, fill(0x14)),
  'statement-attempt': message('holdfast/attempt/v1', ...place, uint(9), fill(0x12), fill(0x14)),
  'statement-confirmed': message('holdfast/confirmed/v1', ...place, uint(9)),
  'statement-spent': message('holdfast/spent/v1', ...place, uint(9), uint(8)),
  'statement-destroyed': message('holdfast/destroyed/v1', ...place),
  'statement-cancelled': message('holdfast/cancelled/v1', ...place),
  'statement-head': message('holdfast/head/v1', text('fleet-1'), uint(3), fill(0x11), facts, uint(1000), uint(61_000)),
  'statement-rejoin': message('holdfast/rejoin/v1', text('fleet-1'), uint(3), uint(2), uint(7), fill(0x15)),
  'statement-sync': message(
    'holdfast/sync/v1',
    text('fleet-1'),
    uint(3),
    fill(0x16),
    Buffer.of(0xab, 0xcd),
    fill(0x17),
    flag(true),
  ),
  'statement-leave': message('holdfast/leave/v1', text('fleet-1'), uint(3), fill(0x46), fill(0x47)),
  'statement-leaf': message('holdfast/statement/v1', fill(0x34, 12), signer),
  'statement-batch': message('holdfast/statement-batch/v1', text('fleet-1'), uint(3), uint(2), fill(0x35)),
  'signed-statement': message('holdfast/signed-statement/v1', fill(0x34, 12), signer, batch),
  certificate: message('holdfast/certificate/v1', fill(0x34, 12), fields(fields(signer, batch), fields(signer, batch))),
  'anchor-input': message('holdfast/anchor/v1', text('fleet-1'), uint(2), head.sequence, head.parent, head.root),
  'anchor-value': message('holdfast/anchor-value/v1', head.sequence, head.parent, head.root, fill(0x43)),
  request: message(
    'holdfast/request/v1',
    fields(text('fleet-1'), uint(3), uint(2), text('attempt'), fill(0x11), uint(5), uint(9), fill(0x18)),
  ),
  'request-info': message('holdfast/request-info/v1', text('fleet-1'), uint(3), uint(2)),
  'request-content': message('holdfast/request-content/v1', text('a.b.c'), fill(0x19, 64), present(fill(0x1a, 33))),
  'request-content-v2': message(
    'holdfast/request-content/v2',
    ...[text('a.b.c'), present(fill(0x19, 64)), present(fill(0x1a, 33))],
  ),
  'request-content-v2-unsigned': message(
    'holdfast/request-content/v2',
    ...[text('a.b.c'), absent, present(fill(0x1a, 33))],
  ),
  'answer-content': message('holdfast/answer-content/v1', text('waiting'), text('früh'), uint(61_000), absent),
  'arguments-status': message('holdfast/arguments/status/v1'),
  'arguments-open': message(
    'holdfast/arguments/open/v1',
    fill(0x12),
    fill(0x13),
    flag(false),
    present(fields(uint(4), fill(0x1b, 64))),
  ),
  'arguments-stage': message('holdfast/arguments/stage/v1', fill(0x61, 5), fill(0x62, 6)),
  'arguments-activate': message(
    'holdfast/arguments/activate/v1',
    fill(0x61, 5),
    fill(0x62, 6),
    fill(0x63, 7),
    fill(0x64, 64),
  ),
  'arguments-attempt': message('holdfast/arguments/attempt/v1', fill(0x12)),
  'arguments-confirm': message('holdfast/arguments/confirm/v1', fill(0x65, 9), fill(0x66, 64)),
  'arguments-delete': message('holdfast/arguments/delete/v2', fill(0x66, 64), fill(0x62, 6), absent),
  'arguments-cancel': message('holdfast/arguments/cancel/v1', fill(0x66, 64)),
  document: documentContent,
  'signed-document': message('holdfast/signed-document/v1', documentContent, fill(0x75, 64)),
  envelope: message('holdfast/envelope/v1', text('fleet-1'), fill(0x11), uint(5)),
  'owner-open': message(
    'holdfast/owner/open/v1',
    text('fleet-1'),
    fill(0x11),
    uint(4),
    uint(5),
    fill(0x12),
    fill(0x13),
  ),
  'owner-delete': message('holdfast/owner/action/v1', text('fleet-1'), fill(0x11), uint(5), text('delete')),
  'owner-cancel': message('holdfast/owner/action/v1', text('fleet-1'), fill(0x11), uint(5), text('cancel')),
  'owner-activate': message('holdfast/owner/activate/v1', fill(0x63, 7)),
  'owner-deletion': message('holdfast/owner-deletion/v2', fill(0x62, 6), present(fill(0x63, 6)), fill(0x66, 64)),
  confirm: message('holdfast/confirm/v1', text('fleet-1'), fill(0x11), uint(5), uint(9), fill(0x12)),
  'blinded-element': message('holdfast/blinded-element/v1', fill(0x1a, 33)),
  'stretch-salt': message('holdfast/stretch-salt/v1', text('fleet-1'), fill(0x11)),
  'oprf-input': message('holdfast/oprf-input/v1', text('fleet-1'), fill(0x11), fill(0x76)),
  'tweak-input': message('holdfast/tweak-input/v1', text('fleet-1'), fill(0x11), uint(5)),
  'service-statement': serviceStatement,
  'signed-service-statement': message('holdfast/signed-service-statement/v1', serviceStatement, fill(0x77, 64)),
  facts: message('holdfast/facts/v1', fill(0x11), facts),
  'facts-empty': message('holdfast/facts/v1', fill(0x11), noFacts),
  'node-state': message(
    'holdfast/node-state/v2',
    uint(7),
    fields(uint(1), uint(7), uint(0)),
    fields(fill(0x44, 2), absent, absent),
    flag(true),
    uint(3),
    fill(0x45),
    present(fields(fill(0x46), fill(0x47))),
    fill(0x48, 4),
    flag(true),
  ),
  membership: message(
    'holdfast/membership/v1',
    text('fleet-1'),
    uint(3),
    fields(fields(fill(0x91, 65), fill(0x92, 65), fill(0x93, 65))),
    fields(fields(uint(2), fields(fields(fill(0x94, 65), fill(0x95, 65))))),
  ),
  'record-state': message(
    'holdfast/record-state/v1',
    fill(0x11),
    uint(6),
    present(fields(fill(0x21), fill(0x22), flag(true), flag(false), uint(1000))),
    present(fields(fill(0x23), present(fill(0x61, 5)))),
    present(
      fields(
        uint(5),
        fill(0x24),
        proof,
        uint(9),
        present(fill(0x25)),
        present(fields(uint(11), present(fill(0x26)))),
        uint(2000),
        uint(8),
        present(confirmationProof),
        present(fields(uint(9), uint(8))),
      ),
    ),
    present(tombstone),
  ),
  'sync-content': message(
    'holdfast/node/sync-content/v2',
    fill(0x77, 8),
    fields(fill(0x44, 2), absent, absent),
    flag(true),
    fill(0x48, 4),
  ),
  'portable-record': message(
    'holdfast/portable-record/v1',
    fill(0x11),
    present(proof),
    present(confirmationProof),
    present(tombstone),
  ),
};
