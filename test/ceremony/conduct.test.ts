/** Leading through a ceremony with work that is only pretended: every interruption at every point, by chance and by rule. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CeremonyPlan,
  conduct,
  type Entry,
  lineDigest,
  openCeremony,
  Progress,
  type Question,
  recordLine,
  type Step,
  stepsOf,
  type Transcript,
  type Work,
} from '../../src/ceremony/index.ts';
import { HoldfastError } from '../../src/core/index.ts';
import { plan, plans } from './plans.ts';

class Crash extends Error {}

/** A machine that may lose its power at any moment; what it had written, and what the token had done, stays. */
class World {
  readonly lines: string[] = [];
  /** How often each step's effect came about, and how often it was taken back. */
  readonly effects = new Map<string, number>();
  /** Half of a step's effect is there. */
  readonly halves = new Set<string>();
  readonly asked: Question[] = [];
  /** Moments until the power goes; undefined: it stays. */
  fuse: number | undefined;

  moment(): void {
    if (this.fuse !== undefined && this.fuse-- <= 0) throw new Crash('the power is gone');
  }

  /** What a new process reads. */
  transcript(): Transcript {
    const progress = new Progress();
    const replay: Entry[] = this.lines.map((line) => JSON.parse(line) as never);
    for (const [i, entry] of replay.entries()) {
      progress.add({ number: i + 1, time: i, entry: this.entries[i] ?? entry }, this.lines[i]!);
    }
    progress.reopen();
    return {
      progress,
      append: async (entry) => {
        this.moment();
        const record = { number: this.lines.length + 1, time: this.lines.length, entry };
        const line = recordLine(record, this.lines.length === 0 ? '0'.repeat(64) : lineDigest(this.lines.at(-1)!));
        progress.add(record, line);
        this.lines.push(line);
        this.entries.push(entry);
        this.moment();
      },
    };
  }

  readonly entries: Entry[] = [];

  work = ({ name }: Step): Work => {
    const outcome = { finding: `${name} is done` };
    const count = () => this.effects.get(name) ?? 0;
    return {
      left: async () => {
        if (this.halves.has(name)) {
          return { state: 'part', what: `half of ${name}`, remove: async () => void this.halves.delete(name) };
        }
        return count() > 0 ? { state: 'all', outcome } : { state: 'nothing' };
      },
      run: async () => {
        if (this.halves.has(name)) throw new Error(`${name} is done over its own half`);
        this.moment();
        if (name === 'keys') {
          this.halves.add(name);
          this.moment();
          this.halves.delete(name);
        }
        this.effects.set(name, count() + 1);
        this.moment();
        return outcome;
      },
    };
  };

  /** One life of the process. */
  async live(answer: (question: Question) => string): Promise<'ended' | 'crashed'> {
    const people = {
      ask: async (question: Question) => {
        this.moment();
        this.asked.push(question);
        return answer(question);
      },
    };
    try {
      const transcript = this.transcript();
      if (transcript.progress.isEmpty) await openCeremony(transcript, this.plan, '1');
      let time = 0;
      await conduct({ transcript, people, work: this.work, elapsed: () => time++ });
      return 'ended';
    } catch (error) {
      if (error instanceof Crash) return 'crashed';
      throw error;
    }
  }

  readonly plan: CeremonyPlan;
  constructor(made: CeremonyPlan) {
    this.plan = made;
  }
}

const willing = (question: Question) => (question.kind === 'destroy' ? question.expected : '');

