/** The witness over HTTP. */

export * from './metrics.ts';
export * from './server.ts';
export * from './service.ts';
