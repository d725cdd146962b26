/** Witnesses as C2SP tlog-witness has them, in memory: what a log asks for cosignatures in tests. */

import { bytesToHex, fromUtf8, HoldfastError, sha256, utf8 } from '../../src/core/index.ts';
import type { WitnessTransport } from '../../src/cosigner/gather/index.ts';
import {
  cosign,
  EMPTY_ROOT,
  hashFromBase64,
  type NoteSigner,
  parseCheckpoint,
  parseNote,
  parseTlogPolicy,
  parseVerifierKey,
  serialiseSignatureLine,
  softwareNoteSigner,
  type TlogPolicy,
  type TreeHead,
  verifyConsistency,
  verifyNote,
} from '../../src/trust/index.ts';
import { ed25519Key } from '../trust/tlog/keys.ts';

interface Answer {
  readonly status: number;
  readonly body: Uint8Array;
}

export class TestWitness {
  readonly signer: NoteSigner;
  readonly requests: string[] = [];
  latest: TreeHead = { size: 0, root: EMPTY_ROOT };
  /** What it shows as its newest checkpoint. */
  shown: string | undefined;
  /** What it answers instead, or undefined to answer as it should. */
  misbehave: ((request: string, right: () => Promise<Answer>) => Promise<Answer>) | undefined;
  readonly #logKey: string;
  readonly #now: () => number;

  constructor(name: string, logKey: string, now: () => number) {
    this.signer = softwareNoteSigner(name, ed25519Key(name), 'cosignature');
    this.#logKey = logKey;
    this.#now = now;
  }

  async post(body: Uint8Array): Promise<Answer> {
    const request = fromUtf8(body);
    this.requests.push(request);
    const right = () => this.#answer(request);
    return this.misbehave ? this.misbehave(request, right) : right();
  }

  async #answer(request: string): Promise<Answer> {
    const split = request.indexOf('\n\n');
    const [old = '', ...proof] = request.slice(0, split).split('\n');
    const note = parseNote(request.slice(split + 2));
    try {
      verifyNote(note, [parseVerifierKey(this.#logKey)]);
    } catch {
      return { status: 403, body: new Uint8Array() };
    }
    const head = parseCheckpoint(note.text);
    const size = Number(old.slice('old '.length));
    if (size > head.size) return { status: 400, body: new Uint8Array() };
    if (size !== this.latest.size) return { status: 409, body: utf8(`${this.latest.size}\n`) };
    if (!verifyConsistency(this.latest, head, proof.map(hashFromBase64)))
      return { status: 422, body: new Uint8Array() };
    this.latest = head;
    this.shown = request.slice(split + 2);
    const line = await cosign(note.text, this.signer, Math.floor(this.#now() / 1000));
    return { status: 200, body: utf8(serialiseSignatureLine(line)) };
  }
}

/** Three witnesses, two of which are a quorum, and the way to them. */
export function testWitnesses(logKey: string, now: () => number) {
  const witnesses = ['w1.example', 'w2.example', 'w3.example'].map((name) => new TestWitness(name, logKey, now));
  const policy: TlogPolicy = parseTlogPolicy(
    [
      `log ${logKey}`,
      ...witnesses.map(({ signer }) => `witness ${signer.name} ${signer.verifierKey} https://${signer.name}/prefix`),
      `group all 2 ${witnesses.map(({ signer }) => signer.name).join(' ')}`,
      'quorum all',
      '',
    ].join('\n'),
  );
  const transport: WitnessTransport = {
    async get(url) {
      const found = witnesses.find(({ signer }) => url.hostname === signer.name);
      const right = url.pathname === `/prefix/${bytesToHex(sha256(utf8(parseVerifierKey(logKey).name)))}/checkpoint`;
      const body = right ? found?.shown : undefined;
      return { status: body === undefined ? 404 : 200, body: utf8(body ?? '') };
    },
    async post(url, body, _headers, { maximumBytes }) {
      const found = witnesses.find(({ signer }) => url.href === `https://${signer.name}/prefix/add-checkpoint`);
      if (!found) throw new HoldfastError('not_ready', `no answer from ${url.href}`);
      const answer = await found.post(body);
      if (answer.body.length > maximumBytes) throw new HoldfastError('too_large', 'too large');
      return answer;
    },
  };
  return { witnesses, policy, transport };
}
