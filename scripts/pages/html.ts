/** The one HTML file of a page: its files' names and hashes filled in, its Content Security Policy (CSP level 3) on top. */

import { createHash } from 'node:crypto';

/** What a page may do besides running its own files; `page.json` next to its `index.html`. */
export interface PageOptions {
  /** Where it may connect to besides its own origin, as CSP sources. */
  readonly connect: readonly string[];
  /** Whether it compiles WebAssembly: Argon2id needs that. */
  readonly wasm: boolean;
}

export interface Asset {
  /** With the hash in it, such as `client-0f3a....js`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Reads `page.json`. @throws Error where a member is missing, unknown or not of its type. */
export function parsePageOptions(text: string): PageOptions {
  const { connect, wasm, ...rest } = JSON.parse(text) as Partial<Record<string, unknown>>;
  const sources = Array.isArray(connect) && connect.every((one) => typeof one === 'string' && /^[^\s;,]+$/.test(one));
  if (!sources || typeof wasm !== 'boolean' || Object.keys(rest).length > 0) {
    throw new Error('page.json has exactly the members connect (CSP sources) and wasm (true or false)');
  }
  return { connect, wasm };
}

/** The policy as it stands in the page; who serves it adds `frame-ancestors`, which counts in headers only. */
export function contentSecurityPolicy({ connect, wasm }: PageOptions): string {
  return [
    "default-src 'none'",
    `script-src 'self'${wasm ? " 'wasm-unsafe-eval'" : ''}`,
    "style-src 'self'",
    "img-src 'self'",
    ["connect-src 'self'", ...connect].join(' '),
    "base-uri 'none'",
    "form-action 'none'",
    // Nothing in a page makes HTML, scripts or their addresses out of text.
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** Twenty digits of the SHA-256: enough that no two versions of a file meet in a cache. */
export const hashedName = (page: string, extension: string, bytes: Uint8Array): string =>
  `${page}-${sha256(bytes).slice(0, 20)}.${extension}`;

const integrityOf = (bytes: Uint8Array): string => `sha384-${createHash('sha384').update(bytes).digest('base64')}`;
/** A file of the page itself, in an attribute of its template. */
const REFERENCE = /\b(href|src)="(\.[^"#?:]*)"/g;

/**
 * Replaces each `href` and `src` that begins with a dot by the asset's name, scripts and styles with their hash
 * (Subresource Integrity), so that the SHA-256 of this file stands for the whole page.
 * @throws Error where the template names a file that is none of the assets, or has no `<head>`.
 */
export function renderHtml(template: string, assets: ReadonlyMap<string, Asset>, policy: string): string {
  const used = template.replace(REFERENCE, (_, attribute: string, path: string) => {
    const asset = assets.get(path);
    if (!asset) throw new Error(`index.html names ${path}, which is no file of the page`);
    const integrity = /\.(js|css)$/.test(asset.name) ? ` integrity="${integrityOf(asset.bytes)}"` : '';
    return `${attribute}="./${asset.name}"${integrity}`;
  });
  // A policy in the page holds wherever it is put; before it stands only the character set.
  const meta = `<meta charset="utf-8">\n    <meta http-equiv="Content-Security-Policy" content="${policy}">`;
  const whole = used.replace('<meta charset="utf-8">', meta);
  if (whole === used) throw new Error('index.html needs <meta charset="utf-8"> first in its head');
  return whole;
}
