/** `holdfast user-token`: a credential of the development tenant, for trying a fleet out. */

import {
  clientKeyToJwk,
  createUserToken,
  generateClientKey,
  OPERATIONS,
  type Operation,
  recordId,
  SCOPE_SETS,
  type ScopeSet,
} from '../../access/index.ts';
import { HoldfastError, parseJson, toBase64Url } from '../../core/index.ts';
import { FleetFolder, readPlan, readTenantKey } from '../../fleet/index.ts';
import { readCredential, writeCredential } from '../credential.ts';
import type { CommandResult } from '../run.ts';

export interface UserTokenFlags {
  readonly fleet: string;
  readonly subject: string;
  readonly operations: readonly string[];
  /** Seconds. */
  readonly lifetime: number;
  readonly out?: string;
}

export async function userToken(flags: UserTokenFlags): Promise<CommandResult> {
  const folder = new FleetFolder(flags.fleet);
  const plan = readPlan(folder);
  const file = parseJson(await readTenantKey(folder), 'bad_input').object(['issuer', 'privateKey', 'recordIdKey']);
  const issuer = file.required('issuer').text(1024);
  const tenantKey = file.required('privateKey').value as Parameters<typeof createUserToken>[0]['tenantKey'];
  const { subject, out } = flags;
  const record = recordId(file.required('recordIdKey').bytes(32, 32), { fleet: plan.name, issuer, subject });
  const previous = out === undefined ? undefined : await previousKey(out, record);
  const clientKey = previous ?? clientKeyToJwk(generateClientKey());
  const issuedAt = Date.now();
  const userToken = await createUserToken({
    tenantKey,
    issuer,
    subject,
    fleet: plan.name,
    scope: flags.operations.map(checkOperation),
    clientKey: new Uint8Array(Buffer.from(clientKey.x, 'base64url')),
    record,
    issuedAt,
    lifetimeSeconds: flags.lifetime,
  });
  const expires = new Date(issuedAt + flags.lifetime * 1000).toISOString();
  if (out === undefined) {
    // Without a file the credential itself is the result.
    const credential = { userToken, clientKey, record: toBase64Url(record) };
    return { value: { ...credential, expires }, lines: [JSON.stringify(credential, undefined, 2)] };
  }
  await writeCredential(out, { userToken, clientKey, record }, previous !== undefined);
  const what = previous ? 'renewed' : 'written';
  return {
    value: { out, subject, record: toBase64Url(record), expires, renewed: previous !== undefined },
    lines: [`The credential of ${subject} is ${what}: ${out} (until ${expires}).`],
  };
}

/** The client key of a credential that is there already, so that only its user token is renewed. */
async function previousKey(out: string, record: Uint8Array) {
  const previous = await readCredential(out).catch((error: { cause?: { code?: unknown } }) => {
    if (error.cause?.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!previous) return undefined;
  if (toBase64Url(previous.record) === toBase64Url(record)) return clientKeyToJwk(previous.clientKey);
  throw new HoldfastError('usage', `${out} is somebody else’s credential; name another file`);
}

function checkOperation(word: string): Operation | ScopeSet {
  const known = [...OPERATIONS, ...(Object.keys(SCOPE_SETS) as ScopeSet[])].find((name) => name === word);
  if (known) return known;
  const names = [...Object.keys(SCOPE_SETS), ...OPERATIONS].join(', ');
  throw new HoldfastError('usage', `${JSON.stringify(word)} is no operation; name some of ${names}`);
}
