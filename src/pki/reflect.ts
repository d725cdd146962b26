/**
 * The four functions of the "Metadata Reflection API" proposal that @peculiar/x509's injection container asks for. It
 * refuses to load without them, so this module must be imported before it. Does nothing where a full polyfill is loaded.
 */

interface MetadataReflection {
  getMetadata?: (key: unknown, target: object) => unknown;
  getOwnMetadata?: (key: unknown, target: object) => unknown;
  defineMetadata?: (key: unknown, value: unknown, target: object) => void;
  metadata?: (key: unknown, value: unknown) => (target: object) => void;
}

const reflection = Reflect as MetadataReflection;

if (reflection.getMetadata === undefined) {
  const byTarget = new WeakMap<object, Map<unknown, unknown>>();
  const own = (key: unknown, target: object): unknown => byTarget.get(target)?.get(key);
  const define = (key: unknown, value: unknown, target: object): void => {
    const known = byTarget.get(target) ?? new Map<unknown, unknown>();
    known.set(key, value);
    byTarget.set(target, known);
  };

  reflection.defineMetadata = define;
  reflection.getOwnMetadata = own;
  // What a class does not define itself it inherits, as its parameters' types do.
  reflection.getMetadata = (key, target) => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      if (byTarget.get(at)?.has(key)) return own(key, at);
    }
    return undefined;
  };
  reflection.metadata = (key, value) => (target) => define(key, value, target);
}
