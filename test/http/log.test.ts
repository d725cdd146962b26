/** Logs: one JSON object a line, and nothing in it that is named like a secret. */

import { describe, expect, it } from 'vitest';
import { createLogger } from '../../src/http/index.ts';

describe('a log line', () => {
  it('is JSON with level, time and service, secrets by name removed at both depths', () => {
    const lines: string[] = [];
    const log = createLogger('info', { service: 'node', node: 3 }, { write: (line) => void lines.push(line) });
    log.debug({ event: 'not shown' });
    log.warn({ event: 'tried', pin: '4711', request: { userToken: 'eyJ', record: 'abc' } });
    expect(lines.length).toBe(1);
    const { time, ...line } = JSON.parse(lines[0]!);
    expect(new Date(time).toISOString()).toBe(time);
    expect(line).toEqual({
      level: 'warn',
      service: 'node',
      node: 3,
      event: 'tried',
      pin: '[redacted]',
      request: { userToken: '[redacted]', record: 'abc' },
    });
  });
});
