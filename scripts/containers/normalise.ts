/**
 * Rewrites an archive of `docker save` so that its bytes depend on nothing but the content of the image: Docker Image
 * Specification 1.2, and the times that https://reproducible-builds.org/specs/source-date-epoch/ asks for.
 */

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { finished, pipeline } from 'node:stream/promises';
import { extract, type Header, type Pack, pack } from 'tar-stream';

export interface NormaliseOptions {
  /** An empty or missing folder for the image's parts. */
  readonly scratch: string;
  /** How many of the lowest layers are the base image's and stay as they are. */
  readonly kept: number;
  /** Seconds since 1970: nothing in the image is younger. */
  readonly epoch: number;
  readonly tag: string;
}

interface ImageConfiguration {
  created?: string;
  history?: { created?: string; created_by?: string; empty_layer?: boolean }[];
  rootfs: { type: string; diff_ids: string[] };
  config: Record<string, unknown>;
  [other: string]: unknown;
}

/** Writes the image to `target`. @returns its identifier, `sha256:` and 64 hexadecimal digits. */
export async function normaliseImage(
  source: string,
  target: string,
  { scratch, kept, epoch, tag }: NormaliseOptions,
): Promise<{ readonly id: string; readonly layers: number }> {
  mkdirSync(scratch, { recursive: true });
  const files = await unpack(source, scratch);
  const [manifest] = JSON.parse(readFileSync(files.get('manifest.json')!, 'utf8')) as [
    { readonly Config: string; readonly Layers: readonly string[] },
  ];
  const configuration = JSON.parse(readFileSync(files.get(manifest.Config)!, 'utf8')) as ImageConfiguration;
  const layers: { readonly path: string; readonly digest: string }[] = [];
  for (const [index, name] of manifest.Layers.entries()) {
    const path = join(scratch, `layer-${index}`);
    const from = files.get(name)!;
    if (index >= kept) await rewriteLayer(from, path, epoch);
    const used = index >= kept ? path : from;
    layers.push({ path: used, digest: await sha256(used) });
  }
  const text = configurationText(
    configuration,
    layers.map(({ digest }) => digest),
    kept,
    epoch,
  );
  const id = createHash('sha256').update(text).digest('hex');
  await writeArchive(target, { id, text, layers, tag });
  return { id: `sha256:${id}`, layers: layers.length };
}

/** Where the archive's files lie afterwards, by their names in it. Names are never used as paths. */
async function unpack(source: string, folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const links = new Map<string, string>();
  const archive = extract();
  const reading = pipeline(createReadStream(source), archive);
  for await (const entry of archive) {
    const { name, type, linkname } = entry.header;
    if (type === 'file') {
      const path = join(folder, `part-${files.size}`);
      files.set(name, path);
      await pipeline(entry, createWriteStream(path));
    } else {
      // Docker 20 writes a layer that occurs twice as a link to the first: ../<name>/layer.tar.
      if (linkname) links.set(name, linkname.replace(/^(\.\.\/)+/, ''));
      entry.resume();
    }
  }
  await reading;
  for (const [name, link] of links) if (files.has(link)) files.set(name, files.get(link)!);
  return files;
}

/** The same entries sorted by name, hard links last, no younger than `epoch` and without names of users. */
async function rewriteLayer(source: string, target: string, epoch: number): Promise<void> {
  const entries: { readonly header: Header; readonly content: Buffer }[] = [];
  const archive = extract();
  const reading = pipeline(createReadStream(source), archive);
  for await (const entry of archive) entries.push({ header: entry.header, content: await contentOf(entry) });
  await reading;
  const rank = ({ header }: { readonly header: Header }) => (header.type === 'link' ? 1 : 0);
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  entries.sort((a, b) => rank(a) - rank(b) || order(a.header.name, b.header.name));
  const layer = pack();
  const writing = pipeline(layer, createWriteStream(target));
  for (const { header, content } of entries) await addEntry(layer, normaliseHeader(header, epoch), content);
  layer.finalize();
  await writing;
}

function normaliseHeader(header: Header, epoch: number): Header {
  const { name, mode, uid, gid, size, type, linkname, devmajor, devminor, pax } = header;
  const latest = epoch * 1000;
  const time = header.mtime?.getTime() ?? latest;
  // Of the extended headers only file capabilities and the like mean anything for the content.
  const attributes = Object.entries(pax ?? {}).filter(([key]) => key.startsWith('SCHILY.xattr.'));
  return {
    ...{ name, mode, uid, gid, size, type, linkname, devmajor, devminor },
    mtime: new Date(Math.floor(Math.min(time, latest) / 1000) * 1000),
    uname: '',
    gname: '',
    ...(attributes.length > 0 && { pax: Object.fromEntries(attributes) }),
  } as Header;
}

function configurationText(
  before: ImageConfiguration,
  digests: readonly string[],
  kept: number,
  epoch: number,
): string {
  const created = new Date(epoch * 1000).toISOString().replace('.000Z', 'Z');
  // What the classic builder notes of itself: the container it used, the image before, the host's name, its version.
  const { container: _, container_config: __, docker_version: ___, config, history = [], ...rest } = before;
  const { Image: ____, Hostname: _____, Domainname: ______, ...settings } = config;
  let layer = 0;
  const times = history.map((whole) => {
    // The argument that has steps made anew is no part of what they make.
    const step = { ...whole, created_by: whole.created_by?.replace(/\|1 ANEW=\S* /, '') };
    const ofBase = layer < kept;
    if (!step.empty_layer) layer++;
    return ofBase && step.created !== undefined && Date.parse(step.created) <= epoch * 1000
      ? step
      : { ...step, created };
  });
  const diffIds = digests.map((digest) => `sha256:${digest}`);
  return JSON.stringify({
    ...sorted(rest),
    config: sorted(settings),
    created,
    history: times,
    rootfs: { type: 'layers', diff_ids: diffIds },
  });
}

const sorted = (object: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)));

async function writeArchive(
  target: string,
  image: {
    readonly id: string;
    readonly text: string;
    readonly layers: readonly { readonly path: string; readonly digest: string }[];
    readonly tag: string;
  },
): Promise<void> {
  const archive = pack();
  const writing = pipeline(archive, createWriteStream(target));
  const manifest = [
    {
      Config: `${image.id}.json`,
      RepoTags: [image.tag],
      Layers: image.layers.map(({ digest }) => `${digest}/layer.tar`),
    },
  ];
  await addEntry(archive, { name: `${image.id}.json` }, Buffer.from(image.text));
  for (const { path, digest } of image.layers) {
    await addEntry(archive, { name: `${digest}/layer.tar` }, readFileSync(path));
  }
  await addEntry(archive, { name: 'manifest.json' }, Buffer.from(JSON.stringify(manifest)));
  archive.finalize();
  await writing;
}

function addEntry(archive: Pack, header: Partial<Header> & Pick<Header, 'name'>, content: Buffer): Promise<void> {
  return new Promise((done, fail) => {
    const fixed = { mtime: new Date(0), ...header };
    archive.entry(fixed, content, (error) => (error ? fail(error) : done()));
  });
}

async function contentOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  const stream = createReadStream(path);
  stream.on('data', (chunk) => hash.update(chunk));
  await finished(stream);
  return hash.digest('hex');
}
