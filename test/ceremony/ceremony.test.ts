/** Whole ceremonies on real tokens, in real processes. */

import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { madeKeys, readTranscript } from '../../src/ceremony/index.ts';
import { Secret, toBase64Url, utf8 } from '../../src/core/index.ts';
import {
  checkCeremony,
  checkNodeKeys,
  parseEvidenceManifest,
  parseSigstoreBundle,
  parseStatement,
  presenceText,
  publicKeyOf,
  publicKeyPem,
  verifySigstoreBundle,
  verifyWithKey,
} from '../../src/evidence/index.ts';
import { openPurposeKey } from '../../src/signer/index.ts';
import { openSigningToken, openToken, readSlots, setUserPin, tryPin } from '../../src/token/index.ts';
import type { LiveManifest } from '../../src/trust/index.ts';
import { json, Room, records } from './fixture.ts';

let room: Room;
beforeAll(() => {
  room = new Room();
});
afterAll(() => room.remove());

const secretOf = (file: string) => new Secret(utf8(room.read(file).trimEnd()));
const DESCRIPTION = 'ab'.repeat(32);

describe('a node’s ceremony', () => {
  const place = ['--fleet=main', '--node=node-1', '--label=node-1', '--seals'];
  let people: string[];
  const answers = {
    'destroy:officer': 'node-1',
    seals: 'A-17, A-18',
    'signature:Anna': '',
    'signature:Ben': '',
    'person:Carl': 'Carl',
  };
  const go = () => room.holdfast(['ceremony', 'run', room.file('one'), `--answers=${room.answers(answers)}`, '--json']);

  it('prints its script first, and touches nothing', async () => {
    people = [
      room.person('Anna', 'operator', 'Ed25519'),
      room.person('Ben', 'witness', 'P-256'),
      '--person=Carl=guest',
    ];
    const ran = await room.holdfast(['ceremony', 'run', room.file('one'), '--dry-run', ...place, ...people]);
    expect(ran.code).toBe(0);
    expect(ran.out).toContain('C_InitToken with label "node-1"');
    expect(ran.out).toContain('DESTROYS: the office of security officer');
    expect(ran.out).toContain('Carl (guest, without a key)');
    expect(room.has('one')).toBe(false);
    expect((await readSlots({ module: room.module })).every(({ initialised }) => !initialised)).toBe(true);
  });

  it('goes on, each time that something is missing, until all have signed', async () => {
    const words = ['ceremony', 'run', room.file('one'), ...place, ...people];
    const first = await room.holdfast([...words, `--answers=${room.answers({})}`, '--json']);
    expect(json(first)).toMatchObject({
      code: 'usage',
      error: { message: expect.stringContaining('destroy:officer') },
    });
    const other = await room.holdfast([...words, `--answers=${room.answers({})}`]);
    expect(other).toMatchObject({ code: 2, error: expect.stringContaining('goes on as it was planned') });
    expect(json(await go())).toMatchObject({ error: { message: expect.stringContaining('01-anna.sig') } });
    room.sign('Ben', 'P-256', 'one/to-sign/01-anna.txt', 'one/to-sign/01-anna.sig');
    expect(json(await go())).toMatchObject({ code: 'bad_input' });
    room.sign('Anna', 'Ed25519', 'one/transcript.jsonl', 'one/to-sign/01-anna.sig');
    expect(json(await go())).toMatchObject({ code: 'signature_invalid', exitCode: 6 });
    room.sign('Anna', 'Ed25519', 'one/to-sign/01-anna.txt', 'one/to-sign/01-anna.sig');
    expect(json(await go())).toMatchObject({ error: { message: expect.stringContaining('02-ben.sig') } });
    room.sign('Ben', 'P-256', 'one/to-sign/02-ben.txt', 'one/to-sign/02-ben.sig');
    expect(json(await go())).toMatchObject({
      ...{ code: 'ok', status: 'done', signed: ['Anna', 'Ben'], reported: ['Carl'], signedByToken: true, next: null },
      token: { label: 'node-1' },
    });
    const refusals = records(room, 'one').filter(({ result }) => result === 'failed');
    expect(refusals.map(({ step }) => step)).toEqual(['officer', ...Array(3).fill('person-1'), 'person-2']);
    expect(room.read('one/transcript.jsonl')).not.toContain(room.path);
  });

  it('leaves a token that services use, and nobody’s office', async () => {
    const { serial } = json(await go()).token as unknown as { serial: string };
    const keys = JSON.parse(room.read('one/keys.json')) as Record<string, string>;
    const access = { module: room.module, serial, pin: secretOf('one/private/pin') };
    const token = await openToken({ ...access, fleet: 'main', node: 'node-1', timeout: 60_000 });
    expect(toBase64Url(token.publicKeys.oprf)).toBe(keys.oprf);
    await token.close();
    expect(statSync(room.file('one/private/pin')).mode & 0o777).toBe(0o600);
    expect(readdirSync(room.file('one/private')).sort()).toEqual([
      'local.json',
      'pin',
      'signing.journal',
      'signing.journal.lock',
    ]);
    expect(room.read('one/private/pin')).toMatch(/^[a-km-np-z2-9]{24}\n$/);
    expect(await tryPin(access, { serial }, 'security officer', secretOf('one/private/pin'))).toBe('refused');
    const { progress } = readTranscript(readFileSync(room.file('one/transcript.jsonl')));
    expect(progress.outcome('officer').facts).toEqual({ oldPin: 'refused', sources: ['system', 'token'] });
    expect(progress.outcome('user-pin').facts).toEqual({ sources: ['system', 'token'] });
    expect(JSON.stringify(progress.records)).not.toContain(room.read('one/private/pin').trim());
  });

  it('gives statements that others verify', async () => {
    const out = `--out=${room.file('evidence')}`;
    const of = `--description=${DESCRIPTION}`;
    const possession = json(await room.holdfast(['ceremony', 'possession', room.file('one'), of, out, '--json']));
    expect(possession).toMatchObject({ code: 'ok', node: 'node-1' });
    const words = ['ceremony', 'statement', room.file('one'), of, out, '--json'];
    expect(json(await room.holdfast(words))).toMatchObject({ code: 'not_approved', exitCode: 7, status: 'waiting' });
    room.sign('Anna', 'Ed25519', 'one/to-sign/statement/01-anna.txt', 'one/to-sign/statement/01-anna.sig');
    room.sign('Ben', 'P-256', 'one/to-sign/01-anna.txt', 'one/to-sign/statement/02-ben.sig');
    expect(json(await room.holdfast(words))).toMatchObject({ code: 'signature_invalid' });
    room.sign('Ben', 'P-256', 'one/to-sign/statement/02-ben.txt', 'one/to-sign/statement/02-ben.sig');
    expect(json(await room.holdfast(words))).toMatchObject({
      status: 'done',
      signed: ['Anna', 'Ben'],
      withoutKey: ['Carl'],
    });

    const parts = (name: string) => JSON.parse(room.read(`evidence/parts-${name}.json`)) as Parts;
    const keys = parts('ceremony').keys.map((key) => ({
      ...key,
      spki: Uint8Array.from(Buffer.from(key.spki, 'base64')),
    }));
    const load = (name: string) =>
      verifySigstoreBundle(readFileSync(room.file(`evidence/${parts(name).statements[0]!.address}`)), keys);
    const ceremony = load('ceremony');
    const nodeKeys = load('node-1');
    if (ceremony.kind !== 'ceremony' || nodeKeys.kind !== 'node-keys') throw new Error('other statements');
    for (const person of ceremony.predicate.people) {
      const text = utf8(presenceText(DESCRIPTION, ceremony.predicate, person));
      expect(verifyWithKey(person.key, text, person.signature)).toBe(true);
    }
    expect(ceremony.predicate.tokens[0]).toMatchObject({
      node: 'node-1',
      seals: ['A-17', 'A-18'],
      module: 'libsofthsm2.so',
    });
    expect(ceremony.predicate.destroyed.map(({ what }) => what)).toEqual([
      'the PIN of the security officer of the token node-1',
      'the file of the set-up PIN of the token node-1',
    ]);
    expect(ceremony.predicate.steps.some(({ result }) => result === 'failed')).toBe(true);
    expect(nodeKeys.predicate.keys.map(({ name, proof }) => [name, proof.kind])).toEqual([
      ['identity', 'signature'],
      ['session', 'none'],
      ['oprf', 'none'],
      ['tweak', 'none'],
      ['anchor', 'none'],
    ]);
    const transcript = readFileSync(room.file(`evidence/${ceremony.predicate.transcript}.txt`));
    expect(transcript.equals(readFileSync(room.file('one/transcript.jsonl')))).toBe(true);

    const { keys: made } = ceremony.predicate.keys[0]!;
    const node = {
      ...{ name: 'node-1', keys: made },
      operator: 'o',
      region: 'r',
      tokenClass: 'declared',
      endpoint: 'https://n',
    };
    const manifest = { nodes: [node] } as unknown as LiveManifest;
    expect(checkNodeKeys(nodeKeys, manifest)).toMatchObject({ signed: ['identity'], agreed: [] });
    expect(checkCeremony(ceremony, manifest, [nodeKeys])).toEqual({ made: ['node-1'], earlier: [] });
    expect(json(await room.holdfast(['evidence', 'assemble', room.file('evidence'), '--json']))).toMatchObject({
      code: 'ok',
    });
    const evidence = parseEvidenceManifest(readFileSync(room.file('evidence/evidence.json')));
    expect(evidence.statements.map(({ kind }) => kind).sort()).toEqual(['ceremony', 'node-keys']);
    expect(evidence.files.map(({ kind }) => kind)).toEqual(['transcript']);
  });

  it('proves that it has its keys for key agreement to a witness who kept a secret until the node had answered', async () => {
    const ok = async (...words: string[]) => {
      const ran = json(await room.holdfast([...words, '--json']));
      expect(ran).toMatchObject({ code: 'ok' });
      return ran;
    };
    const challenge = (node: string) => [
      ...['evidence', 'challenge', `--description=${DESCRIPTION}`, '--fleet-name=main', `--node=${node}`],
      ...[`--out=${room.file(`${node}.challenge`)}`, `--secrets=${room.file(`${node}.secrets`)}`],
    ];
    await ok(...challenge('node-1'));
    await ok(...challenge('node-2'));
    expect(statSync(room.file('node-1.secrets')).mode & 0o777).toBe(0o600);
    const answer = (node: string) => [
      ...['ceremony', 'answer', room.file('one'), room.file(`${node}.challenge`), `--out=${room.file('answers')}`],
    ];
    const wrong = json(await room.holdfast([...answer('node-2'), '--json']));
    expect(wrong).toMatchObject({ code: 'evidence_mismatch', exitCode: 6 });
    await ok(...answer('node-1'));
    const possession = (...more: string[]) => [
      ...['ceremony', 'possession', room.file('one'), `--description=${DESCRIPTION}`, `--out=${room.file('proven')}`],
      ...more,
    ];
    const files = [`--challenge=${room.file('node-1.challenge')}`, `--answers=${room.file('answers')}`];
    expect(json(await room.holdfast([...possession(...files), '--json']))).toMatchObject({ code: 'usage' });
    const others = `--secrets=${room.file('node-2.secrets')}`;
    expect(json(await room.holdfast([...possession(...files, others), '--json']))).toMatchObject({
      code: 'possession_invalid',
      exitCode: 6,
    });
    await ok(...possession(...files, `--secrets=${room.file('node-1.secrets')}`));
    const { address } = (JSON.parse(room.read('proven/parts-node-1.json')) as Parts).statements[0]!;
    const statement = parseStatement(parseSigstoreBundle(readFileSync(room.file(`proven/${address}`))).payload);
    if (statement.kind !== 'node-keys') throw new Error('another statement');
    const points = Object.fromEntries(statement.predicate.keys.map(({ name, publicKey }) => [name, publicKey]));
    const node = {
      name: 'node-1',
      keys: points,
      operator: 'o',
      region: 'r',
      tokenClass: 'declared',
      endpoint: 'https://n',
    };
    const found = checkNodeKeys(statement, { nodes: [node] } as unknown as LiveManifest);
    expect(found).toMatchObject({ signed: ['identity'], unproven: ['tweak', 'anchor'] });
    expect(found.agreed.map(({ key }) => key)).toEqual(['session', 'oprf']);
  });

  it('shows every change made afterwards', async () => {
    const show = () => room.holdfast(['ceremony', 'show', room.file('one'), '--json']);
    expect(json(await show())).toMatchObject({ code: 'ok', torn: 0 });
    const before = room.read('one/transcript.jsonl');
    room.write('one/transcript.jsonl', before.replace('seals A-17', 'seals A-71'));
    expect(json(await show())).toMatchObject({ code: 'ceremony_damaged' });
    // With a new chain over the change, the people's signatures do not fit.
    room.write(
      'one/transcript.jsonl',
      rechained(before, (line) => line.replace('seals A-17', 'seals A-71')),
    );
    expect(json(await show())).toMatchObject({
      code: 'signature_invalid',
      error: { message: expect.stringContaining('Anna') },
    });
    // What comes after their signatures, the token's own signature covers.
    room.write(
      'one/transcript.jsonl',
      rechained(before, (line) => line.replace(/"answer":"Carl"/, '"answer":"carl"')),
    );
    expect(json(await show())).toMatchObject({ error: { message: expect.stringContaining('token') } });
    room.write('one/transcript.jsonl', before);
    appendFileSync(room.file('one/transcript.jsonl'), '{"kind":"closed"}\n');
    expect(json(await show())).toMatchObject({ code: 'ceremony_damaged' });
    room.write('one/transcript.jsonl', before);
    expect((await show()).code).toBe(0);
  });
});

