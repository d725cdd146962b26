/** Closing a service: everything is closed, in order, whatever fails on the way. */

import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import { closeInTurn, createLogger, listenAt } from '../../src/http/index.ts';

function logged() {
  const events: string[] = [];
  const log = createLogger('info', {}, { write: (line) => void events.push(JSON.parse(line).event) });
  return { log, events };
}

describe('closing in turn', () => {
  it('begins a step when the one before has ended', async () => {
    const { log, events } = logged();
    const order: string[] = [];
    const slow = async () => {
      order.push('first begins');
      await new Promise((resolve) => setImmediate(resolve));
      order.push('first ends');
    };
    await closeInTurn(log, [slow, () => order.push('second')]);
    expect(order).toEqual(['first begins', 'first ends', 'second']);
    expect(events).toEqual(['stopping', 'stopped']);
  });

  it('goes through all steps where some fail, then fails as the first did, and never says that it has stopped', async () => {
    const { log, events } = logged();
    const done: number[] = [];
    const steps = [
      () => Promise.reject(new HoldfastError('token_failed', 'first')),
      () => {
        throw new Error('second');
      },
      () => void done.push(3),
    ];
    await expect(closeInTurn(log, steps)).rejects.toMatchObject({ code: 'token_failed', message: 'first' });
    expect(done).toEqual([3]);
    expect(events).toEqual(['stopping']);
  });
});

describe('listening', () => {
  it('at an address that is taken says which', async () => {
    const app = { listen: () => Promise.reject(new Error('EADDRINUSE')) } as unknown as Parameters<typeof listenAt>[0];
    await expect(listenAt(app, { host: '127.0.0.1', port: 4711 })).rejects.toMatchObject({
      code: 'usage',
      message: 'cannot listen on 127.0.0.1 port 4711; is it in use?',
    });
  });
});
