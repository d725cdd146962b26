/** Our statements verified by sigstore-go, the library inside of cosign, with a key and without the public instance. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PREDICATE_TYPES, publicKeyPem } from '../../../src/evidence/index.ts';
import { descriptionText } from '../../../src/trust/index.ts';
import { CEREMONY_KEY, EVIDENCE_KEY, evidenceFolder } from '../../evidence/scene.ts';
import { buildGo } from '../go.ts';

const built = buildGo('sigstore');
if ('missing' in built) process.stdout.write(`Skipped: ${built.missing}, so nothing is verified with sigstore-go.\n`);

describe.runIf('program' in built)('sigstore-go', () => {
  const { evidence, files, manifest } = evidenceFolder();
  const folder = mkdtempSync(join(tmpdir(), 'sigstore-'));
  const verify = (file: Uint8Array, keyName: string, blob = descriptionText(manifest)) => {
    const key = [CEREMONY_KEY, EVIDENCE_KEY].find(({ name }) => name === keyName)!;
    const words = Object.entries({ bundle: file, key: publicKeyPem(key), blob }).map(([name, content]) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    });
    return execFileSync((built as { program: string }).program, words, { encoding: 'utf8', stdio: 'pipe' });
  };

  it.each(evidence.statements)('verifies the statement of kind $kind on the fleet’s description', (entry) => {
    const said = verify(files.get(entry.sha256)!, entry.key);
    expect(said).toBe(`verified ${PREDICATE_TYPES[entry.kind]} first description\n`);
  });

  it('refuses another key, and another description', () => {
    const [{ sha256, key }] = evidence.statements as [(typeof evidence.statements)[number]];
    expect(() => verify(files.get(sha256)!, EVIDENCE_KEY.name)).toThrow('failed to verify signature');
    expect(() => verify(files.get(sha256)!, key, 'another')).toThrow('do not match digests in statement');
  });
});
