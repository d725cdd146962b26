/** Steps of the people: the numbers of seals, and each person's confirmation, signed by their own key or only typed. */

import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, utf8 } from '../core/index.ts';
import { type PublicKey, verifyWithKey } from '../evidence/index.ts';
import { digestOf, ecdsaFromDer, ecdsaToDer, toBase64 } from '../trust/index.ts';
import { oneLine, type Work } from './conduct.ts';
import type { Machine } from './machine.ts';
import { writeOver } from './secrets.ts';
import { type CeremonyParticipant, witnessedHead, witnessedText } from './transcript/index.ts';

export function askSeals(machine: Machine): Work {
  return {
    left: async () => ({ state: 'nothing' }),
    run: async (record) => {
      const text = 'Numbers of the seals, with commas between (or: none)';
      const answer = oneLine(await machine.people.ask({ kind: 'line', id: 'seals', text }));
      const seals = answer === 'none' ? [] : answer.split(',').map((each) => each.trim());
      if (seals.length > 16 || seals.some((each) => each === '' || each.length > 64)) {
        throw new HoldfastError('usage', 'seals are up to 16 numbers of up to 64 characters, with commas between');
      }
      await record.answered(text, answer);
      return {
        finding: seals.length === 0 ? 'no seals' : `seals ${seals.join(', ')}, as they were read out`,
        facts: { seals },
      };
    },
  };
}

export function confirmPerson(machine: Machine, index: number): Work {
  const person = machine.progress.plan.people[index]!;
  return {
    left: async () => ({ state: 'nothing' }),
    run: async (record) => {
      if (person.key !== null) return await takeSignature(machine, person, index);
      const text = `${person.name}, type your name if the transcript says what you saw`;
      const answer = await machine.people.ask({ kind: 'line', id: `person:${person.name}`, text });
      if (answer !== person.name) {
        throw new HoldfastError('not_approved', `${person.name} has not confirmed; nothing was signed in their name`);
      }
      await record.answered(text, answer);
      return {
        finding: `${person.name} (${person.role}) was present: reported by the ceremony machine, proven by nothing else`,
        facts: { proof: 'reported' },
      };
    },
  };
}

/** The public key of a plan. */
export function keyOfPerson({ key }: Pick<CeremonyParticipant, 'key'>): PublicKey | undefined {
  return key === null ? undefined : { algorithm: key.length === 44 ? 'Ed25519' : 'P-256', spki: key };
}

/** Files for a person: the text, and where its signature is looked for. */
export function signingFiles(folder: string, name: string, number: number) {
  const slug = `${String(number).padStart(2, '0')}-${name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)}`;
  return { text: join(folder, `${slug}.txt`), signature: join(folder, `${slug}.sig`) };
}

/** The command that makes the signature, for a person to run where their key is. */
export function signingCommand(
  { algorithm }: PublicKey,
  files: { readonly text: string; readonly signature: string },
): string {
  const digest = algorithm === 'P-256' ? ' -digest sha256' : '';
  return `openssl pkeyutl -sign -rawin${digest} -inkey KEY.pem -in ${files.text} -out ${files.signature}`;
}

async function takeSignature({ folder, progress, people }: Machine, person: CeremonyParticipant, index: number) {
  const key = keyOfPerson(person)!;
  const text = witnessedText(progress, person);
  const files = signingFiles(folder.toSign, person.name, index + 1);
  await writeOver(files.text, text);
  const given = await people.ask({
    kind: 'line',
    id: `signature:${person.name}`,
    text: `${person.name}, read the transcript, sign with: ${signingCommand(key, files)} – file of the signature (empty: ${files.signature})`,
  });
  const signature = await readSignature(given.trim() === '' ? files.signature : given.trim(), key);
  if (!verifyWithKey(key, utf8(text), signature)) {
    throw new HoldfastError(
      'signature_invalid',
      `this is no signature by the key of ${person.name} of ${files.text}; sign that file, and go on`,
    );
  }
  return {
    finding: `${person.name} (${person.role}) has signed the transcript up to record ${witnessedHead(progress).record} with their own key`,
    facts: { proof: 'signature', text: digestOf(text), signature: toBase64(signature) },
  };
}

/** 64 bytes of Ed25519, or ECDSA in DER, whose s is brought into the lower half. @throws HoldfastError `usage`, `bad_input`. */
export async function readSignature(path: string, { algorithm }: PublicKey): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    if ((await stat(path)).size > 1024)
      throw new HoldfastError('bad_input', `${JSON.stringify(path)} is no signature: it is too large`);
    bytes = Uint8Array.from(await readFile(path));
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('usage', `there is no signature ${JSON.stringify(path)} yet; bring it, and go on`, {
      cause,
    });
  }
  if (algorithm === 'Ed25519') {
    if (bytes.length === 64) return bytes;
  } else {
    const both = ecdsaFromDer(bytes);
    if (both) return ecdsaToDer(both);
  }
  throw new HoldfastError(
    'bad_input',
    `${JSON.stringify(path)} is no signature of ${algorithm} as openssl pkeyutl writes it`,
  );
}