interface Parts {
  readonly keys: { readonly name: string; readonly algorithm: 'Ed25519' | 'P-256'; readonly spki: string }[];
  readonly statements: { readonly address: string }[];
}

/** A transcript of which the chain was made anew over a change, as whoever has the file can do. */
function rechained(text: string, change: (line: string) => string): string {
  let previous = '0'.repeat(64);
  const lines = text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const changed = change(line).replace(/"previous":"[0-9a-f]{64}"/, `"previous":"${previous}"`);
      previous = createHash('sha256').update(changed).digest('hex');
      return `${changed}\n`;
    });
  return lines.join('');
}

describe('a signing token’s ceremony', () => {
  it('makes a role’s keys, which open as any of that role, and one for the transcript', async () => {
    const answers = room.answers({ 'destroy:officer': 'op', 'person:Anna': 'Anna' });
    const words = [
      '--role=operator',
      '--name=operator.example',
      '--label=op',
      '--person=Anna=operator',
      '--characters=12',
    ];
    const ran = await room.holdfast(['ceremony', 'run', room.file('op'), ...words, `--answers=${answers}`, '--json']);
    const { token, keys } = json(ran) as unknown as {
      token: { serial: string };
      keys: { keys: { purpose: string; verifierKey: string }[] };
    };
    expect(keys.keys.map(({ purpose }) => purpose)).toEqual(['bundle', 'evidence']);
    expect(room.read('op/private/pin')).toHaveLength(13);
    const signing = await openSigningToken({
      module: room.module,
      serial: token.serial,
      pin: secretOf('op/private/pin'),
      timeout: 60_000,
    });
    try {
      const journal = { append: async () => undefined };
      const scope = { purpose: 'evidence' } as const;
      const key = await openPurposeKey({ token: signing, name: 'operator.example/evidence', scope, journal });
      expect(key.note.verifierKey).toBe(keys.keys[1]!.verifierKey);
      await openPurposeKey({ token: signing, name: 'operator.example/ceremony', scope, journal });
    } finally {
      await signing.close();
    }
    expect(parseSigstoreBundle(readFileSync(room.file('op/transcript.sigstore.json'))).key).toBe(
      'operator.example/ceremony',
    );
    const statement = [
      'ceremony',
      'statement',
      room.file('op'),
      `--description=${DESCRIPTION}`,
      `--out=${room.file('none')}`,
    ];
    expect(await room.holdfast(statement)).toMatchObject({
      code: 2,
      error: expect.stringContaining('nodes of one fleet'),
    });
  });
});

