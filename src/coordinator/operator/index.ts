/** The operator's dashboard: looks at the nodes, sessions, and its listener. */

export { FleetObserver, type FleetObserverOptions, type ReadMonitoring } from './observer.ts';
export { operatorApiDocument } from './openapi.ts';
export { createOperatorServer, type OperatorServerOptions } from './server.ts';
export { type DashboardOptions, type RunningDashboard, startDashboard } from './service.ts';
export { MAXIMUM_CREDENTIAL, MINIMUM_CREDENTIAL, Sessions } from './sessions.ts';
