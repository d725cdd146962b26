import { describe, expect, it } from 'vitest';
import { asHoldfastError, ERROR_KINDS, type ErrorCode, HoldfastError, isErrorCode } from '../../src/core/index.ts';

const codes = Object.keys(ERROR_KINDS) as ErrorCode[];

describe('the table of errors', () => {
  it.each(codes)('%s has an exit code, a status, a title and a verdict on retrying', (code) => {
    const kind = ERROR_KINDS[code];
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(Number.isInteger(kind.exit)).toBe(true);
    // 0 would be success; shells give meanings of their own to codes from 126.
    expect(kind.exit).toBeGreaterThan(0);
    expect(kind.exit).toBeLessThan(126);
    expect(Number.isInteger(kind.status)).toBe(true);
    expect(kind.status).toBeGreaterThanOrEqual(400);
    expect(kind.status).toBeLessThan(600);
    expect(typeof kind.retryable).toBe('boolean');
    expect(kind.title).toMatch(/^[A-Z].*\.$/);
  });

  it('tells a wrong PIN, a spent budget and an unreachable majority apart by exit code', () => {
    const exits = (['wrong_pin', 'spent', 'no_majority', 'untrusted'] as const).map((code) => ERROR_KINDS[code].exit);
    expect(new Set(exits).size).toBe(exits.length);
  });

  it('never calls a final state retryable', () => {
    for (const code of ['wrong_pin', 'spent', 'destroyed', 'superseded', 'untrusted', 'store_refused'] as const) {
      expect(ERROR_KINDS[code].retryable, code).toBe(false);
    }
  });
});

describe('HoldfastError', () => {
  it('carries its code, message, cause and details, and looks the rest up', () => {
    const cause = new Error('below');
    const error = new HoldfastError('waiting', 'try again in 5 minutes', { cause, details: { seconds: 300 } });
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe('HoldfastError');
    expect(error.code).toBe('waiting');
    expect(error.message).toBe('try again in 5 minutes');
    expect(error.cause).toBe(cause);
    expect(error.details).toEqual({ seconds: 300 });
    expect(error.retryable).toBe(true);
    expect(error.exitCode).toBe(3);
  });

  it('has empty details and no cause of its own where none are given', () => {
    const error = new HoldfastError('spent', 'no attempts are left');
    expect(error.details).toEqual({});
    expect(Object.hasOwn(error, 'cause')).toBe(false);
  });
});

describe('asHoldfastError', () => {
  it('leaves a HoldfastError as it is', () => {
    const error = new HoldfastError('spent', 'no attempts are left');
    expect(asHoldfastError(error)).toBe(error);
  });

  it.each([
    [new TypeError('boom'), 'boom'],
    ['a string', 'a string'],
    [undefined, 'undefined'],
    [null, 'null'],
    [42, '42'],
    [{}, '[object Object]'],
  ])('makes %o unexpected and keeps it as the cause', (thrown, message) => {
    const error = asHoldfastError(thrown);
    expect(error.code).toBe('unexpected');
    expect(error.message).toBe(message);
    expect(error.cause).toBe(thrown);
  });

  it('survives a thrown thing that cannot become text', () => {
    expect(asHoldfastError(Object.create(null)).code).toBe('unexpected');
    const hostile = {
      toString() {
        throw new Error('no text');
      },
    };
    expect(asHoldfastError(hostile).code).toBe('unexpected');
    expect(asHoldfastError(Symbol('s')).code).toBe('unexpected');
  });
});

describe('isErrorCode', () => {
  it('knows exactly the codes of the table', () => {
    expect(codes.every(isErrorCode)).toBe(true);
    for (const text of ['', 'toString', '__proto__', 'constructor', 'Spent', 'spent ']) {
      expect(isErrorCode(text), text).toBe(false);
    }
  });
});
