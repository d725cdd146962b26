/** What a client does before it trusts a fleet. */

export * from './trust-set.ts';
