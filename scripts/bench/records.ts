/** Real records, enrolled through the SDK, whose seeds the bench knows so that it can confirm without recovering. */

import { randomBytes } from 'node:crypto';
import { Agent, fetch as undiciFetch } from 'undici';
import { clientKeyToJwk, createUserToken, generateClientKey, recordId } from '../../src/access/index.ts';
import { type ClientSuite, type Fetch, HttpTransport, standardSuite, VaultClient } from '../../src/client/index.ts';
import { equalBytes, parseJson, Secret } from '../../src/core/index.ts';
import { deriveKeys, type SeedKeys } from '../../src/crypto/index.ts';
import { readTenantKey } from '../../src/fleet/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import type { PinnedTrust } from '../../src/trust/index.ts';
import type { BenchFleet } from './holdfast.ts';
import { clientSigner } from './seal.ts';

export const PIN = '4711';

/** Whoever enrols, in this bench: the tenant's signing key and the trust file. */
export interface Tenancy {
  readonly trust: PinnedTrust;
  readonly fetch: Fetch;
  /** A user token of this record for one recovery. */
  userToken(user: BenchUser): Promise<string>;
  recordOf(subject: string): Uint8Array;
  close(): Promise<void>;
}

/** Who asks about a record. */
export interface BenchUser {
  readonly subject: string;
  readonly record: Uint8Array;
  readonly clientKey: ReturnType<typeof generateClientKey>;
  readonly sign: ReturnType<typeof clientSigner>;
}

export interface BenchRecord extends BenchUser {
  readonly seed: Uint8Array;
  readonly keys: SeedKeys;
  readonly secret: Uint8Array;
  /** The number that the next attempt must have. An enrolment ends with number 1, confirmed. */
  next: number;
  /** False once an attempt failed: what its number became is then unknown. */
  usable: boolean;
}

export async function openTenancy(fleet: BenchFleet): Promise<Tenancy> {
  const trust = fleet.trust();
  const file = parseJson(await readTenantKey(fleet.folder), 'bad_input').object([
    'issuer',
    'privateKey',
    'recordIdKey',
  ]);
  const issuer = file.required('issuer').text(1024);
  const recordIdKey = file.required('recordIdKey').bytes(32, 32);
  const tenantKey = file.required('privateKey').value as Parameters<typeof createUserToken>[0]['tenantKey'];
  const connect = tlsClientOptions({ authorityPem: trust.authority! }, { fleet: trust.fleet.fleet, role: 'public' });
  const agent = new Agent({ connect: connect as NonNullable<Agent.Options['connect']> });
  const own = undiciFetch as unknown as (url: string, init: object) => Promise<Response>;
  return {
    trust,
    fetch: (url, init) => own(url, { ...init, dispatcher: agent }),
    recordOf: (subject) => recordId(recordIdKey, { fleet: trust.fleet.fleet, issuer, subject }),
    userToken: ({ subject, record, clientKey }) =>
      createUserToken({
        ...{ tenantKey, issuer, subject, record, fleet: trust.fleet.fleet },
        scope: ['status', 'open', 'stage', 'activate', 'attempt', 'confirm'],
        clientKey: clientKey.publicKey,
        issuedAt: Date.now() - 5000,
        lifetimeSeconds: 7200,
      }),
    close: () => agent.destroy(),
  };
}

export function clientFor(tenancy: Tenancy, record: BenchRecord, suite: ClientSuite = standardSuite()): VaultClient {
  const { trust, fetch } = tenancy;
  let token: Promise<string> | undefined;
  return new VaultClient({
    fleet: trust.fleet,
    record: record.record,
    transport: new HttpTransport({ urls: trust.coordinators, fetch }),
    credential: async () => {
      token ??= tenancy.userToken(record);
      return { userToken: await token, clientKey: record.clientKey };
    },
    suite,
  });
}

/** Enrols `count` records, two at a time. Each enrolment ends with a real recovery. */
export async function enrolRecords(tenancy: Tenancy, count: number, prefix = 'user'): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const subject = `${prefix}-${next++}`;
      const seed = new Uint8Array(randomBytes(32));
      const clientKey = generateClientKey();
      const record: BenchRecord = {
        ...{ subject, seed, next: 2, usable: true },
        record: tenancy.recordOf(subject),
        clientKey,
        sign: clientSigner(clientKeyToJwk(clientKey)),
        keys: deriveKeys(new Secret(Uint8Array.from(seed))),
        secret: new Uint8Array(randomBytes(32)),
      };
      const suite = { ...standardSuite(), newSeed: () => new Secret(Uint8Array.from(seed)) };
      await clientFor(tenancy, record, suite).enrol(PIN, record.secret);
      records.push(record);
    }
  };
  await Promise.all([lane(), lane()]);
  return records;
}

/**
 * A whole recovery by the SDK: it gives the secret back, and what it finds of earlier attempts is what the bench made.
 * @returns milliseconds, the client's cryptography included.
 */
export async function recoverWithSdk(tenancy: Tenancy, record: BenchRecord): Promise<number> {
  const begun = performance.now();
  const recovered = await clientFor(tenancy, record).recover(PIN);
  const milliseconds = performance.now() - begun;
  const { lifetimeLimit } = tenancy.trust.fleet.policy;
  const used = lifetimeLimit - recovered.lifetimeLeft;
  if (!equalBytes(recovered.secret.reveal(), record.secret)) throw new Error('the SDK recovered another secret');
  if (recovered.faultyNodes.length > 0) throw new Error(`nodes ${recovered.faultyNodes.join()} answered wrongly`);
  if (used !== record.next) throw new Error(`the record counts ${used} attempts, the bench made ${record.next}`);
  record.next++;
  return milliseconds;
}
