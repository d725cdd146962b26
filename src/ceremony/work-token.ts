/** Steps on the token itself: what is in the slot, its initialisation, its PINs, and the end of the security officer. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { bytesToHex, HoldfastError, type Secret, sha256 } from '../core/index.ts';
import {
  findKeys,
  initialiseSlot,
  readPin,
  readSlots,
  replaceSoPin,
  type SlotState,
  setUserPin,
  tokenRandom,
  tryPin,
} from '../token/index.ts';
import type { Left, Outcome, Work } from './conduct.ts';
import { makePin, pinLengthFor, type RandomSources } from './credentials.ts';
import { accessOf, fact, type Machine, specsOf, tokenFacts, tokenOf, userPin } from './machine.ts';
import { destroyFile, writePin } from './secrets.ts';

const NOTHING: Left = { state: 'nothing' };
/** For steps that may be done again at any time. */
const again = async (): Promise<Left> => NOTHING;

const unsuitable = (problem: string) => new HoldfastError('token_unsuitable', problem);

export function inspect(machine: Machine): Work {
  const { plan } = machine.progress;
  const { token } = plan;
  return {
    left: again,
    run: async () => {
      const slots = await readSlots(accessOf(machine));
      const slot = chooseSlot(slots, machine);
      if (slot.protectedPath) {
        throw unsuitable(
          'this token wants its PINs typed at the device; initialise it by the vendor’s tool, and take it as prepared',
        );
      }
      const facts = {
        slot: slot.slot,
        initialised: slot.initialised,
        userPinSet: slot.userPinSet,
        hasRandom: slot.hasRandom,
        pinLength: { ...slot.pinLength },
        token: tokenFacts(slot.token),
        moduleSha256: bytesToHex(sha256(await readFile(machine.local.module))),
      };
      const what = `${slot.token.manufacturer} ${slot.token.model}, firmware ${slot.token.firmware}`;
      const state = {
        empty: 'is not initialised',
        prepared: 'is initialised',
        occupied: 'is initialised, and will be destroyed',
      };
      return {
        finding: `slot ${slot.slot}: ${what}${slot.initialised ? `, serial ${slot.token.serial}` : ''}; it ${state[token.state]}`,
        facts,
      };
    },
  };
}

/** The one slot that the plan means, in the state that the plan says. */
function chooseSlot(slots: readonly SlotState[], { progress }: Machine): SlotState {
  const { state, label, slot, serial } = progress.plan.token;
  const named = slots.filter(
    (each) => (slot ?? each.slot) === each.slot && (serial ?? each.token.serial) === each.token.serial,
  );
  if (state === 'empty') {
    if (slots.some((each) => each.initialised && each.token.label === label)) {
      throw unsuitable(`there is a token ${JSON.stringify(label)} already; choose another label`);
    }
    const free = named.find(({ initialised }) => !initialised);
    if (free) return free;
    throw unsuitable(
      named.length === 0
        ? 'no slot fits; look at holdfast token list'
        : 'the token is initialised already, and stays as it is; --take-prepared uses it as it is, --destroy-existing destroys all that is on it',
    );
  }
  const fitting = named.filter((each) => each.initialised && each.token.label === label);
  if (fitting.length === 1) return fitting[0]!;
  throw unsuitable(
    `${fitting.length === 0 ? 'no' : 'more than one'} initialised token ${JSON.stringify(label)} fits; name it by --slot or --serial`,
  );
}

/** The slot that `inspect` found, as it is now: its number may have changed, its token must not have. */
async function slotNow(machine: Machine): Promise<SlotState> {
  const { facts } = machine.progress.outcome('inspect');
  const number = fact(facts, 'slot', 'number');
  const found = (await readSlots(accessOf(machine))).find(({ slot }) => slot === number);
  if (!found) throw new HoldfastError('token_removed', `slot ${number} is empty; put the token back, and go on`);
  return found;
}

