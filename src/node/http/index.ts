/** The vault node as a service over mutual TLS. */

export { NodeMetrics } from './metrics.ts';
export { createNodeServer, NODE_CONTENT_TYPE, type NodeServerOptions } from './server.ts';
export { type NodeServiceOptions, type RunningNode, startNodeService } from './service.ts';
export { parseTenants } from './tenants.ts';
