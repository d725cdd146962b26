/** Prometheus's files of docs/deploy: rules over metrics that there are, checked by promtool where it is installed. */

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Registry } from 'prom-client';
import { describe, expect, it, type TestContext } from 'vitest';
import { CoordinatorMetrics } from '../../src/coordinator/http/index.ts';
import { MonitorMetrics } from '../../src/cosigner/monitor/metrics.ts';
import { CosignerMetrics } from '../../src/cosigner/service/metrics.ts';
import { WitnessMetrics } from '../../src/cosigner/witness/http/metrics.ts';
import { createLogger } from '../../src/http/index.ts';
import { NodeMetrics } from '../../src/node/http/index.ts';
import { SoftwareToken } from '../../src/token/software.ts';

const root = resolve(import.meta.dirname, '../..');
const deploy = join(root, 'docs/deploy');
const rules = readFileSync(join(deploy, 'alerts.yml'), 'utf8');
const silent = createLogger('silent', {});

const namesOf = (registry: Registry) => registry.getMetricsAsArray().map(({ name }) => name);
/** What each role has, with what a histogram is made of. */
const metrics = new Set(
  [
    new NodeMetrics(new SoftwareToken(), silent, () => 0),
    new CoordinatorMetrics(silent),
    new CosignerMetrics(),
    new WitnessMetrics(),
    new MonitorMetrics(),
  ].flatMap(({ registry }) =>
    namesOf(registry).flatMap((name) => [name, `${name}_bucket`, `${name}_sum`, `${name}_count`]),
  ),
);
const alerts = rules.split(/^ {6}- alert: /m).slice(1);

describe('the alert rules', () => {
  it('are over metrics that there are', () => {
    const used = [...rules.matchAll(/\bholdfast_\w+/g)].map(([name]) => name);
    expect(new Set(used).size).toBeGreaterThan(10);
    expect(used.filter((name) => !metrics.has(name))).toEqual([]);
  });

  it('each have a name of their own, a severity, and words for whoever is woken', () => {
    const names = alerts.map((alert) => /^Holdfast\w+$/m.exec(alert)?.[0]);
    expect(alerts.length).toBeGreaterThan(10);
    expect(new Set(names).size).toBe(alerts.length);
    for (const alert of alerts) {
      expect(alert).toMatch(/^ {8}expr: ['"].+['"]$/m);
      expect(alert).toMatch(/^ {8}labels: \{ severity: (critical|warning|notice) \}$/m);
      expect(alert).toMatch(/^ {10}summary: .+$/m);
      expect(alert).toMatch(/^ {10}description: .+\.$/m);
    }
  });

  it('know the jobs that are scraped, of every role', () => {
    const scraped = ['prometheus.yml', 'targets.yml'].map((name) => readFileSync(join(deploy, name), 'utf8')).join('');
    for (const role of ['node', 'coordinator', 'cosigner', 'witness', 'monitor'])
      expect(scraped).toContain(`holdfast-${role}`);
  });
});

describe('promtool', () => {
  // scripts/setup fetches it where the machine has none.
  const fetched = join(root, 'work/tools/usr/bin/promtool');
  const promtool = existsSync(fetched) ? fetched : 'promtool';
  const there = spawnSync(promtool, ['--version']).status === 0;
  const need = (test: TestContext) => {
    // biome-ignore lint/suspicious/noSkippedTests: only where the tool is not installed, with the reason
    test.skip(!there, 'promtool is not there, and scripts/setup --with test could not fetch it (package prometheus)');
  };
  const run = (...words: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(promtool, words, { encoding: 'utf8' });
    expect(status, `${stdout}${stderr}`).toBe(0);
  };

  it('takes the configuration and the rules', (test) => {
    need(test);
    run('check', 'config', join(deploy, 'prometheus.yml'));
  });

  it('sees the alerts go off when they should', (test) => {
    need(test);
    run('test', 'rules', join(root, 'test/deploy/alert-rules.yml'));
  });
});
