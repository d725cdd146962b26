/** The commands of a tenant, which says who its users are. */

import { type Command, Option } from 'commander';
import { checked, examples, whole, words } from './options.ts';
import { act, group, JSON_OPTION } from './program-parts.ts';

/** As `TENANT_ALGORITHMS`, which would bring all of its module with it into each command's start. */
const ALGORITHMS = ['ES256', 'Ed25519', 'EdDSA', 'RS256', 'PS256'];
const HOUR = 3600;
const DAY = 86_400;

export function addTenant(program: Command): void {
  const tenant = group(program, 'tenant', 'who says who a user is: the key that signs user tokens');
  const create = tenant
    .command('create')
    .description('make a tenant’s key, and the file of tenants that each node has')
    .requiredOption('--issuer <url>', 'who signs, as user tokens have it in “iss”')
    .addOption(new Option('--algorithm <name>', 'of the signatures').choices(ALGORITHMS).default('ES256'))
    .addOption(checked('--maximum-age <seconds>', 'how long a user token may be good for', whole(1, DAY), HOUR))
    .requiredOption('--key-out <file>', 'where the private key goes; a new file that only you can read')
    .requiredOption('--out <file>', 'where the file of tenants goes; a new file')
    .option(...JSON_OPTION);
  act(create, async (flags) => (await import('./commands/tenant.ts')).createTenant(flags));
  examples(create, 'holdfast tenant create --issuer https://accounts.example --key-out tenant.json --out tenants.json');
}

export function addUserToken(program: Command): void {
  const user = program
    .command('user-token')
    .description('make a credential (user token and client key): of a fleet’s development tenant, or of yours')
    .option('--fleet <folder>', 'folder of a fleet on this machine, for its development tenant')
    .option('--tenant <file>', 'the key of your own tenant, of holdfast tenant create')
    .option('--fleet-name <name>', 'with --tenant: the fleet that the token is for')
    .requiredOption('--subject <name>', 'who the user is')
    .addOption(
      checked('--operations <words>', 'enrol, recover, or single operations, with commas between', words).default(
        ['enrol', 'recover', 'delete', 'cancel'],
        'enrol,recover,delete,cancel',
      ),
    )
    .addOption(
      checked('--lifetime <seconds>', 'how long the user token is good for; else as long as it may be', whole(1, DAY)),
    )
    .option('--out <file>', 'the credential file; if it is there, its client key stays and its token is renewed')
    .option(...JSON_OPTION);
  act(user, async (flags) => (await import('./commands/user-token.ts')).userToken(flags));
  examples(
    user,
    'holdfast user-token --fleet ./fleet --subject alice --out alice.json',
    'holdfast user-token --tenant tenant.json --fleet-name main --subject alice --out alice.json',
  );
}
