/** Sites and cosigners that answer what they please: nothing crashes, hangs or is believed, and each failure has its code. */

import { createServer as createHttp, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CosignerSite, HttpSubmission, readLog } from '../../src/operator/index.ts';
import { type TlsIdentity, tlsServerOptions } from '../../src/pki/index.ts';
import { digestOf, MAXIMUM_TRUST_SET, type SignedPolicy, serialiseBundle, tilePath } from '../../src/trust/index.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';
import { signPolicy, TestLog, trustPolicy } from '../trust/fixture.ts';
import { deployment, NOW } from '../trust/manifests.ts';
import { codeOf, EVIDENCE } from './bench.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

interface Answer {
  readonly status?: number;
  readonly body?: string | Uint8Array;
}

/** Answers by path; what is not there is 404. Notes what was asked. */
function answering(answers: Readonly<Record<string, Answer | 'hang'>>, asked: string[] = []): RequestListener {
  return (request, response) => {
    let body = '';
    request.on('data', (data) => {
      body += data;
    });
    request.on('end', () => {
      asked.push(`${request.method} ${request.url} ${request.headers['content-type'] ?? ''} ${body}`);
      const answer = answers[request.url ?? ''];
      if (answer === 'hang') return;
      response.writeHead(answer?.status ?? (answer ? 200 : 404)).end(answer?.body ?? '{}');
    });
  };
}

describe('a site', () => {
  let policy: SignedPolicy;
  beforeAll(async () => {
    policy = await signPolicy(trustPolicy());
  });

  async function site(
    answers: Parameters<typeof answering>[0],
    asked?: string[],
    timeout = 60_000,
  ): Promise<CosignerSite> {
    const port = await listen(createHttp(answering(answers, asked)));
    return new CosignerSite({ url: `http://127.0.0.1:${port}`, timeout });
  }

  it('has an address that nothing else can be made of', async () => {
    for (const url of [
      'http://log.example',
      'ftp://log.example',
      'log.example',
      'https://a:b@log.example',
      'https://x/?q',
    ]) {
      expect(await codeOf(() => new CosignerSite({ url }))).toBe('usage');
    }
  });

  it('may be a mirror without the newest checkpoint, or have none yet', async () => {
    await using mirror = await site({ '/checkpoint': { body: 'the checkpoint' } });
    expect(new TextDecoder().decode(await mirror.checkpoint('newest'))).toBe('the checkpoint');
    await using empty = await site({});
    expect(await empty.checkpoint('witnessed')).toBeUndefined();
    expect(await empty.trustSet('first')).toBeUndefined();
    expect(await empty.policy(3)).toBeUndefined();
    expect((await readLog(policy, empty, { which: 'newest', now: NOW })).entries).toEqual([]);
  });

  it('cannot make a reader fetch without end', async () => {
    await using large = await site({ '/trust/first': { body: 'x'.repeat(MAXIMUM_TRUST_SET + 1) } });
    expect(await codeOf(() => large.trustSet('first'))).toBe('too_large');
    await using slow = await site({ '/trust/first': 'hang' }, [], 200);
    expect(await codeOf(() => slow.trustSet('first'))).toBe('not_ready');
    const log = new TestLog(policy);
    await log.append();
    const huge = `${log.state.origin}\n9007199254740991\n${'A'.repeat(43)}=\n\n— x AAAAAAA=\n`;
    await using endless = await site({ '/latest-checkpoint': { body: huge } });
    expect(await codeOf(() => readLog(policy, endless, { which: 'newest', now: NOW }))).toBe('too_large');
  });

  it('is refused where it serves no checkpoint but something else', async () => {
    for (const body of ['', 'hello', '\n\n', '{"checkpoint":1}', new Uint8Array([0xff, 0xfe])]) {
      await using wrong = await site({ '/latest-checkpoint': { body } });
      expect(await codeOf(() => readLog(policy, wrong, { which: 'newest', now: NOW }))).toBe('malformed');
    }
  });

  it('takes the full tile where the partial one has gone, and bundles by their digest', async () => {
    const tile = tilePath({ level: 0, index: 0, width: 256 });
    const text = serialiseBundle(deployment());
    const digest = digestOf(text);
    await using served = await site({
      [`/${tile}`]: { body: new Uint8Array(8192) },
      [`/trust/bundles/${digest}`]: { body: text },
    });
    expect(await served.trustReader.bundleText(digest)).toBe(text);
    expect(await codeOf(() => served.trustReader.bundleText('a'.repeat(64)))).toBe('not_ready');
    expect((await served.trustReader.consistencyProof(3, 200)).length).toBeGreaterThan(0);
    await using empty = await site({});
    expect(await codeOf(() => empty.trustReader.consistencyProof(3, 200))).toBe('not_ready');
  });

  it('passes on what it refuses with, and nothing that it makes up', async () => {
    const refusing = async (status: number, body: unknown) => {
      await using refused = await site({ '/submit/acceptance': { status, body: JSON.stringify(body) } });
      return await codeOf(() => refused.submit('acceptance', 'note'));
    };
    expect(await refusing(409, { code: 'conflict', detail: 'void' })).toBe('conflict');
    expect(await refusing(500, { code: 'unexpected', detail: 'a stack' })).toBe('not_ready');
    expect(await refusing(400, { code: 'toString', detail: 7 })).toBe('not_ready');
    expect(await refusing(502, [])).toBe('not_ready');
    expect(await refusing(200, { status: 'pending', digest: 'a' })).toBe('malformed');
    expect(await refusing(200, { status: 'logged', note: 'n', index: -1, digest: 'a' })).toBe('malformed');
  });
});

