/** The page under test: an application that uses the SDK as any would, on commands that it fetches from its own server. */

import { p256 } from '@noble/curves/nist.js';
import { exerciseStateStore } from '../client/trust/store-suite.ts';
import type { Account, Command, CommandName, Commands, ReportedError } from './commands.ts';
import * as sdk from './sdk.ts';
import { computeValues } from './values.ts';

type Handlers = { [N in CommandName]: (words: Commands[N][0]) => Promise<Commands[N][1]> };

function clientOf({ trust, credential, patience = 180_000 }: Account): sdk.VaultClient {
  const { fleet, coordinators } = sdk.parseTrustFile(trust, { now: Date.now() });
  const { userToken } = credential;
  const clientKey = sdk.clientKeyFromJwk(credential.clientKey);
  return new sdk.VaultClient({
    fleet,
    record: sdk.readUserToken(userToken).record,
    transport: new sdk.HttpTransport({ urls: coordinators }),
    credential: async () => ({ userToken, clientKey }),
    patience,
  });
}

/** Verified in a row, because a page's clock is coarse. */
const SIGNATURES = 4;

/** A verification of an ECDSA signature, as most of a trust set are: what this machine and browser take for one. */
function aSignature(): () => void {
  const message = new Uint8Array(200).fill(7);
  const secretKey = new Uint8Array(32).fill(9);
  const signature = p256.sign(message, secretKey);
  const publicKey = p256.getPublicKey(secretKey, false);
  return () => {
    if (!p256.verify(signature, message, publicKey)) throw new Error('a right signature does not verify');
  };
}

const handlers: Handlers = {
  runtime: async () => ({
    node: 'process' in globalThis || 'Buffer' in globalThis,
    secureContext: isSecureContext,
    userAgent: navigator.userAgent,
  }),
  values: (input) => computeValues(sdk, input),
  status: (account) => clientOf(account).status(),
  async enrol({ pin, secret, ...account }) {
    const { generation, nodes, degraded } = await clientOf(account).enrol(pin, Uint8Array.from(secret));
    return { generation, nodes, degraded };
  },
  async recover({ pin, ...account }) {
    const { secret, generation, earlierAttempts } = await clientOf(account).recover(pin);
    return { secret: Array.from(secret.reveal()), generation, earlierAttempts };
  },
  async changePin({ pin, newPin, ...account }) {
    const { generation } = await clientOf(account).changePin(pin, newPin);
    return { generation };
  },
  async delete({ pin, ...account }) {
    await clientOf(account).delete(pin);
    return {};
  },
  async trust({ anchor, set, states, clock }) {
    const connect = () => async () => new Response(Uint8Array.from(set));
    const key = 'family/production';
    const options = {
      anchor: sdk.parseTrustAnchor(anchor),
      builtAt: clock - 86_400_000,
      connect,
      clock: { now: () => clock, sleep: async () => {} },
    };
    const milliseconds: number[] = [];
    const ofSignature: number[] = [];
    const verify = aSignature();
    for (let i = 0; i < 20; i++) {
      const start = performance.now();
      await sdk.openTrust({ ...options, state: new sdk.MemoryTrustStore() });
      const opened = performance.now();
      for (let j = 0; j < SIGNATURES; j++) verify();
      milliseconds.push(opened - start);
      ofSignature.push((performance.now() - opened) / SIGNATURES);
    }
    const own = new sdk.IndexedDbTrustStore({ key });
    const trust = await sdk.openTrust({ ...options, state: own, cache: own });
    const [standing] = (await trust.view()).fleets;
    if ((await own.load('first'))?.join() !== set.join()) throw new Error('the set was not kept');
    const open = () => new sdk.IndexedDbTrustStore({ name: 'suite', key });
    const [first, second, third] = states.map((state) => Uint8Array.from(state));
    const store = await exerciseStateStore(open, [first!, second!, third!]);
    const { fleet, manifest, mode } = standing!;
    return { fleet: fleet.fleet, serial: manifest.serial, mode, store, milliseconds, ofSignature };
  },
  async navigate() {
    return {};
  },
};

function reported(thrown: unknown): ReportedError {
  if (thrown instanceof sdk.HoldfastError) {
    return { code: thrown.code, message: thrown.message, details: thrown.details };
  }
  return thrown instanceof Error
    ? { code: thrown.name, message: thrown.message }
    : { code: 'thrown', message: String(thrown) };
}

const post = (path: string, body: unknown) => fetch(path, { method: 'POST', body: JSON.stringify(body) });

async function perform(command: Command): Promise<void> {
  const { id, name } = command;
  const handler = handlers[name] as (words: unknown) => Promise<unknown>;
  const report = await handler(command.arguments).then(
    (value) => ({ id, value }),
    (thrown: unknown) => ({ id, error: reported(thrown) }),
  );
  await post('/report', report);
}

document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => {
  void post('/violation', `${violatedDirective} ${blockedURI}`);
});

for (;;) {
  const command = (await (await fetch('/command', { cache: 'no-store' })).json()) as Command;
  await perform(command);
  if (command.name === 'navigate') {
    location.assign((command as Command<'navigate'>).arguments.url);
    break;
  }
}
