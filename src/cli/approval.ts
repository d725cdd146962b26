/** Who approves what a command signs: a digest on the command line, or the person at the terminal. */

import { createInterface } from 'node:readline/promises';
import { HoldfastError } from '../core/index.ts';
import { type Approver, approveDigests, askApproval } from '../signer/index.ts';
import { withoutControls } from './output.ts';

export interface ApprovalFlags {
  /** Digests of texts to sign without asking, 64 hex digits each. */
  readonly approve?: readonly string[] | undefined;
}

export interface ApprovalStreams {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
}

/** @throws HoldfastError `usage` for a digest that is none, or where there is neither a digest nor a terminal. */
export function approverOf(
  { approve }: ApprovalFlags,
  signal: AbortSignal,
  { input, output }: ApprovalStreams = { input: process.stdin, output: process.stderr },
): Approver {
  if (approve !== undefined) return approveDigests(approve);
  if (!input.isTTY) {
    throw new HoldfastError('usage', 'there is no terminal to ask for approval; use --approve DIGEST');
  }
  return askApproval({
    show: (lines) => {
      for (const line of lines) output.write(`${withoutControls(line)}\n`);
    },
    ask: async (question) => {
      const terminal = createInterface({ input, output });
      try {
        return await terminal.question(question, { signal });
      } catch (cause) {
        throw new HoldfastError('cancelled', 'cancelled; nothing was signed', { cause });
      } finally {
        terminal.close();
      }
    },
  });
}