describe('a submission', () => {
  let pki: TestFleet;
  let olga: TlsIdentity;
  beforeAll(async () => {
    pki = await createFleet('family');
    olga = await pki.issue('operator', 'olga');
  });

  async function cosigner(
    answers: Parameters<typeof answering>[0],
    { role = 'cosigner', asked = [] as string[], of = pki } = {} as {
      role?: 'cosigner' | 'node';
      asked?: string[];
      of?: TestFleet;
    },
  ): Promise<string> {
    const tls = tlsServerOptions(await of.issue(role, 'cosigner-1'));
    return `https://127.0.0.1:${await listen(createHttps(tls as object, answering(answers, asked)))}`;
  }

  it('sends each kind as the cosigner wants it', async () => {
    const asked: string[] = [];
    const logged = { body: JSON.stringify({ status: 'logged', note: 'n', index: 4, digest: 'd' }) };
    const url = await cosigner({ '/submit/proposal': logged, '/submit/evidence': { body: '{"index":2}' } }, { asked });
    await using submission = new HttpSubmission({ url, tls: olga });
    expect(await submission.evidence(EVIDENCE)).toBe(2);
    expect(await submission.proposal('the text')).toMatchObject({ status: 'logged', index: 4 });
    expect(asked).toEqual([
      `POST /submit/evidence application/json ${JSON.stringify({ sha256: EVIDENCE.sha256, size: EVIDENCE.size, address: EVIDENCE.address })}`,
      'POST /submit/proposal text/plain the text',
    ]);
  });

  it('talks to nobody but a cosigner of the same authority', async () => {
    const asked: string[] = [];
    const stranger = await createFleet('family');
    for (const url of [await cosigner({}, { role: 'node', asked }), await cosigner({}, { of: stranger, asked })]) {
      await using submission = new HttpSubmission({ url, tls: olga });
      expect(await codeOf(() => submission.proposal('the text'))).toBe('untrusted');
    }
    expect(asked).toEqual([]);
  });

  it('needs a certificate of the role operator, and HTTPS', async () => {
    const node = await pki.issue('node', 'node-1');
    expect(await codeOf(() => new HttpSubmission({ url: 'https://127.0.0.1:1', tls: node }))).toBe('usage');
    const none = { ...olga, certificatePem: 'no certificate' };
    expect(await codeOf(() => new HttpSubmission({ url: 'https://127.0.0.1:1', tls: none }))).toBe('usage');
    expect(await codeOf(() => new HttpSubmission({ url: 'http://127.0.0.1:1', tls: olga }))).toBe('usage');
  });

  it('believes no waiting proposal whose digest is not its text’s', async () => {
    const text = serialiseBundle(deployment());
    const waiting = (digest: string) => ({ body: JSON.stringify({ waiting: [{ digest, text, since: 1 }] }) });
    const right = await cosigner({ '/submit/waiting': waiting(digestOf(text)) });
    await using submission = new HttpSubmission({ url: right, tls: olga });
    expect(await submission.waiting()).toEqual([{ digest: digestOf(text), text, since: 1 }]);
    const wrong = await cosigner({ '/submit/waiting': waiting('a'.repeat(64)) });
    await using lied = new HttpSubmission({ url: wrong, tls: olga });
    expect(await codeOf(() => lied.waiting())).toBe('malformed');
  });

  it('ends in time, and when it is cancelled', async () => {
    const url = await cosigner({ '/submit/proposal': 'hang' });
    await using submission = new HttpSubmission({ url, tls: olga, timeout: 300 });
    expect(await codeOf(() => submission.proposal('the text'))).toBe('not_ready');
    await using other = new HttpSubmission({ url, tls: olga });
    expect(await codeOf(() => other.proposal('the text', AbortSignal.abort()))).toBe('cancelled');
  });

  it('reads answers within bounds', async () => {
    const url = await cosigner({ '/submit/proposal': { body: 'x'.repeat(300_000) }, '/submit/policy': { body: '[]' } });
    await using submission = new HttpSubmission({ url, tls: olga });
    expect(await codeOf(() => submission.proposal('the text'))).toBe('too_large');
    expect(await codeOf(() => submission.policy('the note'))).toBe('malformed');
  });
});
