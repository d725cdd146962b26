/** Audits a fleet of five nodes without any of Node's own cryptography, as a browser does; prints milliseconds and the report. */

import { auditReportMembers, runAudit } from '../../src/audit/index.ts';
import { bundleNode, deployment } from '../trust/manifests.ts';
import { AuditScene } from './scene.ts';

const nodes = [1, 2, 3, 4, 5].map((number) => bundleNode(number));
const policy = { ...deployment().policy, minimumShares: 4 };
const scene = await AuditScene.make({ bundle: { nodes, policy } });
const before = performance.now();
const report = await runAudit(scene.options());
const milliseconds = Math.round(performance.now() - before);
console.log(JSON.stringify({ milliseconds, report: auditReportMembers(report) }));
