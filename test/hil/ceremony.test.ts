/** A whole ceremony on a module that is not SoftHSM: Kryoptic, which keeps its token in a database. */

import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseSigstoreBundle, parseStatement } from '../../src/evidence/index.ts';
import { json, Room, records } from '../ceremony/fixture.ts';
import { findKryoptic, unless } from './modules.ts';

const DESCRIPTION = 'cd'.repeat(32);
let room: Room;
let environment: Record<string, string>;
beforeAll(() => {
  room = new Room();
  const tokens = room.file('kryoptic');
  mkdirSync(tokens, { mode: 0o700 });
  const configuration = room.file('kryoptic.conf');
  writeFileSync(configuration, `[[slots]]\nslot = 1\ndbtype = "sqlite"\ndbargs = "${tokens}/token.sql"\n`);
  environment = { KRYOPTIC_CONF: configuration };
});
afterAll(() => room.remove());

test.runIf(findKryoptic())(
  `Kryoptic: a node’s token and keys are made, attested to, and proven to be in use${unless(findKryoptic(), 'Kryoptic')}`,
  async () => {
    const run = async (...words: string[]) => json(await room.holdfast([...words, '--json'], { environment }));
    const anna = room.person('Anna', 'operator', 'Ed25519');
    const plan = [`--module=${findKryoptic()}`, '--fleet=main', '--node=node-1', '--label=node-1', '--slot=1', anna];
    const durable = `--sync-folder=${room.file('kryoptic')}`;
    const answers = `--answers=${room.answers({ 'destroy:officer': 'node-1', 'signature:Anna': '' })}`;
    const first = await run('ceremony', 'run', room.file('one'), ...plan, durable, answers);
    expect(first).toMatchObject({ code: 'usage', error: { message: expect.stringContaining('01-anna.sig') } });
    room.sign('Anna', 'Ed25519', 'one/to-sign/01-anna.txt', 'one/to-sign/01-anna.sig');
    expect(await run('ceremony', 'run', room.file('one'), answers)).toMatchObject({
      ...{ code: 'ok', status: 'done', signed: ['Anna'], signedByToken: true },
    });
    const failed = records(room, 'one').filter(({ result }) => result === 'failed');
    expect(failed.map(({ step }) => step)).toEqual(['person-1']);
    expect(statSync(room.file('kryoptic/token.sql')).size).toBeGreaterThan(0);

    const about = `--description=${DESCRIPTION}`;
    const [challenge, secrets, told] = ['challenge', 'secrets', 'told'].map((name) => room.file(name));
    const asked = ['--fleet-name=main', '--node=node-1', `--out=${challenge}`, `--secrets=${secrets}`];
    expect(await run('evidence', 'challenge', about, ...asked)).toMatchObject({ code: 'ok' });
    expect(await run('ceremony', 'answer', room.file('one'), challenge!, `--out=${told}`)).toMatchObject({
      code: 'ok',
    });
    const exchange = [`--challenge=${challenge}`, `--answers=${told}`, `--secrets=${secrets}`];
    const parts = [about, `--out=${room.file('evidence')}`];
    expect(await run('ceremony', 'possession', room.file('one'), ...parts, ...exchange)).toMatchObject({ code: 'ok' });
    expect(await run('ceremony', 'statement', room.file('one'), ...parts)).toMatchObject({ code: 'not_approved' });
    room.sign('Anna', 'Ed25519', 'one/to-sign/statement/01-anna.txt', 'one/to-sign/statement/01-anna.sig');
    expect(await run('ceremony', 'statement', room.file('one'), ...parts)).toMatchObject({ status: 'done' });
    expect(await run('evidence', 'assemble', room.file('evidence'))).toMatchObject({ code: 'ok', statements: 2 });

    const named = JSON.parse(room.read('evidence/parts-node-1.json')) as { statements: { address: string }[] };
    const bundle = parseSigstoreBundle(Buffer.from(room.read(`evidence/${named.statements[0]!.address}`)));
    const statement = parseStatement(bundle.payload);
    if (statement.kind !== 'node-keys') throw new Error('another statement');
    expect(statement.predicate.token.manufacturer).not.toBe('SoftHSM project');
    expect(statement.predicate.keys.map(({ name, proof }) => [name, proof.kind])).toEqual([
      ['identity', 'signature'],
      ['session', 'agreement'],
      ['oprf', 'agreement'],
      ['tweak', 'none'],
      ['anchor', 'none'],
    ]);
  },
);
