import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bytesToHex, utf8 } from '../../src/core/index.ts';
import { SoftwareToken, type TokenProfile } from '../../src/token/index.ts';
import { Anchors, changeData, findData } from '../../src/token/pkcs11/anchors.ts';
import type { Connection } from '../../src/token/pkcs11/connection.ts';
import { CK, type Cryptoki, type Handle, type Template } from '../../src/token/pkcs11/cryptoki.ts';
import { altered, ckr, connect, type SoftHsm, softHsm } from './fixture.ts';

let hsm: SoftHsm;
let connection: Connection;
let prefix = '';
let runs = 0;
beforeAll(async () => {
  hsm = await softHsm();
  connection = connect(hsm);
});
afterAll(() => {
  connection.close();
  hsm.remove();
});
beforeEach(() => {
  prefix = `test/${runs++}`;
});

const within = <T>(body: (session: Handle) => T) => connection.run('test', false, body);
const texts = (values: readonly Uint8Array[]) => values.map((value) => Buffer.from(value).toString()).sort();
const read = (anchors: Anchors) => texts(within((session) => anchors.read(session)));
const write = (anchors: Anchors, text: string) => within((session) => anchors.write(session, utf8(text)));

describe.each(['label', 'replace', 'key-label'] as const)('anchors by %s', (method: TokenProfile['anchor']) => {
  const make = (module: Cryptoki = connection.module) => new Anchors(module, method, prefix);

  it('replace the older one, whoever wrote before', () => {
    for (const [index, text] of ['1', '2', '3', '4', '5'].entries()) {
      write(make(), text); // a new reader each time, as after a restart
      expect(read(make())).toEqual(['1', '2', '3', '4', '5'].slice(Math.max(0, index - 1), index + 1));
    }
  });

  it('survive a write that is torn before it takes effect', () => {
    for (const text of ['1', '2', '3']) write(make(), text);
    const torn = make(
      altered(connection.module, {
        C_SetAttributeValue: () => {
          throw ckr('CKR_DEVICE_ERROR');
        },
        C_CreateObject: () => {
          throw ckr('CKR_DEVICE_ERROR');
        },
      }),
    );
    expect(() => write(torn, 'lost')).toThrow(expect.objectContaining({ code: 'token_failed' }));
    expect(read(make())).toContain('3');
    expect(read(make())).not.toContain('lost');
    write(make(), '4');
    expect(read(make())).toEqual(['3', '4']);
  });

  it('are both read again after a write whose result is unclear', () => {
    for (const text of ['1', '2']) write(make(), text);
    let unclear = true;
    const fail =
      <A extends unknown[], R>(call: (...args: A) => R) =>
      (...args: A): R => {
        const result = call(...args);
        if (!unclear) return result;
        unclear = false;
        throw ckr('CKR_GENERAL_ERROR');
      };
    const { module } = connection;
    const anchors = make(
      altered(module, {
        C_SetAttributeValue: fail(module.C_SetAttributeValue.bind(module)),
        C_CreateObject: fail(module.C_CreateObject.bind(module)),
      }),
    );
    expect(() => write(anchors, '3')).toThrow(expect.objectContaining({ code: 'token_failed' }));
    expect(read(make())).toEqual(['2', '3']);
    write(anchors, '4'); // must know that 3 took effect, and replace 2
    expect(read(make())).toEqual(['3', '4']);
  });

  it('reject a write that the token acknowledges but does not keep', () => {
    write(make(), '1');
    write(make(), '2');
    const { module } = connection;
    const garbled = (template: Template) =>
      template.map((attribute) =>
        Buffer.isBuffer(attribute.value) && attribute.value.length > 16
          ? { ...attribute, value: Buffer.alloc(attribute.value.length, 'A') }
          : attribute,
      );
    const forgetful = make(
      altered(module, {
        C_SetAttributeValue: () => undefined,
        C_CreateObject: (session, template) => module.C_CreateObject(session, garbled(template as Template)),
        C_GenerateKey: (session, mechanism, template) =>
          module.C_GenerateKey(session, mechanism, garbled(template as Template)),
      }),
    );
    expect(() => write(forgetful, '3')).toThrow(expect.objectContaining({ code: 'token_failed' }));
  });
});

