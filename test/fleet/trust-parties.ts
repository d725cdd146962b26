/**
 * Everybody whom a bundle needs, as processes and tokens of their own: cosigner, operator, three policy keyholders, a revoker,
 * two auditing witnesses and a plain one. All keys are made by the commands that people use.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findSoftHsm, writeSoftHsmConfiguration } from '../../src/token/index.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';
import { reservePorts } from '../ports.ts';
import { cleanEnvironment, entry, holdfast } from './launcher.ts';

const PIN = 'party-pin-1';
const AUTHORITY = 'family';
export const ORIGIN = 'log.example/family/production';

export interface Ran {
  readonly code: number | null;
  /** What it printed as JSON. */
  readonly value: Record<string, unknown> & { code: string };
  readonly stderr: string;
}

const PARTIES = [
  ['cosigner', 'cosigner', 'cosigner.example'],
  ['operator', 'operator', 'operator.example'],
  ['anna', 'policy', 'anna.example'],
  ['bela', 'policy', 'bela.example'],
  ['cecil', 'policy', 'cecil.example'],
  ['revoker', 'revoker', 'helpline.example'],
  ['w1', 'auditor', 'audit.example/w'],
  ['w2', 'auditor', 'university.example/w'],
  ['w3', 'witness', 'foundation.example/w'],
] as const;
export type Party = (typeof PARTIES)[number][0];

