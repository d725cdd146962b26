/** From a client's admitted request to the transition that it asks for (docs/protocol.md, section 6). */

import { HoldfastError } from '../core/index.ts';
import {
  ARGUMENTS,
  type Arguments,
  blindHash,
  type CertifiedOpen,
  type ClientRequest,
  type Context,
  type Decision,
  encodeOwnerDeletion,
  type Head,
  type RecordState,
  type Transitions,
} from '../protocol/index.ts';
import { type AdmittedRequest, namesElement } from './admission.ts';

export interface TransitionParts {
  readonly transitions: Transitions;
  readonly context: () => Context;
  /** Verified. */
  readonly heads: readonly Head[];
  /** Verifies an encoded certificate. @throws HoldfastError `untrusted` or `malformed`. */
  readonly certified: (encoded: Uint8Array, kind: 'open' | 'attempt') => unknown;
}

/**
 * What can be checked without the record's state is checked at once.
 * @throws HoldfastError `malformed` or `untrusted`.
 */
export function transitionFor(
  request: ClientRequest,
  admitted: AdmittedRequest,
  { transitions, context, heads, certified }: TransitionParts,
): (state: RecordState) => Decision {
  const { generation, attempt } = request;
  const decoded = <O extends Exclude<ClientRequest['operation'], 'status'>>(operation: O) =>
    ARGUMENTS[operation].decode(request.arguments) as Arguments<O>;
  switch (request.operation) {
    case 'open': {
      const args = decoded('open');
      namesElement(elementHash(admitted), args.blindHash);
      return (state) => transitions.decideOpen(context(), state, { generation, ...args }, heads);
    }
    case 'stage': {
      const args = decoded('stage');
      const opened = certified(args.openCertificate, 'open') as CertifiedOpen;
      return (state) => transitions.decideStage(context(), state, args.document, opened);
    }
    case 'activate': {
      const args = decoded('activate');
      return (state) => transitions.decideActivate(context(), state, args);
    }
    case 'attempt': {
      const args = decoded('attempt');
      namesElement(elementHash(admitted), args.blindHash);
      return (state) => transitions.decideAttempt(context(), state, { generation, attempt, ...args }, heads);
    }
    case 'confirm': {
      const args = decoded('confirm');
      certified(args.certificate, 'attempt');
      return (state) => transitions.decideConfirm(context(), state, args, heads);
    }
    case 'delete': {
      const args = decoded('delete');
      const proof = { generation, kind: 'owner' as const, proof: encodeOwnerDeletion(args) };
      return (state) => transitions.decideDestroy(context(), state, proof);
    }
    case 'cancel': {
      const { signature } = decoded('cancel');
      return (state) => {
        const refusal = transitions.cancelObjection(context(), state, generation, signature);
        return refusal ? { state, refusal } : transitions.decideCancel(context(), state, generation);
      };
    }
    case 'status':
      throw new HoldfastError('malformed', 'status changes nothing');
  }
}

function elementHash({ content }: AdmittedRequest): Uint8Array {
  if (!content.blindedElement) throw new HoldfastError('malformed', 'the request has no blinded element');
  return blindHash(content.blindedElement);
}
