/** Keys of a purpose on a real token: notes that others verify, and nothing released before checks, approval and journal. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesToHex, type Clock, HoldfastError, sha256, systemClock, utf8 } from '../../src/core/index.ts';
import {
  type ApprovalRequest,
  algorithmFor,
  approveDigests,
  askApproval,
  generatePurposeKey,
  type JournalEntry,
  type JournalSink,
  keyLabel,
  keysOfRole,
  openPurposeKey,
  PURPOSES,
  type Purpose,
  type PurposeKeyOptions,
  parseKeyLabel,
  ROLES,
  readJournal,
  renderMessage,
  type Signed,
  SigningJournal,
} from '../../src/signer/index.ts';
import { openSigningToken, SoftwareSigningToken } from '../../src/token/index.ts';
import type { SigningToken } from '../../src/token/port.ts';
import { cosign, parseNote, parseVerifierKey, serialiseNote, signNote, verifyNote } from '../../src/trust/index.ts';
import { PIN, type SoftHsm, secret, softHsm } from '../token/fixture.ts';
import { isRight } from '../token/signing-suite.ts';
import { bundle, checkpoint, NOW, SCOPES, TEXTS } from './texts.ts';

let hsm: SoftHsm;
let folder: string;
beforeAll(async () => {
  hsm = await softHsm('signer');
  folder = mkdtempSync(join(tmpdir(), 'holdfast-signer-'));
});
afterAll(() => {
  hsm.remove();
  rmSync(folder, { recursive: true });
});

const clock: Clock = { ...systemClock, now: () => NOW };

/** A journal in memory. */
function sink(): JournalSink & { readonly lines: Signed[] } {
  const lines: Signed[] = [];
  return { lines, append: async (signed) => lines.push(signed) };
}

/** A key of `purpose` on a token in software. */
async function openSoftware(purpose: Purpose, changes: Partial<PurposeKeyOptions> = {}) {
  const token = changes.token ?? new SoftwareSigningToken();
  const name = `${purpose}.example/1`;
  await generatePurposeKey(token, purpose, name);
  const journal = sink();
  const key = await openPurposeKey({ token, name, scope: SCOPES[purpose], journal, clock, ...changes });
  return { key, journal, name };
}

describe('a cosigner’s keys on one token, through one login', () => {
  let token: SigningToken;
  beforeAll(async () => {
    token = await openSigningToken({ module: hsm.module, label: hsm.label, pin: secret(PIN), workers: 2 });
  });
  afterAll(() => token.close());

  it('sign notes and checkpoints that verify by their vkeys, and the journal has each', async () => {
    const path = join(folder, 'cosigner');
    const journal = await SigningJournal.open(path, { clock });
    const open = async (purpose: Purpose, name: string) => {
      await generatePurposeKey(token, purpose, name);
      return openPurposeKey({ token, name, scope: SCOPES[purpose], journal, clock });
    };
    const keys = keysOfRole('cosigner', 'cosigner.example', 'log.example/family/production');
    const opened = [];
    for (const { purpose, name } of keys) opened.push(await open(purpose, name));
    const [bundleKey, rosterKey, logKey, plexiKey] = opened;
    for (const [key, text] of [
      [bundleKey!, bundle()],
      [rosterKey!, new TextDecoder().decode(TEXTS.roster)],
      [logKey!, checkpoint(3)],
    ] as const) {
      const note = serialiseNote(await signNote(text, [key.note]));
      const [verified] = verifyNote(parseNote(note), [parseVerifierKey(key.note.verifierKey)]);
      expect(verified?.key.name).toBe(key.note.name);
    }
    expect(await plexiKey!.sign(TEXTS.plexi)).toHaveLength(64);
    const witness = await open('witness', 'witness.example/1');
    const line = await cosign(checkpoint(3), witness.note, NOW / 1000);
    const cosigned = { text: checkpoint(3), signatures: [line] };
    expect(verifyNote(cosigned, [parseVerifierKey(witness.note.verifierKey)])[0]?.seconds).toBe(NOW / 1000);
    await journal.close();

    const entries: JournalEntry[] = [];
    await readJournal(path, { onEntry: (entry) => void entries.push(entry) });
    expect(entries.map(({ purpose, digest }) => [purpose, digest])).toEqual(
      (['bundle', 'roster', 'checkpoint', 'plexi', 'witness'] as const).map((purpose) => [
        purpose,
        bytesToHex(sha256(TEXTS[purpose])),
      ]),
    );
    expect(entries[0]?.key).toMatch(/^cosigner\.example\/bundle\+[0-9a-f]{8}$/);
    expect(new Set([...opened, witness].map(({ publicKey }) => bytesToHex(publicKey))).size).toBe(5);
  });

  it('are found by their labels', async () => {
    const found = await token.find('holdfast/signer/');
    const parsed = found.map(({ label }) => parseKeyLabel(label));
    expect(parsed).toContainEqual({ purpose: 'checkpoint', name: 'log.example/family/production' });
    expect(parsed).toContainEqual({ purpose: 'roster', name: 'cosigner.example/roster' });
    expect(parseKeyLabel('holdfast/signer/other/x')).toBeUndefined();
    expect(parseKeyLabel('holdfast/signer/bundle/')).toBeUndefined();
  });
});

