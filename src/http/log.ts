/** Structured logs: one JSON object a line. Secrets are never given to it; what is named like one is removed anyway. */

import { type DestinationStream, type Logger, pino } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Names that no log line may carry, at the top and one level down. */
const SECRET_NAMES = ['pin', 'password', 'secret', 'userToken', 'authorization', 'privateKey', 'privateKeyPem', 'key'];

/** `base` is in every line, for example the service and the node's number. Writes to standard error by default. */
export function createLogger(
  level: LogLevel,
  base: Readonly<Record<string, string | number>>,
  destination: DestinationStream = pino.destination(2),
): Logger {
  const paths = SECRET_NAMES.flatMap((name) => [name, `*.${name}`]);
  return pino(
    {
      level,
      base,
      redact: { paths, censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}
