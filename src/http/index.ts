/** What every HTTP service of Holdfast shares: logs, problem details, the monitoring listener, bounded shutdown. */

export {
  type AppOptions,
  addJsonBodies,
  addProblems,
  addRateLimit,
  createApp,
  type RateLimit,
} from './app.ts';
export * from './files.ts';
export * from './frame-client.ts';
export * from './frame-server.ts';
export { FRAMES_PROTOCOL } from './frames.ts';
export * from './listen.ts';
export * from './log.ts';
export * from './monitoring.ts';
export { networkOf } from './network.ts';
export * from './pages.ts';
export * from './problem.ts';
export { type Refusal, refusals } from './refusals.ts';
export * from './shutdown.ts';