describe('a token without EdDSA', () => {
  const token = () => new SoftwareSigningToken({ algorithms: ['P-256'] });

  it('signs bundles and policies with ECDSA, in DER for notes', async () => {
    const { key } = await openSoftware('bundle', { token: token() });
    const note = await signNote(bundle(), [key.note]);
    expect(verifyNote(note, [parseVerifierKey(key.note.verifierKey)])).toHaveLength(1);
    expect(parseVerifierKey(key.note.verifierKey).type).toBe('ecdsa');
    expect(note.signatures[0]!.signature[0]).toBe(0x30);
    expect(await key.sign(TEXTS.bundle)).toHaveLength(64);
  });

  it.each(['checkpoint', 'plexi', 'witness', 'audit'] as const)('has no key for %s', async (purpose) => {
    expect(() => algorithmFor(purpose, token())).toThrow(expect.objectContaining({ code: 'token_unsuitable' }));
    const both = new SoftwareSigningToken();
    await both.generate(keyLabel(purpose, 'x.example'), 'P-256');
    const opening = openPurposeKey({ token: both, name: 'x.example', scope: SCOPES[purpose], journal: sink() });
    await expect(opening).rejects.toMatchObject({ code: 'token_unsuitable' });
  });
});

describe('nothing is released', () => {
  it.each(PURPOSES)('by a key of %s for a text of another purpose, and nothing is noted', async (purpose) => {
    const { key, journal } = await openSoftware(purpose);
    const other = purpose === 'bundle' ? TEXTS.roster : TEXTS.bundle;
    await expect(key.sign(other)).rejects.toMatchObject({ code: 'signing_refused' });
    await expect(key.note.sign(other)).rejects.toMatchObject({ code: 'signing_refused' });
    expect(journal.lines).toEqual([]);
    expect(await key.sign(TEXTS[purpose])).toHaveLength(64);
    expect(journal.lines).toMatchObject([{ purpose, digest: bytesToHex(sha256(TEXTS[purpose])) }]);
  });

  it('before the journal has it', async () => {
    let written = () => {};
    const append = new Promise<void>((resolve) => {
      written = resolve;
    });
    let asked = () => {};
    const begun = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const journal: JournalSink = {
      append: () => {
        asked();
        return append;
      },
    };
    const { key } = await openSoftware('bundle', { journal });
    let released = false;
    const signing = key.sign(TEXTS.bundle).then((signature) => {
      released = true;
      return signature;
    });
    await begun;
    await Promise.resolve();
    expect(released).toBe(false);
    written();
    expect(await signing).toHaveLength(64);
  });

  it('if the journal cannot be written, or the token fails or signs wrongly', async () => {
    const broken: JournalSink = {
      append: async () => {
        throw new HoldfastError('journal_damaged', 'the test broke it');
      },
    };
    const { key } = await openSoftware('bundle', { journal: broken });
    await expect(key.sign(TEXTS.bundle)).rejects.toMatchObject({ code: 'journal_damaged' });
    const token = new SoftwareSigningToken();
    const other = await openSoftware('bundle', { token });
    for (const fault of ['token_removed', 'wrong_result'] as const) {
      token.faults = () => fault;
      await expect(other.key.sign(TEXTS.bundle)).rejects.toMatchObject({
        code: fault === 'wrong_result' ? 'token_failed' : fault,
      });
    }
    expect(other.journal.lines).toEqual([]);
  });

  it('of a tree that forks from one that a witness signed before', async () => {
    const journal = await SigningJournal.open(join(folder, 'fork'), { clock });
    const message = (fill: number, size = 3) => utf8(`cosignature/v1\ntime ${NOW / 1000}\n${checkpoint(size, fill)}`);
    const { key } = await openSoftware('witness', { journal });
    expect(await key.sign(message(1))).toHaveLength(64);
    await expect(key.sign(message(2))).rejects.toMatchObject({ code: 'signing_refused' });
    await expect(key.sign(message(1, 2))).rejects.toMatchObject({ code: 'signing_refused' });
    expect(await key.sign(message(2, 4))).toHaveLength(64);
    const { key: log } = await openSoftware('checkpoint', { journal, refuseForks: true });
    expect(await log.sign(utf8(checkpoint(3, 1)))).toHaveLength(64);
    await expect(log.sign(utf8(checkpoint(3, 2)))).rejects.toMatchObject({ code: 'signing_refused' });
    await journal.close();
  });

  it('but what was checked and shown, whatever happens to the caller’s bytes', async () => {
    const message = TEXTS.bundle.slice();
    const approver = {
      approve: async () => {
        message.fill(0x41);
      },
    };
    const { key, journal } = await openSoftware('bundle', { approver });
    const signature = await key.sign(message);
    expect(journal.lines[0]?.digest).toBe(bytesToHex(sha256(TEXTS.bundle)));
    expect(isRight(key, TEXTS.bundle, signature)).toBe(true);
  });
});