export class TrustParties implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'parties-'));
  readonly pki: TestFleet;
  /** Verifier keys by party and purpose, such as `cosigner bundle`. */
  readonly keys = new Map<string, string>();
  readonly #base: number;
  readonly #running: { child: ChildProcess; ended: Promise<unknown> }[] = [];

  private constructor(pki: TestFleet, base: number) {
    this.pki = pki;
    this.#base = base;
  }

  static async create(): Promise<TrustParties> {
    const parties = new TrustParties(await createFleet(AUTHORITY), await reservePorts());
    writeFileSync(parties.path('pin'), PIN, { mode: 0o600 });
    for (const [party, role, name] of PARTIES) await parties.#makeKeys(party, role, name);
    return parties;
  }

  get logUrl(): string {
    return `http://127.0.0.1:${this.#base}`;
  }

  get cosignerUrl(): string {
    return `https://127.0.0.1:${this.#base + 1}`;
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  put(name: string, content: unknown): string {
    writeFileSync(this.path(name), typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });
    return this.path(name);
  }

  key(name: string): string {
    const found = this.keys.get(name);
    if (found === undefined) throw new Error(`there is no key ${name}`);
    return found;
  }

  /** Options of a signature on a party's token. */
  signing(party: Party): string[] {
    return ['--label', party, '--pin-file', this.path('pin'), '--journal', this.path(`${party}.journal`)];
  }

  /** Options of an operator whose certificate has this name. */
  async connection(name: string): Promise<string[]> {
    const { authorityPem, certificatePem, privateKeyPem } = await this.pki.issue('operator', name);
    const files = { authority: authorityPem, certificate: certificatePem, key: privateKeyPem };
    const flags = Object.entries(files).flatMap(([kind, pem]) => [`--${kind}`, this.put(`${name}-${kind}.pem`, pem)]);
    return ['--cosigner', this.cosignerUrl, ...flags];
  }

  /** Runs a command as a party, on its token only. */
  async as(party: Party, ...words: readonly string[]): Promise<Ran> {
    const { code, stdout, stderr } = await holdfast([...words, '--json'], { environment: this.#environment(party) });
    const text = stdout.toString('utf8');
    if (text.split('\n').length !== 2) throw new Error(`${words.join(' ')}: ${text}${stderr}`);
    return { code, value: JSON.parse(text) as Ran['value'], stderr };
  }

  /** The same, which must succeed. */
  async ok(party: Party, ...words: readonly string[]): Promise<Ran['value']> {
    const { code, value } = await this.as(party, ...words);
    if (code !== 0) throw new Error(`ended with ${code}: ${JSON.stringify(value)}\nholdfast ${words.join(' ')}`);
    return value;
  }

  /** A draft of the policy with all these keys. */
  policyDraft(): Record<string, unknown> {
    const witness = (party: 'w1' | 'w2' | 'w3', i: number) =>
      `witness ${party} ${this.#witnessKey(party)} http://127.0.0.1:${this.#base + 10 + i}`;
    const organisation = (key: string) => [key.slice(0, key.indexOf('+')), key.slice(0, key.search(/[+/]/))];
    const named = ['cosigner bundle', 'operator bundle'].map((name) => this.key(name));
    return {
      vault: 'family',
      environment: 'production',
      fleet: 'first',
      tlog: [
        `log ${this.key('cosigner checkpoint')} ${this.logUrl}`,
        ...(['w1', 'w2', 'w3'] as const).map(witness),
        'group two 2 w1 w2 w3',
        'quorum two',
      ],
      auditors: [this.#witnessKey('w1'), this.#witnessKey('w2')],
      organisations: Object.fromEntries([
        ...named.map(organisation),
        ...(['w1', 'w2', 'w3'] as const).map((party) => organisation(this.#witnessKey(party))),
      ]),
      cosigner: this.key('cosigner bundle'),
      operator: this.key('operator bundle'),
      roster: this.key('cosigner roster'),
      plexi: this.key('cosigner plexi'),
      revokers: [this.key('revoker bundle')],
      policyKeys: {
        threshold: 2,
        keys: (['anna', 'bela', 'cecil'] as const).map((name) => this.key(`${name} policy`)),
      },
    };
  }

  /** Makes the log's and the witnesses' stores, and runs all of them by this policy. */
  async serve(policy: string, approvers: readonly string[]): Promise<void> {
    const listen = (offset: number) => ({ host: '127.0.0.1', port: this.#base + offset });
    const common = (party: Party, monitoring: number) => ({
      token: {
        module: findSoftHsm(),
        label: party,
        pinFile: this.path('pin'),
        softhsmConfiguration: this.#softHsm(party),
      },
      journal: this.path(`${party}.journal`),
      store: { directory: this.path(`${party}-store`) },
      metrics: listen(monitoring),
      rateLimit: { requests: 0 },
    });
    for (const [i, party] of (['w1', 'w2', 'w3'] as const).entries()) {
      const [, role, name] = PARTIES.find(([known]) => known === party)!;
      const config = this.put(`${party}.json`, {
        ...common(party, 20 + i),
        name,
        audit: role === 'auditor',
        policies: [policy],
        listen: { ...listen(10 + i), plainHttp: true },
      });
      await this.#init(party, 'witness', config);
      await this.#start(party, 'witness', config);
    }
    const { authorityPem, certificatePem, privateKeyPem } = await this.pki.issue('cosigner', 'cosigner-1');
    const config = this.put('cosigner.json', {
      ...common('cosigner', 23),
      name: 'cosigner.example',
      policy,
      files: { directory: this.path('cosigner-files') },
      // Nothing outside of this machine is asked.
      evidence: { fetch: false },
      listen: { ...listen(0), plainHttp: true },
      submission: {
        ...listen(1),
        authorityName: AUTHORITY,
        authority: this.put('authority.pem', authorityPem),
        certificate: this.put('cosigner.pem', certificatePem),
        key: this.put('cosigner.key', privateKeyPem),
      },
      approvers,
    });
    await this.#init('cosigner', 'cosigner', config);
    await this.#start('cosigner', 'cosigner', config);
    await this.#untilReady();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, ended } of this.#running) {
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  #witnessKey(party: 'w1' | 'w2' | 'w3'): string {
    return this.key(`${party} ${party === 'w3' ? 'witness' : 'audit'}`);
  }

  #softHsm(party: Party): string {
    mkdirSync(this.path(party), { recursive: true, mode: 0o700 });
    return writeSoftHsmConfiguration(this.path(party));
  }

  #environment(party: Party): Record<string, string> {
    return { SOFTHSM2_CONF: this.#softHsm(party) };
  }

  async #makeKeys(party: Party, role: string, name: string): Promise<void> {
    const origin = role === 'cosigner' ? ['--origin', ORIGIN] : [];
    const pins = ['--pin-file', this.path('pin'), '--so-pin-file', this.path('pin')];
    const made = await this.ok(
      party,
      'signer',
      'keys',
      '--role',
      role,
      '--name',
      name,
      ...origin,
      '--label',
      party,
      ...pins,
    );
    for (const { purpose, verifierKey } of made.keys as { purpose: string; verifierKey: string }[]) {
      this.keys.set(`${party} ${purpose}`, verifierKey);
    }
  }

  async #init(party: Party, group: string, config: string): Promise<void> {
    await this.ok(party, group, 'init', '--config', config);
  }

  /** The cosigner takes nothing before a quorum of witnesses has confirmed its log. */
  async #untilReady(): Promise<void> {
    const end = performance.now() + 300_000;
    for (;;) {
      const answer = await fetch(`${this.logUrl}/readyz`);
      if (answer.ok) return;
      if (performance.now() > end) throw new Error(`the cosigner is not ready: ${await answer.text()}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  /** Resolves when it listens. */
  async #start(party: Party, group: string, config: string): Promise<void> {
    const child = spawn(process.execPath, [entry, group, 'serve', '--config', config], {
      env: cleanEnvironment(this.#environment(party)),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    this.#running.push({ child, ended });
    let seen = '';
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (data: Buffer) => {
          seen += data.toString('utf8');
          if (seen.includes('"listening"')) resolve();
        });
      }
      child.once('close', (code) => reject(new Error(`${party} ended with ${code}: ${seen}`)));
    });
  }
}
