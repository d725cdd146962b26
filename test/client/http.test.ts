/** The way to coordinators over HTTP: failover, bounds, cancellation, and no more belief in a refusal than it deserves. */

import { describe, expect, test } from 'vitest';
import { type Fetch, HttpTransport } from '../../src/client/index.ts';
import { ERROR_KINDS, type ErrorCode, HoldfastError } from '../../src/core/index.ts';
import { type ClientRequest, clientAnswerToJson, MAXIMUM_ANSWER_JSON } from '../../src/protocol/index.ts';

const request: ClientRequest = {
  fleet: 'f',
  epoch: 1,
  operation: 'status',
  record: new Uint8Array(32),
  generation: 0,
  attempt: 0,
  arguments: new Uint8Array(0),
  sealed: [],
};
const ANSWER = { nodes: [], certificate: undefined, portable: undefined };
const A = 'https://a.example';
const B = 'https://b.example';

const good = () => Response.json(clientAnswerToJson(ANSWER));
const problem = (code: string, status: number) => Response.json({ code, detail: 'words' }, { status });
const broken = (code: string) => {
  throw new TypeError('fetch failed', { cause: Object.assign(new Error(code), { code }) });
};

/** A transport whose coordinators answer as told; `asked` lists the addresses in order. */
function transport(answers: Record<string, () => Response | Promise<Response>>) {
  const asked: string[] = [];
  const fetch: Fetch = async (url) => {
    asked.push(url);
    return answers[new URL(url).origin]!();
  };
  return { asked, transport: new HttpTransport({ urls: Object.keys(answers), fetch }) };
}

const failure = async (sending: Promise<unknown>): Promise<HoldfastError> => {
  const thrown = await sending.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof HoldfastError) return thrown;
  throw new Error('no HoldfastError came');
};

describe('several coordinators', () => {
  test('are asked in turn, and the one that answered is asked first from then on', async () => {
    const { asked, transport: way } = transport({ [A]: () => broken('ECONNREFUSED'), [B]: good });
    expect(await way.send(request)).toEqual(ANSWER);
    expect(await way.send(request)).toEqual(ANSWER);
    expect(asked).toEqual([`${A}/v1/status`, `${B}/v1/status`, `${B}/v1/status`]);
  });

  test.each([
    ['no majority', () => problem('no_majority', 503)],
    ['a proxy’s error page', () => new Response('<html>', { status: 502 })],
    ['something that is no answer', () => Response.json({ nodes: 'many' })],
    ['members twice', () => new Response('{"nodes":[],"nodes":[]}')],
  ])('are all asked where one gives %s', async (_what, answer) => {
    const { transport: way } = transport({ [A]: answer, [B]: good });
    expect(await way.send(request)).toEqual(ANSWER);
  });

  test('that all fail are reported by what says most', async () => {
    const { transport: way } = transport({ [A]: () => broken('ECONNREFUSED'), [B]: () => broken('CERT_HAS_EXPIRED') });
    expect((await failure(way.send(request))).code).toBe('untrusted');
  });
});

describe('a coordinator', () => {
  const BELIEVED: readonly ErrorCode[] = [
    'no_majority',
    'not_ready',
    'overloaded',
    'other_epoch',
    'rate_limited',
    'malformed',
    'too_large',
  ];

  test.each(Object.keys(ERROR_KINDS) as ErrorCode[])(
    'that says %s is believed only where it can know',
    async (code) => {
      const { transport: way } = transport({ [A]: () => problem(code, ERROR_KINDS[code].status) });
      const error = await failure(way.send(request));
      if (BELIEVED.includes(code)) expect(error.code).toBe(code);
      else expect(['not_ready', 'malformed', 'usage', 'rate_limited']).toContain(error.code);
    },
  );

  test.each<[string, number, string | undefined, number | undefined]>([
    ['in seconds', 429, '7', 7],
    ['with a 503', 503, '120', 120],
    ['with what is no refusal for now', 400, '7', undefined],
    ['as a date', 429, 'Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    ['below nothing', 429, '-1', undefined],
    ['without end', 429, '9'.repeat(30), undefined],
    ['not at all', 429, undefined, undefined],
  ])('that says when to come back, %s, is taken at its word', async (_how, status, header, retryAfter) => {
    const headers = header === undefined ? {} : { 'retry-after': header };
    for (const body of [JSON.stringify({ code: 'rate_limited', detail: 'words' }), '<html>']) {
      const { transport: way } = transport({ [A]: () => new Response(body, { status, headers }) });
      expect((await failure(way.send(request))).details.retryAfter).toBe(retryAfter);
    }
  });

  test('that answers without end is cut off', async () => {
    let sent = 0;
    const endless = () =>
      new Response(
        new ReadableStream({
          pull(controller) {
            sent += 65_536;
            controller.enqueue(new Uint8Array(65_536));
          },
        }),
      );
    const { transport: way } = transport({ [A]: endless });
    expect((await failure(way.send(request))).code).toBe('untrusted');
    expect(sent).toBeLessThan(MAXIMUM_ANSWER_JSON + 10 * 65_536);
  });

  test('that never answers costs its timeout, no more', async () => {
    const fetch: Fetch = (_url, { signal }) =>
      new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)));
    const error = await failure(new HttpTransport({ urls: [A], fetch, timeout: 20 }).send(request));
    expect(error).toMatchObject({ code: 'no_majority', retryable: true });
    expect(error.message).toContain('did not answer in time');
    // The nodes may have counted what it was asked, and only its answer was late.
    expect(error.message).not.toMatch(/nothing (was|is) counted/);
  });

  test('is left at once when the caller cancels, and no other is asked', async () => {
    const cancel = new AbortController();
    const asked: string[] = [];
    const fetch: Fetch = (url, { signal }) => {
      asked.push(url);
      const answer = new Promise<Response>((_resolve, reject) =>
        signal!.addEventListener('abort', () => reject(signal!.reason)),
      );
      cancel.abort();
      return answer;
    };
    const error = await failure(new HttpTransport({ urls: [A, B], fetch }).send(request, cancel.signal));
    expect(error.code).toBe('cancelled');
    expect(asked.length).toBe(1);
  });
});

describe('an address', () => {
  test.each(['http://vault.example', 'ftp://x', 'vault.example', 'https://u:p@vault.example', 'https://v.example/?q'])(
    '%s is refused',
    (url) => {
      expect(() => new HttpTransport({ urls: [url] })).toThrow(expect.objectContaining({ code: 'usage' }));
    },
  );

  test('may be plain HTTP on loopback, and may have a path', async () => {
    const asked: string[] = [];
    const fetch: Fetch = async (url) => {
      asked.push(url);
      return good();
    };
    await new HttpTransport({ urls: ['http://127.0.0.1:8080/vault/'], fetch }).send(request);
    expect(asked).toEqual(['http://127.0.0.1:8080/vault/v1/status']);
  });

  test('is needed', () => {
    expect(() => new HttpTransport({ urls: [] })).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