describe('a token that is initialised already', () => {
  const label = 'taken';
  const run = (folder: string, ...more: string[]) =>
    room.holdfast([
      ...['ceremony', 'run', room.file(folder), '--json'],
      ...(more.length > 0 ? more : []),
      ...(room.has(folder) ? [] : ['--fleet=main', '--node=node-2', `--label=${label}`, '--person=Anna=operator']),
      `--answers=${room.answers({ 'destroy:officer': label, 'destroy:initialise': label, 'person:Anna': 'Anna' })}`,
    ]);

  beforeAll(async () => {
    room.write('so-pin', 'officer-1\n');
    room.write('user-pin', 'user-pin-1\n');
    const { initialiseToken } = await import('../../src/token/index.ts');
    const pins = { soPin: secretOf('so-pin'), userPin: secretOf('user-pin') };
    await initialiseToken({ module: room.module, label, ...pins });
  });

  const serialOf = async () =>
    (await readSlots({ module: room.module })).find(({ token }) => token.label === label)!.token.serial;

  it('is refused without a word that says so', async () => {
    expect(json(await run('refused'))).toMatchObject({ code: 'token_unsuitable' });
    const slot = (await readSlots({ module: room.module })).find(({ token }) => token.label === label)!.slot;
    const other = await room.holdfast([
      ...['ceremony', 'run', room.file('slot'), '--fleet=main', '--node=node-2', '--label=other', `--slot=${slot}`],
      ...['--person=Anna=operator', `--answers=${room.answers({})}`],
    ]);
    expect(other).toMatchObject({ code: 6, error: expect.stringContaining('--destroy-existing') });
    expect(await tryPin({ module: room.module }, { label }, 'user', secretOf('user-pin'))).toBe('accepted');
  });

  it('is taken as it is with --take-prepared, by its user’s PIN alone, and only without such keys', async () => {
    const prepared = ['--take-prepared', `--pin-file=${room.file('user-pin')}`];
    const done = json(await run('prepared', ...prepared));
    expect(done).toMatchObject({ code: 'ok', status: 'done' });
    expect((done.steps as unknown as { step: string }[]).map(({ step }) => step)).not.toContain('officer');
    expect(json(await run('again', ...prepared))).toMatchObject({
      code: 'token_unsuitable',
      error: { message: expect.stringContaining('takes over no key') },
    });
    // Its security officer is who it was.
    await setUserPin({ module: room.module }, { label }, secretOf('so-pin'), secretOf('user-pin'));
  });

  it('is destroyed with --destroy-existing, after a person has typed its label, and by its officer’s PIN', async () => {
    const flags = ['--destroy-existing', `--so-pin-file=${room.file('so-pin')}`];
    const plan = ['--fleet=main', '--node=node-2', `--label=${label}`, '--person=Anna=operator'];
    const start = ['ceremony', 'run', room.file('over'), '--json', ...flags, ...plan];
    const refused = await room.holdfast([...start, `--answers=${room.answers({ 'destroy:initialise': 'yes' })}`]);
    expect(json(refused)).toMatchObject({ code: 'not_approved' });
    expect(await tryPin({ module: room.module }, { label }, 'user', secretOf('user-pin'))).toBe('accepted');
    expect(json(await run('over'))).toMatchObject({ code: 'ok', status: 'done' });
    expect(await tryPin({ module: room.module }, { label }, 'user', secretOf('user-pin'))).toBe('refused');
    expect(await tryPin({ module: room.module }, { label }, 'security officer', secretOf('so-pin'))).toBe('refused');
    expect(await serialOf()).not.toBe('');
  });
});