describe('content that no write left', () => {
  const spoil = (suffix: string) =>
    within((session) => {
      const [object] = findData(connection.module, session, `${prefix}/${suffix}`);
      changeData(connection.module, session, object!, utf8('torn'), 'label');
    });

  it('leaves the other anchor, and is overwritten next', () => {
    const make = () => new Anchors(connection.module, 'label', prefix);
    for (const text of ['1', '2']) write(make(), text);
    spoil('1');
    expect(read(make())).toEqual(['1']);
    write(make(), '3');
    expect(read(make())).toEqual(['1', '3']);
  });

  it('in both is refused, not taken for a new token', () => {
    const make = () => new Anchors(connection.module, 'label', prefix);
    for (const text of ['1', '2']) write(make(), text);
    spoil('0');
    spoil('1');
    expect(() => read(make())).toThrow(expect.objectContaining({ code: 'token_failed' }));
    expect(() => write(make(), '3')).toThrow(expect.objectContaining({ code: 'token_failed' }));
  });

  it('twice under one name is refused', () => {
    write(new Anchors(connection.module, 'label', prefix), '1');
    within((session) => {
      const module = connection.module;
      const [object] = findData(module, session, `${prefix}/0`);
      (module as unknown as { C_CopyObject(...args: unknown[]): void }).C_CopyObject(session, object, []);
    });
    expect(() => read(new Anchors(connection.module, 'label', prefix))).toThrow(
      expect.objectContaining({ code: 'token_unsuitable' }),
    );
  });
});

it('are read back from a token whose data objects have no value', () => {
  const { module } = connection;
  let asked = 0;
  const without = altered(module, {
    C_GetAttributeValue: (session, object, template) => {
      asked++;
      if (template.some(({ type }) => type === CK.CKA_VALUE)) throw ckr('CKR_ATTRIBUTE_TYPE_INVALID');
      return module.C_GetAttributeValue(session, object, template);
    },
  });
  for (const text of ['1', '2', '3']) write(new Anchors(without, 'label', prefix), text);
  expect(asked).toBeGreaterThan(3);
  expect(read(new Anchors(module, 'label', prefix))).toEqual(['2', '3']);
});

it('takes over anchors that another method wrote', () => {
  const methods: TokenProfile['anchor'][] = ['label', 'replace', 'label', 'label', 'replace', 'replace', 'label'];
  for (const [index, method] of methods.entries()) {
    write(new Anchors(connection.module, method, prefix), `${index}`);
    expect(read(new Anchors(connection.module, method, prefix))).toContain(`${index}`);
    if (index > 0) expect(read(new Anchors(connection.module, method, prefix))).toEqual([`${index - 1}`, `${index}`]);
  }
});

it('behaves as the software token does, for any writes, failures and restarts', async () => {
  const steps = fc.array(fc.constantFrom('write', 'lost', 'unclear', 'restart'), { minLength: 1, maxLength: 12 });
  let model = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (commands) => {
      const name = `model/${model++}`;
      const { module } = connection;
      let fault: string | undefined;
      const faulty = altered(module, {
        C_SetAttributeValue: (...args) => {
          if (fault === 'lost') throw ckr('CKR_DEVICE_ERROR');
          module.C_SetAttributeValue(...args);
          if (fault === 'unclear') throw ckr('CKR_DEVICE_ERROR');
        },
        C_CreateObject: (...args) => {
          if (fault === 'lost') throw ckr('CKR_DEVICE_ERROR');
          const object = module.C_CreateObject(...args);
          if (fault === 'unclear') throw ckr('CKR_DEVICE_ERROR');
          return object;
        },
      });
      let anchors = new Anchors(faulty, 'label', name);
      const reference = new SoftwareToken({
        faults: (operation) =>
          operation !== 'anchor_write'
            ? undefined
            : fault === 'lost'
              ? 'token_failed'
              : fault === 'unclear'
                ? 'unclear'
                : undefined,
      });
      for (const [index, command] of commands.entries()) {
        if (command === 'restart') {
          anchors = new Anchors(faulty, 'label', name);
          continue;
        }
        fault = command === 'write' ? undefined : command;
        const value = utf8(`value ${index}`);
        const failed = (error: { code: string }) => error.code;
        const expected = await reference.writeAnchor(value).then(() => 'written', failed);
        let result = 'written';
        try {
          within((session) => anchors.write(session, value));
        } catch (error) {
          result = failed(error as { code: string });
        }
        expect(result).toBe(expected);
        fault = undefined;
        const found = within((session) => new Anchors(module, 'label', name).read(session));
        expect(found.map(bytesToHex).sort()).toEqual((await reference.readAnchors()).map(bytesToHex).sort());
      }
    }),
    { numRuns: 30 },
  );
});