const length = (machine: Machine) => {
  const limits = fact(machine.progress.outcome('inspect').facts, 'pinLength');
  return pinLengthFor(machine.progress.plan.pinLength, {
    minimum: fact(limits, 'minimum', 'number'),
    maximum: fact(limits, 'maximum', 'number'),
  });
};

const setUpPin = ({ folder }: Machine): Promise<Secret> => readPin({ file: folder.setUpPin }).then(({ pin }) => pin);

/** Both generators, once the token has a serial number to be found by. */
function sourcesOf(machine: Machine): RandomSources {
  const token = tokenOf(machine.progress);
  return {
    system: machine.random,
    token: (bytes) => tokenRandom(accessOf(machine), token, bytes),
  };
}

export function makeSetUpPin(machine: Machine): Work {
  const occupied = machine.progress.plan.token.state === 'occupied';
  const outcome: Outcome = occupied
    ? { finding: 'the PIN that was brought is kept until the token is initialised', facts: { sources: ['a person'] } }
    : {
        finding: 'made from the system’s generator alone: a token has none before it is initialised',
        facts: { sources: ['system'] },
      };
  return {
    left: async () => (existsSync(machine.folder.setUpPin) ? { state: 'all', outcome } : NOTHING),
    run: async () => {
      const { soPinFile } = machine.local;
      if (occupied && soPinFile === undefined) {
        throw new HoldfastError(
          'usage',
          'an occupied token needs its security officer’s present PIN: --so-pin-file FILE',
        );
      }
      using pin = occupied
        ? (await readPin({ file: soPinFile! })).pin
        : (await makePin({ system: machine.random, token: async () => undefined }, 'set-up', length(machine))).pin;
      await writePin(machine.folder.setUpPin, pin);
      return outcome;
    },
  };
}

export function initialise(machine: Machine): Work {
  const { plan } = machine.progress;
  const { label, state } = plan.token;
  const made = async (): Promise<Outcome | undefined> => {
    const slots = await readSlots(accessOf(machine));
    const token = slots.find((each) => each.initialised && !each.userPinSet && each.token.label === label)?.token;
    if (!token) return undefined;
    using pin = await setUpPin(machine);
    const trial = await tryPin(accessOf(machine), { label, serial: token.serial }, 'security officer', pin);
    if (trial !== 'accepted')
      throw unsuitable('the token is initialised with another PIN than this ceremony’s; it is not ours');
    return {
      finding: `the token ${JSON.stringify(label)} is initialised; its serial number is ${token.serial}`,
      facts: { token: tokenFacts(token) },
    };
  };
  return {
    left: async () => {
      // Without a user's PIN before, an occupied token looks the same before and after.
      const told = state === 'empty' || fact(machine.progress.outcome('inspect').facts, 'userPinSet', 'boolean');
      const outcome = told ? await made() : undefined;
      return outcome ? { state: 'all', outcome } : NOTHING;
    },
    run: async () => {
      const slot = await slotNow(machine);
      // Looked at again at the last moment: a token that came meanwhile must not be lost.
      if (slot.initialised !== (state === 'occupied') || (slot.initialised && slot.token.label !== label)) {
        throw unsuitable('the slot is not as the ceremony found it; nothing was initialised, begin a new ceremony');
      }
      using pin = await setUpPin(machine);
      await initialiseSlot(accessOf(machine), slot.slot, label, pin);
      const outcome = await made();
      if (outcome) return outcome;
      throw new HoldfastError(
        'token_failed',
        'the token says that it is initialised, and does not show it; look at the module’s log',
      );
    },
  };
}

