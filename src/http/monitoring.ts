/**
 * The monitoring listener: health, readiness and metrics in the Prometheus text format, on plain HTTP and by default on
 * loopback, so that monitoring needs no certificate of the fleet and the public sees nothing of it.
 */

import { type FastifyInstance, fastify } from 'fastify';
import type { Registry } from 'prom-client';

export interface Readiness {
  readonly ready: boolean;
  /** Why not, for people; empty when ready. */
  readonly reason: string;
}

export interface MonitoringOptions {
  readonly registry: Registry;
  readonly readiness: () => Readiness | Promise<Readiness>;
}

/** `GET /healthz`: the process is alive. `GET /readyz`: 200, or 503 with the reason. `GET /metrics`. */
export function createMonitoring({ registry, readiness }: MonitoringOptions): FastifyInstance {
  const app = fastify({ logger: false, bodyLimit: 1024, requestTimeout: 10_000, forceCloseConnections: true });
  addMonitoringRoutes(app, { registry, readiness });
  return app;
}

export function addMonitoringRoutes(app: FastifyInstance, { registry, readiness }: MonitoringOptions): void {
  addHealthRoutes(app, readiness);
  app.get('/metrics', async (_request, reply) => {
    return reply.header('content-type', registry.contentType).send(await registry.metrics());
  });
}

export function addHealthRoutes(app: FastifyInstance, readiness: MonitoringOptions['readiness']): void {
  app.get('/healthz', { config: { rateLimit: false } }, async () => ({ status: 'ok' }));
  app.get('/readyz', { config: { rateLimit: false } }, async (_request, reply) => {
    const { ready, reason } = await readiness();
    return reply.code(ready ? 200 : 503).send(ready ? { status: 'ready' } : { status: 'not_ready', reason });
  });
}
