/** Where `holdfast audit` reads from: a site over HTTPS, or a folder with a copy of one; and how a copy is made. */

import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AuditSource } from '../audit/index.ts';
import { HoldfastError } from '../core/index.ts';
import { checkUrl, Fetcher } from '../operator/index.ts';
import { readSmallFile, writeWholeFile } from './files.ts';

export interface OpenedSource extends AsyncDisposable {
  readonly source: AuditSource;
  /** The site's address without a slash at its end; for a folder one that leads nowhere. */
  readonly site: string;
}

/** Milliseconds for each answer. */
const TIMEOUT = 15_000;
const FOLDER_SITE = 'https://folder.invalid';

/** @throws HoldfastError `usage` for what is neither an address nor a folder. */
export async function openAuditSource(where: string, authority: string | undefined): Promise<OpenedSource> {
  if (/^https?:\/\//.test(where)) return siteSource(checkUrl('the site', where), authority);
  const isFolder = await stat(where).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) return { source: folderSource(where), site: FOLDER_SITE, [Symbol.asyncDispose]: async () => {} };
  throw new HoldfastError('usage', 'name the site, as https://vault.example, or a folder with a copy of one');
}

function siteSource(base: URL, authority: string | undefined): OpenedSource {
  const site = base.href.replace(/\/+$/, '');
  const own = new Fetcher({ authority });
  // Other addresses are of the site's choice: they must not lead into the network of whoever audits.
  const foreign = new Fetcher({ publicOnly: true });
  const source: AuditSource = {
    async fetch(address, maximumBytes, signal) {
      const url = checkUrl('an address of the evidence', address);
      const fetcher = address.startsWith(`${site}/`) ? own : foreign;
      const { status, body } = await fetcher.get(url, { maximumBytes, timeout: TIMEOUT, signal });
      if (status === 200) return body;
      if (status === 404 || status === 410) throw new HoldfastError('not_found', `${address} is not there`);
      throw new HoldfastError('not_ready', `${address} answered with status ${status}`);
    },
  };
  const close = async () => {
    await Promise.all([own.close(), foreign.close()]);
  };
  return { source, site, [Symbol.asyncDispose]: close };
}

/** Paths of a copy are the site's; a cosigner's own folder of files has the trust sets elsewhere. */
function folderSource(folder: string): AuditSource {
  const read = async (path: string, maximumBytes: number) => {
    const isFile = await stat(join(folder, path)).then(
      (found) => found.isFile(),
      () => false,
    );
    return isFile ? await readSmallFile(join(folder, path), 'the file', maximumBytes) : undefined;
  };
  return {
    async fetch(address, maximumBytes) {
      const path = pathOf(address, FOLDER_SITE);
      const elsewhere = path?.replace(/^trust\/([a-z0-9-]+)$/, 'trust/fleets/$1');
      for (const one of new Set([path, elsewhere])) {
        const found = one === undefined ? undefined : await read(one, maximumBytes);
        if (found) return found;
      }
      throw new HoldfastError('not_found', `the folder has no file for ${address}`);
    },
  };
}

/** The path of an address below a site, if it is one that cannot lead out of a folder. */
function pathOf(address: string, site: string): string | undefined {
  if (!address.startsWith(`${site}/`)) return undefined;
  const path = address.slice(site.length + 1);
  const right = path.split('/').every((part) => /^[A-Za-z0-9_-][A-Za-z0-9._~-]{0,199}$/.test(part));
  return right ? path : undefined;
}

/** The same source, which also keeps all that was fetched, so that it can be audited again without a network. */
export function keepingSource({ source, site }: OpenedSource, folder: string): AuditSource {
  return {
    async fetch(address, maximumBytes, signal) {
      const content = await source.fetch(address, maximumBytes, signal);
      const name = /\/([0-9a-f]{64}(?:\.[a-z0-9]{1,8})?)$/.exec(address)?.[1];
      const path = pathOf(address, site) ?? (name && `evidence/${name}`);
      if (path !== undefined) {
        await mkdir(dirname(join(folder, path)), { recursive: true });
        await writeWholeFile(join(folder, path), content, { mode: 0o644, overwrite: true });
      }
      return content;
    },
  };
}
