/** Several requests to one node in one exchange, and their answers in the same order (docs/protocol.md, section 7). */

import { codec } from '../core/index.ts';

const { bytes, list, message } = codec;

/** Elements in a batch. */
export const MAXIMUM_BATCH = 256;
/** Bytes of a batch of requests, and of one answer. */
export const MAXIMUM_BATCH_BYTES = 16 * 1024 * 1024;
/** Bytes of a batch of answers. */
export const MAXIMUM_BATCH_ANSWER_BYTES = 64 * 1024 * 1024;

const element = bytes(MAXIMUM_BATCH_BYTES);
const batch = message('holdfast/node/batch/v1', { requests: list(element, MAXIMUM_BATCH) });
const batchAnswer = message('holdfast/node/batch-answer/v1', { answers: list(element, MAXIMUM_BATCH) });

/** Each element is an encoded node request, judged on its own: a malformed one does not fail the others. */
export const encodeNodeBatch = (requests: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  batch.encode({ requests: [...requests] });
/** @throws HoldfastError `malformed` or `too_large`. */
export const decodeNodeBatch = (encoded: Uint8Array): Uint8Array[] => batch.decode(encoded).requests;

export const encodeNodeBatchAnswer = (answers: readonly Uint8Array[]): Uint8Array<ArrayBuffer> =>
  batchAnswer.encode({ answers: [...answers] });
/** @throws HoldfastError `malformed` or `too_large`. */
export const decodeNodeBatchAnswer = (encoded: Uint8Array): Uint8Array[] => batchAnswer.decode(encoded).answers;
