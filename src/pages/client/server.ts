/** The application's own server: who the person is, and a place for encrypted backups. It is trusted with neither PIN nor key. */

import { bytesToHex, HoldfastError, sha256, toBase64Url, utf8 } from '../../core/index.ts';

export interface KeptBackup {
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly savedAt: number;
  /** Bytes. */
  readonly size: number;
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...init, redirect: 'error', cache: 'no-store' });
  } catch (cause) {
    throw new HoldfastError('not_ready', 'the application’s server cannot be reached', { cause });
  }
  if (response.ok) return response;
  throw new HoldfastError('not_ready', `the application’s server answered ${response.status}`);
}

/** The trust anchor. A real application ships it in its own code, so that its server cannot choose it. */
export async function fetchAnchor(): Promise<string> {
  const { anchor } = (await (await ask('./app/configuration')).json()) as { anchor: string };
  return anchor;
}

/** User tokens by fleet, bound to this key. */
export async function openSession(name: string, clientKey: Uint8Array): Promise<Readonly<Record<string, string>>> {
  const body = JSON.stringify({ name, clientKey: toBase64Url(clientKey) });
  const headers = { 'content-type': 'application/json' };
  const response = await ask('./app/session', { method: 'POST', body, headers });
  return ((await response.json()) as { userTokens: Record<string, string> }).userTokens;
}

const place = (name: string, id?: string) =>
  `./app/people/${encodeURIComponent(name)}/backups${id === undefined ? '' : `/${id}`}`;

/** A name for backups to this recipient, which tells nothing about it. */
export const backupId = (recipient: string): string => bytesToHex(sha256(utf8(recipient))).slice(0, 16);

/** Newest first. */
export async function listBackups(name: string): Promise<readonly KeptBackup[]> {
  return ((await (await ask(place(name))).json()) as { backups: KeptBackup[] }).backups;
}

export async function fetchBackup(name: string, id: string): Promise<Uint8Array> {
  return new Uint8Array(await (await ask(place(name, id))).arrayBuffer());
}

export async function storeBackup(name: string, id: string, file: Uint8Array): Promise<void> {
  const headers = { 'content-type': 'application/octet-stream' };
  await ask(place(name, id), { method: 'PUT', body: file.slice(), headers });
}

export async function dropBackup(name: string, id: string): Promise<void> {
  await ask(place(name, id), { method: 'DELETE' });
}

/** `fetch`, by way of the application's server: the page may connect to nowhere else, and nothing secret passes. */
export function fetchVia(url: string, init: RequestInit): Promise<Response> {
  const { origin, pathname, search } = new URL(url);
  return fetch(`./via/${encodeURIComponent(origin)}${pathname}${search}`, init);
}
