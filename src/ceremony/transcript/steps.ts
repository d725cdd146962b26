/** The script of a ceremony: its steps in their order, each with what will run and what it destroys. A function of the plan. */

import { digestOf } from '../../trust/index.ts';
import type { CeremonyPlan } from './plan.ts';

export type StepName =
  | 'inspect'
  | 'set-up-pin'
  | 'initialise'
  | 'user-pin'
  | 'keys'
  | 'attributes'
  | 'trial'
  | 'certificates'
  | 'officer'
  | 'clean-up'
  | 'seals'
  | `person-${number}`;

export interface Step {
  readonly name: StepName;
  readonly title: string;
  /** The calls that are made, or what a person does, without secrets: one line. */
  readonly command: string;
  /** What is lost by it; undefined where nothing is. A person is asked first, each time. */
  readonly destroys: string | undefined;
}

/** At least one, at most 27. */
export function stepsOf(plan: CeremonyPlan): readonly Step[] {
  const { token, keys, people, seals } = plan;
  const prepared = token.state === 'prepared';
  const occupied = token.state === 'occupied';
  const label = JSON.stringify(token.label);
  const nodes = keys.kind === 'node';
  const steps: (Step | false)[] = [
    step('inspect', 'Look at the module and its slots', 'C_GetSlotList, C_GetTokenInfo; SHA-256 of the module’s file'),
    !prepared &&
      (occupied
        ? step(
            'set-up-pin',
            'Take the security officer’s present PIN',
            'the present PIN of the security officer, brought by whoever keeps it; kept in the ceremony’s folder',
          )
        : step(
            'set-up-pin',
            'Make the set-up PIN of the security officer',
            `up to ${plan.pinLength} characters from the system’s generator; kept in the ceremony’s folder until it is worthless`,
          )),
    !prepared &&
      step(
        'initialise',
        occupied ? 'Destroy what is on the token, and initialise it anew' : 'Initialise the token',
        `C_InitToken with label ${label}`,
        occupied ? `everything on the token ${label}, every key included` : undefined,
      ),
    prepared
      ? step(
          'user-pin',
          'Log in with the user’s PIN',
          'C_Login (CKU_USER); that none of the keys to be made is there yet',
        )
      : step(
          'user-pin',
          'Make the user’s PIN, and set it',
          `up to ${plan.pinLength} characters from C_GenerateRandom and the system’s generator together (HKDF-SHA256); C_InitPIN`,
        ),
    step('keys', nodes ? 'Make the node’s keys on the token' : 'Make the keys on the token', keysCommand(plan)),
    step(
      'attributes',
      'Read every attribute back, and compare it with what is required',
      'C_GetAttributeValue on each key; the rules of section 3 of docs/protocol.md',
    ),
    step(
      'trial',
      'Open the keys as a service does, and try each',
      nodes
        ? 'a signature, two key agreements and a keyed hash, each compared with what it must be'
        : 'a signature with each key, verified with its public key',
    ),
    step(
      'certificates',
      'Take the vendor’s certificates that name the new keys',
      'C_FindObjects (CKO_CERTIFICATE), and the certificates that were brought as files',
    ),
    !prepared &&
      step(
        'officer',
        'Give the security officer a PIN that nobody knows',
        'C_SetPIN with a random PIN that is not written down; then C_Login with the old one, which must be refused',
        'the office of security officer: nobody can ever set a new user’s PIN; a forgotten one means new keys',
      ),
    !prepared && step('clean-up', 'Remove the set-up PIN', 'overwrite and remove the file of the set-up PIN'),
    seals && step('seals', 'Seal the token', 'people seal the token in a tamper-evident bag, and read its number out'),
    ...people.map(({ name, role, key }, i) =>
      step(
        `person-${i + 1}`,
        `${name} (${role}) confirms`,
        key === null
          ? 'the person types their name; nothing but this machine says so'
          : 'the person signs the transcript so far with their own key, on a machine of their own',
      ),
    ),
  ];
  return steps.filter((each): each is Step => each !== false);
}

/** SHA-256 of the script, as a dry run prints it and the transcript records it. */
export function scriptDigest(plan: CeremonyPlan): string {
  return digestOf(
    scriptLines(plan)
      .map((line) => `${line}\n`)
      .join(''),
  );
}

/** The whole script for people. */
export function scriptLines(plan: CeremonyPlan): string[] {
  const { token, keys, people } = plan;
  const what = keys.kind === 'node' ? `node ${keys.node} of fleet ${keys.fleet}` : `the ${keys.role} ${keys.name}`;
  const states = {
    empty: 'not initialised yet',
    prepared: 'initialised already, by somebody else; its security officer is not part of this',
    occupied: 'initialised already; ALL THAT IS ON IT WILL BE DESTROYED',
  };
  return [
    `Ceremony ${plan.name}: keys for ${what}`,
    `Token ${JSON.stringify(token.label)}${token.serial === null ? '' : `, serial ${token.serial}`}${
      token.slot === null ? '' : `, slot ${token.slot}`
    }, module ${token.module}: ${states[token.state]}`,
    `People: ${people.map(({ name, role, key }) => `${name} (${role}${key === null ? ', without a key' : ''})`).join(', ')}`,
    '',
    ...stepsOf(plan).flatMap(({ title, command, destroys }, i) => [
      `${String(i + 1).padStart(2)}. ${title}`,
      `      runs: ${command}`,
      ...(destroys === undefined ? [] : [`      DESTROYS: ${destroys}`]),
    ]),
  ];
}

function step(name: StepName, title: string, command: string, destroys?: string): Step {
  return { name, title, command, destroys };
}

function keysCommand({ keys }: CeremonyPlan): string {
  const evidence = 'and one that signs evidence of this token';
  if (keys.kind === 'signing') return `C_GenerateKeyPair for each key of the ${keys.role}, ${evidence}`;
  return `C_GenerateKeyPair for identity, session and oprf, C_GenerateKey for tweak and anchor (EC keys where the token has no HMAC), ${evidence}`;
}