export function makeUserPin(machine: Machine): Work {
  const { local, progress } = machine;
  const accepted = async (sources: readonly string[]): Promise<Outcome | undefined> => {
    using pin = await userPin(machine);
    if ((await tryPin(accessOf(machine), tokenOf(progress), 'user', pin)) !== 'accepted') return undefined;
    const from = sources.length === 2 ? 'both generators together' : `the generator of the ${sources[0]} alone`;
    return {
      finding: `made from ${from}, set, and accepted; it is in the PIN file, which belongs to whoever runs the service`,
      facts: { sources },
    };
  };
  return {
    left: async () => {
      if (!existsSync(local.pinFile)) return NOTHING;
      const { hasRandom } = await found(machine);
      const outcome = await accepted(hasRandom ? ['system', 'token'] : ['system']);
      return outcome ? { state: 'all', outcome } : NOTHING;
    },
    run: async () => {
      // One that an attempt before this has left is as good as a new one: nobody has been given it.
      let sources: readonly string[] = (await found(machine)).hasRandom ? ['system', 'token'] : ['system'];
      if (!existsSync(local.pinFile)) {
        const made = await makePin(sourcesOf(machine), 'user', length(machine));
        using pin = made.pin;
        sources = made.sources;
        await writePin(local.pinFile, pin);
      }
      using officer = await setUpPin(machine);
      using pin = await userPin(machine);
      await setUserPin(accessOf(machine), tokenOf(progress), officer, pin);
      const outcome = await accepted(sources);
      if (outcome) return outcome;
      throw unsuitable('the token does not take the PIN that was just set; do not use it');
    },
  };
}

/** The token's own slot now. */
async function found(machine: Machine): Promise<SlotState> {
  const { label, serial } = tokenOf(machine.progress);
  const slots = await readSlots(accessOf(machine));
  const slot = slots.find(({ token, initialised }) => initialised && token.label === label && token.serial === serial);
  if (slot) return slot;
  throw new HoldfastError('token_removed', 'the ceremony’s token is not there; put it back, and go on');
}

/** Of a token that somebody else has prepared. */
export function takeUserPin(machine: Machine): Work {
  return {
    left: again,
    run: async () => {
      using pin = await userPin(machine);
      const token = tokenOf(machine.progress);
      const there = await findKeys({ ...accessOf(machine), ...token, pin }, specsOf(machine.progress.plan.keys));
      if (there.length > 0) {
        throw unsuitable(
          `the token already has the key ${there[0]}; a ceremony takes over no key that it has not made`,
        );
      }
      return { finding: 'accepted; none of the keys to be made is there yet' };
    },
  };
}

const PROOF =
  'the old one was tried and refused; that the machine kept no copy of the new one is not proven, nor that the token has no other way in';

export function endOfficer(machine: Machine): Work {
  const access = accessOf(machine);
  const refused = async (): Promise<'refused' | 'locked' | undefined> => {
    using old = await setUpPin(machine);
    const trial = await tryPin(access, tokenOf(machine.progress), 'security officer', old);
    return trial === 'refused' || trial === 'locked' ? trial : undefined;
  };
  const outcome = (trial: string, sources: readonly string[]): Outcome => ({
    finding: `the security officer’s PIN is a random one that was never written down; ${PROOF}`,
    facts: { oldPin: trial, sources },
  });
  return {
    left: async () => {
      const trial = await refused();
      return trial ? { state: 'all', outcome: outcome(trial, []) } : NOTHING;
    },
    run: async () => {
      const made = await makePin(sourcesOf(machine), 'nobody', length(machine));
      {
        using unknown = made.pin;
        using old = await setUpPin(machine);
        await replaceSoPin(access, tokenOf(machine.progress), old, unknown);
      }
      const trial = await refused();
      if (trial) return outcome(trial, made.sources);
      throw unsuitable(
        'the token still takes the old PIN of its security officer, which it said to have replaced; do not use it',
      );
    },
  };
}

export function cleanUp(machine: Machine): Work {
  const outcome: Outcome = {
    finding:
      'the file of the set-up PIN is overwritten and gone; what the disk keeps of it opens nothing, as the token has refused it',
  };
  return {
    left: async () => (existsSync(machine.folder.setUpPin) ? NOTHING : { state: 'all', outcome }),
    run: async () => {
      await destroyFile(machine.folder.setUpPin);
      return outcome;
    },
  };
}
