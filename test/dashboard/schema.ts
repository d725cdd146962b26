/** As much of JSON Schema as our documents use, to hold what is answered against what is documented. */

type Schema = Readonly<Record<string, unknown>>;
interface Document {
  readonly components: { readonly schemas: object };
}

/** Where `value` is not as the schema called `name` says; empty where it is. */
export function matches(document: Document, name: string, value: unknown): string[] {
  const schemas = document.components.schemas as Readonly<Record<string, Schema>>;
  const check = (schema: Schema, found: unknown, path: string): string[] => {
    const reference = schema.$ref as string | undefined;
    if (reference !== undefined) return check(schemas[reference.split('/').at(-1)!]!, found, path);
    const either = schema.oneOf as Schema[] | undefined;
    if (either) return either.some((one) => check(one, found, path).length === 0) ? [] : [`${path} fits none of oneOf`];
    if ('const' in schema) return schema.const === found ? [] : [`${path} is not ${schema.const}`];
    const words = schema.enum as unknown[] | undefined;
    if (words) return words.includes(found) ? [] : [`${path} is none of ${words.join(', ')}`];
    const types = [schema.type].flat() as (string | undefined)[];
    if (types[0] !== undefined && !types.some((type) => isOf(type!, found)))
      return [`${path} is no ${types.join(' or ')}`];
    if (Array.isArray(found) && schema.items)
      return found.flatMap((item, i) => check(schema.items as Schema, item, `${path}[${i}]`));
    if (schema.type !== 'object' || schema.properties === undefined) return [];
    const properties = schema.properties as Readonly<Record<string, Schema>>;
    const members = found as Readonly<Record<string, unknown>>;
    const missing = ((schema.required ?? []) as string[]).filter((member) => !Object.hasOwn(members, member));
    return [
      ...missing.map((member) => `${path}.${member} is missing`),
      ...Object.entries(members).flatMap(([member, inner]) =>
        Object.hasOwn(properties, member)
          ? check(properties[member]!, inner, `${path}.${member}`)
          : schema.additionalProperties === false
            ? [`${path}.${member} is not documented`]
            : [],
      ),
    ];
  };
  return check(schemas[name]!, value, name);
}

function isOf(type: string, value: unknown): boolean {
  if (type === 'null') return value === null;
  if (type === 'array') return Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  return type === 'object'
    ? typeof value === 'object' && value !== null && !Array.isArray(value)
    : typeof value === type;
}
