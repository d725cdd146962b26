/** What node and coordinator configurations have in common. */

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface ListenConfiguration {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** Paths of PEM files. */
export interface TlsFiles {
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}
