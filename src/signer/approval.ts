/** A person's approval before a key signs: what will be signed is shown, and its digest or a phrase is typed back. */

import { fromUtf8, HoldfastError } from '../core/index.ts';
import type { Purpose } from './purposes.ts';

export interface ApprovalRequest {
  /** Certificates are issued by a key that is for no signed text. */
  readonly purpose: Purpose | 'certificate';
  /** The key's name. */
  readonly key: string;
  /** SHA-256 of the message, 64 hex digits. For a note this is its text's digest. */
  readonly digest: string;
  /** What will be signed, for people; no control characters. */
  readonly lines: readonly string[];
}

export interface Approver {
  /** Resolves if the signature shall be made. @throws HoldfastError `not_approved`, or `cancelled`. */
  approve(request: ApprovalRequest): Promise<void>;
}

/** Where a person is asked. */
export interface ApprovalTerminal {
  show(lines: readonly string[]): void;
  /** One line, as typed. */
  ask(question: string): Promise<string>;
}

/** Hex digits of the digest that a person types: enough to notice a wrong text, not to stop one who typed without reading. */
const TYPED_DIGITS = 8;

/** Approves what has one of these digests (64 hex digits each), known from elsewhere: `--approve`. @throws `usage`. */
export function approveDigests(digests: readonly string[]): Approver {
  const known = new Set(digests.map((digest) => digest.toLowerCase()));
  if (digests.length === 0 || ![...known].every((digest) => /^[0-9a-f]{64}$/.test(digest))) {
    throw new HoldfastError('usage', 'a digest to approve has 64 hex digits (SHA-256 of the text)');
  }
  return {
    approve: async ({ digest }) => {
      if (known.has(digest)) return;
      throw new HoldfastError('not_approved', `the text has the digest ${digest}, which was not approved`, {
        details: { digest },
      });
    },
  };
}

/**
 * Shows the text and has a person type the first 8 digits of its digest, or `phrase` (such as the fleet's name) if given.
 * What is typed differently is a refusal: there is no second try.
 */
export function askApproval(terminal: ApprovalTerminal, { phrase }: { readonly phrase?: string } = {}): Approver {
  return {
    approve: async ({ digest, lines }) => {
      terminal.show(lines);
      const wanted = phrase ?? digest.slice(0, TYPED_DIGITS);
      const what = phrase === undefined ? `the first ${TYPED_DIGITS} digits of its SHA-256` : JSON.stringify(phrase);
      const typed = await terminal.ask(`To sign this, type ${what}: `);
      if (typed.trim() === wanted) return;
      throw new HoldfastError('not_approved', 'what was typed is not what was asked for; nothing was signed');
    },
  };
}

/** What a person sees of a message: what it is, whose key, its digest, and its text with JSON set out in lines. */
export function renderMessage(
  request: Omit<ApprovalRequest, 'lines'> & { readonly about: string },
  message: Uint8Array,
): string[] {
  const { purpose, key, digest, about } = request;
  const head = [`Key ${key} (${purpose}) is asked to sign: ${about}.`, `SHA-256 ${digest}`, ''];
  return [...head, ...textLines(message)].map(visible);
}

function textLines(message: Uint8Array): string[] {
  let text: string;
  try {
    text = fromUtf8(message);
  } catch {
    return [`(${message.length} bytes that are no text)`];
  }
  const lines = text.replace(/\n$/, '').split('\n');
  return lines.flatMap((line) => {
    if (!line.startsWith('{')) return [line];
    try {
      return JSON.stringify(JSON.parse(line), undefined, 2).split('\n');
    } catch {
      return [line];
    }
  });
}

/** Characters that move text about or hide in it, such as bidirectional marks, are shown by their number. */
function visible(line: string): string {
  return line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
