/** `holdfast user-token`: a credential of a development fleet's tenant, or of one whose key is in a file. */

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
import { readTextFile } from '../files.ts';
import type { CommandResult } from '../run.ts';

export interface UserTokenFlags {
  readonly fleet?: string;
  readonly tenant?: string;
  readonly fleetName?: string;
  readonly subject: string;
  readonly operations: readonly string[];
  /** Seconds; by default as many as the tenant allows. */
  readonly lifetime?: number;
  readonly out?: string;
}

const MAXIMUM_TENANT_BYTES = 16_384;
const DAY = 86_400;

export async function userToken(flags: UserTokenFlags): Promise<CommandResult> {
  const { fleet, text } = await tenantOf(flags);
  const file = parseJson(text, 'bad_input').object(['issuer', 'privateKey', 'recordIdKey', 'maximumAgeSeconds']);
  const issuer = file.required('issuer').text(1024);
  const tenantKey = file.required('privateKey').value as Parameters<typeof createUserToken>[0]['tenantKey'];
  const maximumAge = file.optional('maximumAgeSeconds')?.integer(1, DAY) ?? DAY;
  const lifetime = flags.lifetime ?? maximumAge;
  if (lifetime > maximumAge) {
    throw new HoldfastError(
      'usage',
      `nodes refuse user tokens of this tenant that are good for more than ${maximumAge} seconds; give --lifetime less`,
    );
  }
  const { subject, out } = flags;
  const record = recordId(file.required('recordIdKey').bytes(32, 32), { fleet, issuer, subject });
  const previous = out === undefined ? undefined : await previousKey(out, record);
  const clientKey = previous ?? clientKeyToJwk(generateClientKey());
  const issuedAt = Date.now();
  const userToken = await createUserToken({
    tenantKey,
    issuer,
    subject,
    fleet,
    scope: flags.operations.map(checkOperation),
    clientKey: new Uint8Array(Buffer.from(clientKey.x, 'base64url')),
    record,
    issuedAt,
    lifetimeSeconds: lifetime,
  });
  const expires = new Date(issuedAt + lifetime * 1000).toISOString();
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

/** The fleet's name, and the text of the tenant's file. @throws HoldfastError `usage` unless exactly one tenant is named. */
async function tenantOf(flags: UserTokenFlags): Promise<{ fleet: string; text: string }> {
  const { fleet, tenant, fleetName } = flags;
  if (tenant !== undefined && fleetName !== undefined && fleet === undefined) {
    return { fleet: fleetName, text: await readTextFile(tenant, 'the tenant’s key', MAXIMUM_TENANT_BYTES) };
  }
  if (fleet !== undefined && tenant === undefined && fleetName === undefined) {
    const folder = new FleetFolder(fleet);
    return { fleet: readPlan(folder).name, text: await readTenantKey(folder) };
  }
  throw new HoldfastError(
    'usage',
    'give --fleet FOLDER for a fleet on this machine, or --tenant FILE and --fleet-name NAME for a tenant of yours',
  );
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
