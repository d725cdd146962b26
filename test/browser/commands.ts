/** What the test and the page say to each other. Types only. */

import type { Status } from '../../src/client/index.ts';
import type { ValueInput, Values } from './values.ts';

/** An application's own knowledge of its fleet and user. */
export interface Account {
  /** The trust file's text. */
  readonly trust: string;
  /** As `holdfast user-token` writes it. */
  readonly credential: { readonly userToken: string; readonly clientKey: unknown };
  /** Milliseconds; default: as long as the machine takes. */
  readonly patience?: number;
}

/** Each command's arguments and result. */
export interface Commands {
  runtime: [arguments: Record<string, never>, result: { node: boolean; secureContext: boolean; userAgent: string }];
  values: [arguments: ValueInput, result: Values];
  status: [arguments: Account, result: Status];
  enrol: [
    arguments: Account & { pin: string; secret: readonly number[] },
    result: { generation: number; nodes: readonly number[]; degraded: boolean },
  ];
  recover: [
    arguments: Account & { pin: string },
    result: { secret: readonly number[]; generation: number; earlierAttempts: number },
  ];
  changePin: [arguments: Account & { pin: string; newPin: string }, result: { generation: number }];
  delete: [arguments: Account & { pin: string }, result: Record<string, never>];
  /** Verifies a fleet from a trust anchor's text, several times, and tries the browser's store of trust state. */
  trust: [
    arguments: { anchor: string; set: readonly number[]; states: readonly (readonly number[])[]; clock: number },
    result: { fleet: string; serial: number; mode: string; store: readonly string[] } & {
      /** Of each verification of the whole, and beside it of one signature. */
      milliseconds: readonly number[];
      ofSignature: readonly number[];
    },
  ];
  /** Goes to another address, whose page takes the commands that follow. */
  navigate: [arguments: { url: string }, result: Record<string, never>];
}

export type CommandName = keyof Commands;

export interface Command<N extends CommandName = CommandName> {
  readonly id: number;
  readonly name: N;
  readonly arguments: Commands[N][0];
}

export interface ReportedError {
  /** The code of a HoldfastError, else the name of the error's class. */
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface Report {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: ReportedError;
}