describe('a ceremony', () => {
  it('comes to its end through any interruptions, and does nothing twice', async () => {
    await fc.assert(
      fc.asyncProperty(plans, fc.array(fc.nat({ max: 30 }), { maxLength: 30 }), async (made, fuses) => {
        const world = new World(made);
        for (const fuse of fuses) {
          world.fuse = fuse;
          if ((await world.live(willing)) === 'ended') break;
        }
        world.fuse = undefined;
        expect(await world.live(willing)).toBe('ended');
        const steps = stepsOf(made).map(({ name }) => name);
        expect(steps.map((name) => world.effects.get(name))).toEqual(steps.map(() => 1));
        expect(world.transcript().progress.closed).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('that nothing interrupts says so', async () => {
    const world = new World(plan);
    expect(await world.live(willing)).toBe('ended');
    expect(world.entries.map(({ kind }) => kind).filter((kind) => kind === 'resumed')).toEqual([]);
    expect(world.entries.length).toBe(2 + 2 * stepsOf(plan).length + 1);
    expect(await world.live(willing)).toBe('ended');
    expect(world.entries.at(-1)).toEqual({ kind: 'closed' });
  });

  it('comes to its end when the power goes once, at each moment there is', async () => {
    for (let fuse = 0; ; fuse++) {
      const world = new World({ ...plan, token: { ...plan.token, state: 'occupied' } });
      world.fuse = fuse;
      const first = await world.live(willing);
      world.fuse = undefined;
      expect(await world.live(willing)).toBe('ended');
      expect([...world.effects.values()].every((times) => times === 1)).toBe(true);
      if (first === 'ended') {
        expect(fuse).toBeGreaterThan(70);
        return;
      }
    }
  });

  it('asks each time before it destroys, and takes nothing but the label for a yes', async () => {
    const world = new World({ ...plan, token: { ...plan.token, state: 'occupied' } });
    const refusing = (question: Question) => (question.kind === 'destroy' ? 'yes' : '');
    for (let i = 0; i < 2; i++) {
      await expect(world.live(refusing)).rejects.toMatchObject({ code: 'not_approved' });
      expect(world.effects.has('initialise')).toBe(false);
    }
    expect(await world.live(willing)).toBe('ended');
    const destroying = world.asked.flatMap((question) => (question.kind === 'destroy' ? [question.id] : []));
    expect(destroying).toEqual([...Array(3).fill('destroy:initialise'), 'destroy:officer']);
    expect(world.entries.filter(({ kind }) => kind === 'answered').length).toBe(2);
  });

  it('asks before it removes what an interrupted attempt has left', async () => {
    const world = new World(plan);
    world.halves.add('keys');
    const seen = [...stepsOf(plan)].findIndex(({ name }) => name === 'keys');
    // A life that ends right after the step has begun.
    for (world.fuse = 0; !world.lines.some((line) => line.includes('"began","number"') && line.includes('"keys"')); ) {
      const before: number = world.fuse ?? 0;
      world.lines.length = 0;
      world.entries.length = 0;
      world.effects.clear();
      world.fuse = before + 1;
      const fuse = world.fuse;
      await world.live(willing);
      world.fuse = fuse;
    }
    world.fuse = undefined;
    world.asked.length = 0;
    expect(await world.live(willing)).toBe('ended');
    expect(seen).toBeGreaterThan(0);
    expect(world.asked.flatMap((question) => (question.kind === 'destroy' ? [question.id] : []))).toEqual([
      'remove:keys',
      'destroy:officer',
    ]);
  });

  it('records what failed, and where nobody answered records no failure', async () => {
    const world = new World(plan);
    const failing = { ...world, work: world.work };
    world.work = (step) =>
      step.name === 'inspect'
        ? {
            left: async () => ({ state: 'nothing' }),
            run: async () => {
              throw new HoldfastError('token_removed', 'no token in "/home/anna/slot x"\n\u202e');
            },
          }
        : failing.work(step);
    await expect(world.live(willing)).rejects.toMatchObject({ code: 'token_removed' });
    expect(world.entries.at(-1)).toMatchObject({
      kind: 'ended',
      result: 'failed',
      finding: 'token_removed: no token in "slot x"',
    });
    world.work = failing.work;
    const gone = () => {
      throw new HoldfastError('cancelled', 'cancelled');
    };
    await expect(world.live(gone)).rejects.toMatchObject({ code: 'cancelled' });
    expect(world.entries.filter(({ kind }) => kind === 'ended').length).toBe(1);
    expect(await world.live(willing)).toBe('ended');
  });
});
