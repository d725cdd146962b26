/** Proof that the work which was timed was real: what a client would check of an answer, done after the window. */

import { standardSuite } from '../../src/client/index.ts';
import { equalBytes, fromBase64Url } from '../../src/core/index.ts';
import {
  decodeAnswerContent,
  decodeCertificate,
  decodePortableRecord,
  decodeSignedStatement,
  type Fleet,
  openDocument,
  StatementVerifier,
  threshold,
} from '../../src/protocol/index.ts';
import type { SampledAnswer } from './load.ts';
import type { PreparedRecovery } from './prepare.ts';

const suite = standardSuite();

/**
 * The certificate is of exactly this attempt, the elements unblind to shares of the seed that was enrolled, and a
 * majority signed receipts of the confirmation.
 */
export async function verifySample(fleet: Fleet, answer: SampledAnswer): Promise<void> {
  const { recovery, status, attempt, confirm } = answer;
  const verifier = new StatementVerifier(fleet, suite.checks);
  const body = verifier.certificate(decodeCertificate(fromBase64Url(attempt.certificate!)), 'attempt');
  requireThat(
    body.attempt === recovery.attempt && equalBytes(body.blindHash, recovery.blindHash),
    'the certificate is of another attempt',
  );
  const receipts = confirm.nodes.filter(({ node, statement }) => {
    if (statement === undefined) return false;
    const signed = decodeSignedStatement(fromBase64Url(statement));
    return signed.signer.node === node && verifier.body(signed, 'confirmed').attempt === recovery.attempt;
  });
  requireThat(receipts.length >= threshold(fleet), 'too few receipts');
  await requireSeed(fleet, recovery, attempt.nodes, fromBase64Url(status.portable!));
}

async function requireSeed(
  fleet: Fleet,
  { record, sample }: PreparedRecovery,
  nodes: SampledAnswer['attempt']['nodes'],
  portable: Uint8Array,
): Promise<void> {
  const { input, blind, openers } = sample!;
  const outputs = await Promise.all(
    nodes
      .filter(({ sealed }) => sealed !== undefined)
      .map(async ({ node, sealed }) => {
        const content = decodeAnswerContent(await openers.get(node)!(fromBase64Url(sealed!)));
        return { node, output: suite.finalize(input, blind, content.evaluatedElement!) };
      }),
  );
  const { activation } = decodePortableRecord(portable);
  const { shares } = openDocument(activation!.document, fleet, suite.checks);
  const { seed, lying } = await suite.recoverSeed({
    ...{ shares, outputs, threshold: threshold(fleet) },
    accept: (candidate) => equalBytes(candidate.reveal(), record.seed),
  });
  requireThat(equalBytes(seed.reveal(), record.seed), 'the answers give another seed');
  requireThat(lying.length === 0, `nodes ${lying.join()} gave wrong answers`);
}

function requireThat(holds: boolean, what: string): void {
  if (!holds) throw new Error(`a sampled recovery does not verify: ${what}`);
}
