import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError, parseJson, refuseDuplicateMembers } from '../../src/core/index.ts';

/** JSON as text is written: an object is a list of members, so that one may stand there twice. */
type Tree = string | number | null | Tree[] | { readonly members: readonly (readonly [name: string, value: Tree])[] };

const SPACE = fc.constantFrom('', ' ', '\n\t');
/** Full of what ends strings, escapes and brackets. */
const anyText = fc
  .array(fc.constantFrom('"', '\\', '{', '}', '[', ']', ',', ':', 'a', 'b', ' ', 'é', '\u2028'), { maxLength: 6 })
  .map((parts) => parts.join(''));

const { tree } = fc.letrec<{ tree: Tree; object: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    anyText,
    fc.integer(),
    fc.constant(null),
    tie('object'),
    fc.array(tie('tree'), { maxLength: 3 }),
  ),
  object: fc.record({ members: fc.array(fc.tuple(anyText, tie('tree')), { maxLength: 4 }) }),
}));

/** With each character of a name escaped where `escapes`, and `space` at every place that may have it. */
function written(value: Tree, escapes: boolean, space: string): string {
  const join = (open: string, parts: readonly string[], close: string) =>
    `${open}${space}${parts.join(`${space},${space}`)}${space}${close}`;
  if (Array.isArray(value)) {
    return join(
      '[',
      value.map((one) => written(one, escapes, space)),
      ']',
    );
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = value.members.map(([name, one]) => {
    const unit = (at: number) => `\\u${name.charCodeAt(at).toString(16).padStart(4, '0')}`;
    const text = escapes
      ? `"${Array.from({ length: name.length }, (_, at) => unit(at)).join('')}"`
      : JSON.stringify(name);
    return `${text}${space}:${space}${written(one, escapes, space)}`;
  });
  return join('{', members, '}');
}

function hasTwice(value: Tree): boolean {
  if (Array.isArray(value)) return value.some(hasTwice);
  if (value === null || typeof value !== 'object') return false;
  const names = value.members.map(([name]) => name);
  return new Set(names).size < names.length || value.members.some(([, one]) => hasTwice(one));
}

describe('JSON', () => {
  it('is refused exactly where an object has a member twice, however it is written', () => {
    const examples: [Tree, boolean, string][] = [
      [
        {
          members: [
            ['a\\', '"'],
            ['a\\', 1],
          ],
        },
        false,
        '',
      ],
      [
        {
          members: [
            ['a', '\\"'],
            [
              'b',
              [
                {
                  members: [
                    ['a', 'a'],
                    ['c', ',"a":'],
                  ],
                },
              ],
            ],
          ],
        },
        false,
        ' ',
      ],
      [
        [
          {
            members: [
              ['', 1],
              ['', 1],
            ],
          },
        ],
        true,
        '',
      ],
      [['a', 'a', '{', 'a'], false, ''],
    ];
    fc.assert(
      fc.property(tree, fc.boolean(), SPACE, (value, escapes, space) => {
        const text = written(value, escapes, space);
        const reading = () => parseJson(text, 'bad_input').value;
        if (hasTwice(value)) expect(reading).toThrow(/^the JSON has the member ".*" twice$/);
        else expect(reading()).toEqual(JSON.parse(text));
      }),
      { examples, numRuns: 500 },
    );
  });

  it.each([
    ['[', ']'],
    ['{"a":', '}'],
  ])('that is nested to exactly the depth that is allowed with %s is read', (open, close) => {
    const nested = (depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`;
    expect(() => refuseDuplicateMembers(nested(16), 'malformed')).not.toThrow();
    expect(() => refuseDuplicateMembers(nested(17), 'malformed')).toThrow(
      new HoldfastError('malformed', 'the JSON is nested too deeply'),
    );
    expect(() => refuseDuplicateMembers(nested(4), 'malformed', 3)).toThrow('nested too deeply');
  });
});