describe('a token made of files', () => {
  it('is on stable storage before a step that changed it counts as done', async () => {
    const answers = room.answers({ 'destroy:officer': 's', 'person:Anna': 'Anna' });
    const plan = ['--fleet=main', '--node=s', '--label=s', '--person=Anna=operator'];
    const ran = await room.holdfast(['ceremony', 'run', room.file('s'), ...plan, `--answers=${answers}`, '--json'], {
      preload: join(import.meta.dirname, 'sync-preload.ts'),
      environment: { HOLDFAST_TEST_SYNCS: room.file('syncs') },
    });
    expect(json(ran)).toMatchObject({ code: 'ok', status: 'done' });
    const told = room.read('syncs').split('\n');
    for (const step of ['initialise', 'user-pin', 'keys', 'officer']) {
      const work = told.slice(told.indexOf(`record began ${step}`), told.indexOf(`record ended ${step}`));
      const synced = work.filter((line) => line.startsWith(`synced ${room.path}/hsm/tokens/`));
      expect([step, synced.some((line) => line.endsWith('.object'))]).toEqual([step, true]);
    }
  });
});

describe('certificates of a vendor', () => {
  it('that name a new key are kept with those that issued them, and go into the statement on that key', async () => {
    const answers = room.answers({ 'destroy:officer': 'v', 'person:Anna': 'Anna' });
    const plan = [
      '--fleet=main',
      '--node=v',
      '--label=v',
      '--person=Anna=operator',
      `--attestation=${room.file('vendor.pem')}`,
    ];
    const run = ['ceremony', 'run', room.file('v'), `--answers=${answers}`, '--json'];
    // The vendor's tool writes them when the keys are there, in a second window.
    const missing = json(await room.holdfast([...run, ...plan]));
    expect(missing).toMatchObject({ code: 'usage', error: { message: expect.stringContaining('vendor.pem') } });
    const { progress } = readTranscript(readFileSync(room.file('v/transcript.jsonl')));
    const [identity] = madeKeys({ progress });
    const spki = publicKeyOf('P-256', identity!.publicKey!);
    room.write('identity.pub', publicKeyPem(spki));
    const openssl = (...words: string[]) =>
      execFileSync('openssl', words, { cwd: room.path, stdio: ['ignore', 'pipe', 'ignore'] });
    const issue = (name: string, issuer: string, ...key: string[]) =>
      openssl(
        'x509',
        '-new',
        '-subj',
        `/CN=${name}`,
        '-days',
        '9',
        '-CA',
        `${issuer}.crt`,
        '-CAkey',
        `${issuer}.key`,
        ...key,
        '-out',
        `${name}.crt`,
      );
    for (const name of ['root', 'device', 'other']) {
      openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${name}.key`);
      openssl('pkey', '-in', `${name}.key`, '-pubout', '-out', `${name}.pub`);
    }
    openssl('req', '-x509', '-new', '-key', 'root.key', '-subj', '/CN=root', '-days', '9', '-out', 'root.crt');
    issue('device', 'root', '-force_pubkey', 'device.pub');
    issue('identity', 'device', '-force_pubkey', 'identity.pub');
    issue('other', 'root', '-force_pubkey', 'other.pub');
    room.write('vendor.pem', ['other', 'root', 'identity', 'device'].map((name) => room.read(`${name}.crt`)).join(''));
    expect(json(await room.holdfast(run))).toMatchObject({ code: 'ok', status: 'done' });

    const digestOf = (name: string) =>
      createHash('sha256')
        .update(new X509Certificate(room.read(`${name}.crt`)).raw)
        .digest('hex');
    const chain = [digestOf('identity'), digestOf('device')];
    const found = records(room, 'v').find(
      ({ kind, step, result }) => kind === 'ended' && step === 'certificates' && result === 'done',
    );
    expect(found!.facts).toMatchObject({ chains: [{ label: 'holdfast/main/v/identity', sha256: chain }] });
    expect(readdirSync(room.file('v/certificates')).sort()).toEqual(chain.map((digest) => `${digest}.der`).sort());
    const words = [
      'ceremony',
      'possession',
      room.file('v'),
      `--description=${DESCRIPTION}`,
      `--out=${room.file('ve')}`,
      '--json',
    ];
    expect(
      (json(await room.holdfast(words)).files as unknown as string[]).filter((name) => name.endsWith('.cer')).sort(),
    ).toEqual(chain.map((digest) => `${digest}.cer`).sort());
    const { address } = (JSON.parse(room.read('ve/parts-v.json')) as Parts).statements[0]!;
    const statement = parseStatement(parseSigstoreBundle(readFileSync(room.file(`ve/${address}`))).payload);
    if (statement.kind !== 'node-keys') throw new Error('another statement');
    expect(statement.predicate.keys.map(({ name, attestation }) => [name, attestation.length])).toEqual([
      ['identity', 2],
      ...['session', 'oprf', 'tweak', 'anchor'].map((name) => [name, 0]),
    ]);
    // One that was changed since is not published.
    room.write(`v/certificates/${chain[1]}.der`, 'something else');
    expect(json(await room.holdfast(words))).toMatchObject({ code: 'ceremony_damaged' });
  });
});
