/** `holdfast/client`: the SDK for Node and browsers. */

export { type ErrorCode, HoldfastError, Secret } from '../core/index.ts';
export * from './http.ts';
export * from './ports.ts';
export * from './suite.ts';
export * from './vault-client.ts';
