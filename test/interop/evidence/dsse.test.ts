/** Our statements read by others: Go's own cryptography, and Sigstore's reader of bundles. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUNDLE_V03_MEDIA_TYPE, bundleFromJSON, isBundleWithDsseEnvelope } from '@sigstore/bundle';
import { describe, expect, it } from 'vitest';
import { fromUtf8 } from '../../../src/core/index.ts';
import { parseSigstoreBundle, publicKeyPem, STATEMENT_TYPE } from '../../../src/evidence/index.ts';
import { CEREMONY_KEY, EVIDENCE_KEY, evidenceFolder } from '../../evidence/scene.ts';
import { buildGo } from '../go.ts';

const { evidence, files } = evidenceFolder();
const keys = new Map([CEREMONY_KEY, EVIDENCE_KEY].map((key) => [key.name, key]));

describe('Sigstore’s reader of bundles', () => {
  it.each(evidence.statements)('reads the statement of kind $kind', ({ sha256, key }) => {
    const bundle = bundleFromJSON(JSON.parse(fromUtf8(files.get(sha256)!)));
    expect(bundle.mediaType).toBe(BUNDLE_V03_MEDIA_TYPE);
    if (!isBundleWithDsseEnvelope(bundle)) throw new Error('it has no envelope');
    const { payload, payloadType, signatures } = bundle.content.dsseEnvelope;
    expect(payloadType).toBe('application/vnd.in-toto+json');
    expect(JSON.parse(payload.toString())).toMatchObject({ _type: STATEMENT_TYPE });
    expect(signatures.map(({ keyid }) => keyid)).toEqual(['']);
    expect(bundle.verificationMaterial.content).toMatchObject({ $case: 'publicKey', publicKey: { hint: key } });
  });
});

const built = buildGo('evidence');
if ('missing' in built) process.stdout.write(`Skipped: ${built.missing}, so nothing is verified with Go.\n`);

describe.runIf('program' in built)('Go’s own cryptography', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dsse-'));
  const verify = (file: Uint8Array, keyName: string) => {
    writeFileSync(join(folder, 'bundle.json'), file);
    writeFileSync(join(folder, 'key.pem'), publicKeyPem(keys.get(keyName)!));
    const words = [join(folder, 'bundle.json'), join(folder, 'key.pem')];
    return execFileSync((built as { program: string }).program, words, { encoding: 'utf8', stdio: 'pipe' });
  };

  it.each(evidence.statements)('verifies the statement of kind $kind', ({ sha256, key }) => {
    const file = files.get(sha256)!;
    expect(verify(file, key)).toBe(fromUtf8(parseSigstoreBundle(file).payload));
  });

  it('refuses a changed statement, and another key', () => {
    const { sha256, key } = evidence.statements[0]!;
    const text = fromUtf8(files.get(sha256)!);
    const changed = new TextEncoder().encode(text.replace(/"payload":"ey/, '"payload":"eI'));
    expect(() => verify(changed, key)).toThrow('does not verify');
    expect(() => verify(files.get(sha256)!, EVIDENCE_KEY.name)).toThrow('does not verify');
  });
});
