import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { format, inspect } from 'node:util';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/index.ts';

const BYTES = [222, 173, 190, 239, 17, 34, 51, 68];
const FORMS = ['deadbeef', '3q2-7w', '3q2+7w', '222', '173', 'de ad be ef'];

const make = () => new Secret(Uint8Array.from(BYTES));

function expectRedacted(text: string): void {
  expect(text).toContain('[redacted]');
  for (const form of FORMS) expect(text.toLowerCase()).not.toContain(form);
}

describe('a Secret', () => {
  it.each<[string, (secret: Secret) => string]>([
    ['toString', (secret) => secret.toString()],
    ['String', (secret) => String(secret)],
    ['a template literal', (secret) => `${secret}`],
    ['concatenation', (secret) => `x${[secret].join('')}`],
    ['JSON.stringify', (secret) => JSON.stringify(secret)],
    ['JSON.stringify deep inside', (secret) => JSON.stringify({ a: [{ secret }] })],
    ['util.inspect', (secret) => inspect(secret)],
    ['util.inspect with hidden fields', (secret) => inspect({ secret }, { showHidden: true, depth: null })],
    ['util.inspect with getters', (secret) => inspect([secret], { getters: true, showProxy: true })],
    ['util.format', (secret) => format('%s %o %O %j', secret, secret, secret, secret)],
    ['an error message', (secret) => new Error(`failed with ${secret}`).message],
    ['an inspected error cause', (secret) => inspect(new Error('failed', { cause: secret }))],
  ])('is redacted by %s', (_name, print) => {
    expectRedacted(print(make()));
  });

  it('is redacted by console.log, warn, error and dir', () => {
    const core = resolve(import.meta.dirname, '../../src/core/index.ts');
    const program = `
      import { Secret } from ${JSON.stringify(core)};
      const secret = new Secret(Uint8Array.from(${JSON.stringify(BYTES)}));
      console.log(secret, { secret }, 'as %s and %o', secret, secret);
      console.dir({ secret }, { showHidden: true });
      console.table([{ secret }]);`;
    expectRedacted(execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' }));
  });

  it('is redacted by the logger', () => {
    const lines: string[] = [];
    const logger = pino({}, { write: (line: string) => lines.push(line) });
    logger.info({ secret: make(), nested: { list: [make()] } }, 'opened');
    expect(lines).toHaveLength(1);
    expectRedacted(lines[0]!);
  });

  it('has nothing enumerable, nothing to clone and nothing to compare by', () => {
    const secret = make();
    expect(Reflect.ownKeys(secret)).toEqual([]);
    expect({ ...secret }).toEqual({});
    expect(structuredClone(secret)).toEqual({});
  });

  it('reveals its bytes on request only', () => {
    expect([...make().reveal()]).toEqual(BYTES);
  });

  it('owns the bytes it was given, and wipe overwrites them', () => {
    const bytes = Uint8Array.from(BYTES);
    const secret = new Secret(bytes);
    secret.wipe();
    expect([...bytes]).toEqual(BYTES.map(() => 0));
    expect([...secret.reveal()]).toEqual(BYTES.map(() => 0));
  });

  it('is wiped at the end of a using block', () => {
    const bytes = Uint8Array.from(BYTES);
    {
      using secret = new Secret(bytes);
      expect(secret.reveal()[0]).toBe(222);
    }
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });
});
