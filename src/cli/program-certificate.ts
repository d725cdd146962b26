/** The commands of the fleet's certificate authority. */

import type { Command } from 'commander';
import { checked, collect, examples, whole } from './options.ts';
import { act, group, JSON_OPTION, onSigningToken } from './program-parts.ts';

const KEY_LABEL = ['--key-label <label>', 'label of the authority’s key on the token', 'authority'] as const;
/** Ten years: each change of the authority is a change of every service. */
const AUTHORITY_DAYS = 3650;
/** What browsers take at the most for public certificates, and long enough for the others. */
const CERTIFICATE_DAYS = 397;

export function addCertificate(program: Command): void {
  const certificate = group(
    program,
    'certificate',
    'certificates for the services of a fleet, from an authority on a token',
  );
  const load = () => import('./commands/certificate.ts');

  const authority = onSigningToken(
    certificate
      .command('authority')
      .description('make the fleet’s authority: its key on the token, and its certificate'),
  )
    .option('--so-pin-file <file>', 'initialise a free slot first, with this security officer’s PIN')
    .requiredOption('--fleet <name>', 'name of the fleet')
    .option(...KEY_LABEL)
    .addOption(checked('--days <days>', 'how long it lasts', whole(1, 36_500), AUTHORITY_DAYS))
    .requiredOption('--out <file>', 'where the certificate goes; a new file');
  act(authority, async (flags) => (await load()).authority(flags));
  examples(authority, 'holdfast certificate authority --label ca --pin-file pin --fleet main --out authority.pem');

  const request = certificate
    .command('request')
    .description('make a key where it will be used, and the request for its certificate')
    .requiredOption('--fleet <name>', 'name of the fleet')
    .requiredOption('--role <role>', 'node, coordinator, public, cosigner or operator')
    .requiredOption('--name <name>', 'name of the service, as the trust file has it')
    .option('--host <host>', 'DNS name or IP address under which it is reached; repeatable', collect)
    .requiredOption('--key-out <file>', 'where the private key goes; a new file that only you can read')
    .requiredOption('--out <file>', 'where the request goes; a new file')
    .option(...JSON_OPTION);
  act(request, async (flags) => (await load()).request(flags));
  examples(
    request,
    'holdfast certificate request --fleet main --role node --name node-1 --host node-1.example \\',
    '  --key-out node-1.key --out node-1.csr',
  );

  const issue = onSigningToken(
    certificate.command('issue').description('show what a request asks for, and certify it when it is approved'),
  )
    .argument('<file>', 'the request')
    .requiredOption('--authority <file>', 'the authority’s certificate')
    .option(...KEY_LABEL)
    .addOption(checked('--days <days>', 'how long the certificate lasts', whole(1, 36_500), CERTIFICATE_DAYS))
    .option('--approve <digest>', 'SHA-256 of the request: issue it without asking; repeatable', collect)
    .requiredOption('--out <file>', 'where the certificate goes; a new file');
  act(issue, async (flags, signal, [file]) => (await load()).issue(file!, flags, signal));
  examples(
    issue,
    'holdfast certificate issue node-1.csr --label ca --pin-file pin --authority authority.pem --out node-1.pem',
  );

  const show = certificate
    .command('show')
    .description('what a certificate or a request says, and whether it is due for renewal')
    .argument('<file>', 'PEM certificate or request')
    .option(...JSON_OPTION);
  act(show, async (_flags, _signal, [file]) => (await load()).show(file!));
  examples(show, 'holdfast certificate show node-1.pem');
}