describe('approval', () => {
  const digest = bytesToHex(sha256(TEXTS.bundle));
  const terminal = (...answers: string[]) => {
    const shown: string[] = [];
    const questions: string[] = [];
    return {
      shown,
      questions,
      show: (lines: readonly string[]) => shown.push(...lines),
      ask: async (question: string) => {
        questions.push(question);
        return answers.shift() ?? '';
      },
    };
  };

  it('shows the whole text and signs when its digest’s first digits are typed', async () => {
    const person = terminal(digest.slice(0, 8));
    const { key, journal } = await openSoftware('bundle', { approver: askApproval(person) });
    expect(await key.sign(TEXTS.bundle)).toHaveLength(64);
    expect(person.shown.join('\n')).toContain(`SHA-256 ${digest}`);
    expect(person.shown).toContain('  "fleet": "first",');
    expect(person.shown.join('\n')).toContain('deploy of fleet first, serial 1');
    expect(journal.lines).toHaveLength(1);
  });

  it.each([[''], [digest.slice(0, 7)], ['00000000'], [digest.slice(0, 9)], ['yes']])(
    'is refused for %j, without a second question',
    async (typed) => {
      const person = terminal(typed, digest.slice(0, 8));
      const { key, journal } = await openSoftware('bundle', { approver: askApproval(person) });
      await expect(key.sign(TEXTS.bundle)).rejects.toMatchObject({ code: 'not_approved' });
      expect(person.questions).toHaveLength(1);
      expect(journal.lines).toEqual([]);
    },
  );

  it('may ask for a phrase, and show what the caller makes of the text', async () => {
    const person = terminal('first');
    const approver = askApproval(person, { phrase: 'first' });
    const { key } = await openSoftware('bundle', { approver, render: () => ['three nodes'] });
    expect(await key.sign(TEXTS.bundle)).toHaveLength(64);
    expect(person.shown).toEqual(['three nodes']);
  });

  it('without a person is by the whole digest, and by no other', async () => {
    const { key } = await openSoftware('bundle', { approver: approveDigests([digest.toUpperCase()]) });
    expect(await key.sign(TEXTS.bundle)).toHaveLength(64);
    const { key: other } = await openSoftware('bundle', { approver: approveDigests(['0'.repeat(64)]) });
    await expect(other.sign(TEXTS.bundle)).rejects.toMatchObject({ code: 'not_approved', details: { digest } });
    for (const bad of [[], [digest.slice(0, 8)], [''], ['x'.repeat(64)]]) {
      expect(() => approveDigests(bad)).toThrow(expect.objectContaining({ code: 'usage' }));
    }
  });

  it('is asked after the key’s own checks only', async () => {
    const requests: ApprovalRequest[] = [];
    const approver = { approve: async (request: ApprovalRequest) => void requests.push(request) };
    const { key } = await openSoftware('bundle', { approver });
    await expect(key.sign(TEXTS.roster)).rejects.toMatchObject({ code: 'signing_refused' });
    expect(requests).toEqual([]);
  });

  it('shows characters that hide or move text by their numbers', () => {
    const request = { purpose: 'bundle', key: 'k', digest, about: 'x' } as const;
    const text = 'a\u202eb\u200bc\u001b[2J\n{"reason":"\u2066\u0007"}\n';
    const lines = renderMessage(request, utf8(text));
    expect(lines.join('')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(lines).toContain('a\\u{202e}b\\u{200b}c\\u{1b}[2J');
    expect(renderMessage(request, Uint8Array.of(0xff, 0xfe)).at(-1)).toBe('(2 bytes that are no text)');
  });
});

describe('names', () => {
  it.each(['', 'a b', 'a+b', 'ü.example', 'x'.repeat(200)])('of keys are not %j', (name) => {
    expect(() => keyLabel('bundle', name)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('of a role’s keys differ, one for each purpose', () => {
    for (const role of ROLES) {
      const keys = keysOfRole(role, 'x.example', 'log.example/a/b');
      expect(new Set(keys.map(({ purpose }) => purpose)).size).toBe(keys.length);
      expect(new Set(keys.map(({ name }) => name)).size).toBe(keys.length);
    }
    expect(() => keysOfRole('cosigner', 'x.example')).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
