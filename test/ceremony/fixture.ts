/** Ceremonies as people run them: real processes, a SoftHSM folder of their own, and people with keys in files. */

import { execFile, execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findSoftHsm, writeSoftHsmConfiguration } from '../../src/token/index.ts';
import { builtCommand, shared } from '../built-command.ts';

const MAIN = await builtCommand();

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly error: string;
}

export class Room {
  readonly path = mkdtempSync(join(tmpdir(), 'holdfast-ceremony-'));
  readonly module: string;
  readonly #environment: NodeJS.ProcessEnv;

  constructor() {
    const module = findSoftHsm();
    if (!module) throw new Error('these tests need SoftHSM 2: install the package softhsm2');
    this.module = module;
    const configuration = writeSoftHsmConfiguration(join(this.path, 'hsm'));
    // For what tests do with the token in their own process.
    process.env.SOFTHSM2_CONF = configuration;
    this.#environment = { ...process.env, XDG_CACHE_HOME: join(shared, 'cache'), SOFTHSM2_CONF: configuration };
  }

  file(name: string): string {
    return join(this.path, name);
  }

  write(name: string, content: string): string {
    writeFileSync(this.file(name), content, { mode: 0o600 });
    return this.file(name);
  }

  read(name: string): string {
    return readFileSync(this.file(name), 'utf8');
  }

  has(name: string): boolean {
    return existsSync(this.file(name));
  }

  /** A person's key pair in files. @returns the option that names the person. */
  person(name: string, part: string, algorithm: 'Ed25519' | 'P-256'): string {
    const keys =
      algorithm === 'Ed25519'
        ? generateKeyPairSync('ed25519')
        : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    this.write(`${name}.key`, keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const path = this.write(`${name}.pem`, keys.publicKey.export({ type: 'spki', format: 'pem' }).toString());
    return `--person=${name}=${part}=${path}`;
  }

  /** Signs a text as the ceremony tells people to, with openssl. */
  sign(name: string, algorithm: 'Ed25519' | 'P-256', text: string, signature: string): void {
    const digest = algorithm === 'P-256' ? ['-digest', 'sha256'] : [];
    const files = ['-inkey', this.file(`${name}.key`), '-in', this.file(text), '-out', this.file(signature)];
    execFileSync('openssl', ['pkeyutl', '-sign', '-rawin', ...digest, ...files]);
  }

  /** Runs `holdfast` in a process of its own. */
  holdfast(
    words: readonly string[],
    options: { preload?: string; environment?: NodeJS.ProcessEnv } = {},
  ): Promise<Ran> {
    const before = options.preload === undefined ? [] : ['--import', options.preload];
    return new Promise((done) => {
      execFile(
        process.execPath,
        [...before, MAIN, ...words],
        { env: { ...this.#environment, ...options.environment }, maxBuffer: 2 ** 24, timeout: 120_000 },
        (error, out, errors) => {
          const failed = error as (Error & { code?: number; signal?: NodeJS.Signals }) | null;
          done({ code: failed ? (failed.code ?? null) : 0, signal: failed?.signal ?? null, out, error: errors });
        },
      );
    });
  }

  answers(answers: Readonly<Record<string, string>>): string {
    return this.write('answers.json', JSON.stringify(answers));
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export const json = ({ out }: Ran) => JSON.parse(out) as Record<string, never>;

/** Records of a transcript as they stand. */
export const records = (room: Room, folder: string) =>
  room
    .read(join(folder, 'transcript.jsonl'))
    .split('\n')
    .slice(0, -1)
    .map(
      (line) =>
        JSON.parse(line) as {
          kind: string;
          step?: string;
          result?: string;
          finding?: string;
          facts?: never;
          attempt?: number;
        },
    );
