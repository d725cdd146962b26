/**
 * The health check of the image: asks the monitoring listener of whatever role runs as the container's first process whether
 * it is alive. HOLDFAST_HEALTH_PORT names another port than the role's own; HOLDFAST_HEALTH_PATH=/readyz asks for readiness.
 */

import { readFileSync } from 'node:fs';

const PORTS = { node: 9464, coordinator: 9465, witness: 9466, monitor: 9467, cosigner: 9468 };

const command = readFileSync('/proc/1/cmdline', 'utf8').split('\0');
const entry = command.findIndex((word) => word.endsWith('/cli/main.js'));
const role = command.slice(entry + 1).find((word) => Object.hasOwn(PORTS, word));
// The role's own setting, as in docs/configuration.md.
const setting = role && process.env[`HOLDFAST_${role.toUpperCase()}_METRICS_PORT`];
const port = process.env.HOLDFAST_HEALTH_PORT || setting || (role && PORTS[role]);
// A command that only does something and ends serves nothing: it is well as long as it runs.
if (port !== undefined) {
  const path = process.env.HOLDFAST_HEALTH_PATH || '/healthz';
  try {
    const status = await statusOf({ host: '127.0.0.1', port, path, signal: AbortSignal.timeout(15_000) });
    if (status !== 200) throw new Error(`${path} answered ${status}`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

/** By the plainest way there is: this runs every few seconds in every container, and loading `fetch` takes longer than asking. */
function statusOf(options) {
  return new Promise((resolve, reject) => {
    const { get } = process.getBuiltinModule('node:http');
    get(options, (answer) => {
      answer.resume();
      answer.once('error', reject).once('end', () => resolve(answer.statusCode));
    }).on('error', reject);
  });
}
