/** Each step's work. */

import { HoldfastError } from '../core/index.ts';
import { syncTokenFolder } from '../token/index.ts';
import type { Work } from './conduct.ts';
import type { Machine } from './machine.ts';
import type { Step, StepName } from './transcript/index.ts';
import { makeKeys, readAttributes, takeCertificates, tryKeys } from './work-keys.ts';
import { askSeals, confirmPerson } from './work-people.ts';
import { cleanUp, endOfficer, initialise, inspect, makeSetUpPin, makeUserPin, takeUserPin } from './work-token.ts';

type Fixed = Exclude<StepName, `person-${number}`>;

const WORK: Readonly<Record<Fixed, (machine: Machine) => Work>> = {
  inspect,
  'set-up-pin': makeSetUpPin,
  initialise,
  'user-pin': (machine) =>
    machine.progress.plan.token.state === 'prepared' ? takeUserPin(machine) : makeUserPin(machine),
  keys: makeKeys,
  attributes: readAttributes,
  trial: tryKeys,
  certificates: takeCertificates,
  officer: endOfficer,
  'clean-up': cleanUp,
  seals: askSeals,
};

/** A step's work. Of a token that is made of files, what a step has changed is on stable storage before it counts. */
export function workOf(machine: Machine, step: Step): Work {
  const work = ownWorkOf(machine, step);
  const { syncFolder } = machine.local;
  if (syncFolder === undefined) return work;
  const synced = async <T>(done: Promise<T>): Promise<T> => {
    const outcome = await done;
    syncTokenFolder(syncFolder);
    return outcome;
  };
  return { left: () => synced(work.left()), run: (record) => synced(work.run(record)) };
}

function ownWorkOf(machine: Machine, { name }: Step): Work {
  const person = /^person-([1-9][0-9]?)$/.exec(name)?.[1];
  if (person !== undefined) return confirmPerson(machine, Number(person) - 1);
  const work = WORK[name as Fixed];
  if (work) return work(machine);
  throw new HoldfastError('ceremony_damaged', `the transcript has a step ${name}, which nobody knows here`);
}
