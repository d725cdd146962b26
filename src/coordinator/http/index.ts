/** The coordinator as a service: the public API, the way to the nodes, and background work. */

export { Background, type MaintenanceIntervals } from './background.ts';
export { CoordinatorMetrics } from './metrics.ts';
export { openApiDocument } from './openapi.ts';
export { type CoordinatorServerOptions, createCoordinatorServer } from './server.ts';
export { type CoordinatorServiceOptions, type RunningCoordinator, startCoordinatorService } from './service.ts';
export { HttpNodeTransport, type HttpNodeTransportOptions, type NodeEndpoint } from './transport.ts';
export { type KnownTrustSet, TrustSource, type TrustSourceSettings } from './trust-source.ts';
