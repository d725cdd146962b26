/** Audits a fleet of five nodes without any of Node's own cryptography, as a browser does; prints milliseconds of the processor and the report. */

import { auditReportMembers, runAudit } from '../../src/audit/index.ts';
import { bundleNode, deployment } from '../trust/manifests.ts';
import { AuditScene } from './scene.ts';

const nodes = [1, 2, 3, 4, 5].map((number) => bundleNode(number));
const policy = { ...deployment().policy, minimumShares: 4 };
const scene = await AuditScene.make({ bundle: { nodes, policy } });
// Not of the clock, which goes on while the machine does something else.
const before = process.cpuUsage();
const report = await runAudit(scene.options());
const { user, system } = process.cpuUsage(before);
const milliseconds = Math.round((user + system) / 1000);
console.log(JSON.stringify({ milliseconds, report: auditReportMembers(report) }));
