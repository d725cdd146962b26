/** A cosigner as an operator sets it up: a SoftHSM token with its keys, policy, certificates, a configuration; its processes. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HttpSubmission } from '../../src/operator/index.ts';
import { generatePurposeKey, keyLabel, keysOfRole, verifierKeyOf } from '../../src/signer/index.ts';
import { openSigningToken } from '../../src/token/index.ts';
import { parseVerifierKey, serialiseNote, type TrustPolicy } from '../../src/trust/index.ts';
import { builtCommand } from '../built-command.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';
import { PIN, type SoftHsm, secret, softHsm } from '../token/fixture.ts';
import { ORIGIN, signPolicy, trustPolicy } from '../trust/fixture.ts';
import { DAY } from '../trust/manifests.ts';

const MAIN = await builtCommand();
const AUTHORITY = 'family';

export class CosignerFolder {
  readonly hsm: SoftHsm;
  readonly directory: string;
  readonly pki: TestFleet;
  readonly config: string;
  publicUrl = '';
  submissionUrl = '';
  #child: ChildProcess | undefined;
  #exited: Promise<number | null> | undefined;

  private constructor(hsm: SoftHsm, pki: TestFleet) {
    this.hsm = hsm;
    this.directory = join(hsm.directory, 'cosigner');
    this.pki = pki;
    this.config = join(this.directory, 'cosigner.json');
  }

  static async create(changes: Partial<TrustPolicy> = {}): Promise<CosignerFolder> {
    const made = new CosignerFolder(await softHsm('cosigner'), await createFleet(AUTHORITY));
    await made.#write(changes);
    return made;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Runs a command to its end. */
  async command(...words: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const child = spawn(process.execPath, [MAIN, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.#environment(),
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { code, stdout, stderr };
  }

  /** Starts it, and resolves when it listens. */
  async serve(): Promise<void> {
    const child = spawn(process.execPath, [MAIN, 'cosigner', 'serve', '--config', this.config, '--stop-with-stdin'], {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: this.#environment(),
    });
    this.#child = child;
    this.#exited = new Promise((resolve) => child.on('exit', resolve));
    let seen = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (data) => {
        seen += data;
        const line = seen.split('\n').find((each) => each.includes('"listening"') && each.endsWith('}'));
        if (!line) return;
        ({ publicUrl: this.publicUrl, submissionUrl: this.submissionUrl } = JSON.parse(line));
        resolve();
      });
      child.on('exit', (code) => reject(new Error(`it ended with ${code}: ${seen}`)));
    });
  }

  /** As a power cut would. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }

  /** In good order; its exit code. */
  async stop(): Promise<number | null> {
    this.#child?.kill('SIGTERM');
    return (await this.#exited) ?? null;
  }

  async operator(name = 'olga'): Promise<HttpSubmission> {
    const tls = await this.pki.issue('operator', name);
    return new HttpSubmission({ url: this.submissionUrl, tls, timeout: 60_000 });
  }

  /** Options of `holdfast bundle` for an operator of that name. */
  async operatorFlags(name: string): Promise<string[]> {
    const { authorityPem, certificatePem, privateKeyPem } = await this.pki.issue('operator', name);
    const files = { authority: authorityPem, certificate: certificatePem, key: privateKeyPem };
    for (const [file, pem] of Object.entries(files))
      writeFileSync(this.path(`${name}-${file}.pem`), pem, { mode: 0o600 });
    const flags = Object.keys(files).flatMap((file) => [`--${file}`, this.path(`${name}-${file}.pem`)]);
    return ['--cosigner', this.submissionUrl, ...flags];
  }

  remove(): void {
    this.hsm.remove();
  }

  #environment() {
    return { ...process.env, SOFTHSM2_CONF: undefined, XDG_CACHE_HOME: this.hsm.directory };
  }

  async #write(changes: Partial<TrustPolicy>): Promise<void> {
    const { hsm, pki } = this;
    mkdirSync(this.directory);
    const token = await openSigningToken({ module: hsm.module, label: hsm.label, pin: secret(PIN) });
    const vkeys: Record<string, string> = {};
    for (const { purpose, name } of keysOfRole('cosigner', 'cosigner.example', ORIGIN)) {
      await generatePurposeKey(token, purpose, name);
      vkeys[purpose] = verifierKeyOf(purpose, name, await token.open(keyLabel(purpose, name))).text;
    }
    await token.close();
    const now = Math.floor(Date.now() / 1000) * 1000;
    const policy = await signPolicy(
      trustPolicy({
        cosigner: parseVerifierKey(vkeys.bundle!),
        roster: parseVerifierKey(vkeys.roster!),
        plexi: parseVerifierKey(vkeys.plexi!),
        tlog: `log ${vkeys.checkpoint}\nquorum none\n`,
        auditors: [],
        expires: now + 300 * DAY,
        ...changes,
      }),
    );
    writeFileSync(this.path('policy.note'), serialiseNote(policy.note));
    writeFileSync(this.path('pin'), PIN, { mode: 0o600 });
    const { authorityPem, certificatePem, privateKeyPem } = await pki.issue('cosigner', 'cosigner-1');
    const files = { authority: authorityPem, certificate: certificatePem, key: privateKeyPem };
    for (const [name, pem] of Object.entries(files)) writeFileSync(this.path(`${name}.pem`), pem, { mode: 0o600 });
    const submission = {
      port: 0,
      authorityName: AUTHORITY,
      authority: 'authority.pem',
      certificate: 'certificate.pem',
      key: 'key.pem',
    };
    const configuration = {
      policy: 'policy.note',
      name: 'cosigner.example',
      token: { module: hsm.module, label: hsm.label, pinFile: 'pin', softhsmConfiguration: process.env.SOFTHSM2_CONF },
      journal: 'journal',
      store: { directory: 'store' },
      files: { directory: 'files' },
      listen: { host: '127.0.0.1', port: 0, plainHttp: true },
      submission,
      metrics: { port: 0 },
      approvers: ['anna'],
      rateLimit: { requests: 0 },
    };
    writeFileSync(this.config, JSON.stringify(configuration));
  }
}
