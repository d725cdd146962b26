/**
 * The image's bill of materials, CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/): npm's own list of the packages that
 * run, Node, and the Debian packages of the final stage. The same packages always give the same bytes: no time, and a serial
 * number made from the content.
 *
 *   bill-of-materials.mjs NPM_SBOM DPKG_STATUS OS_RELEASE APP
 */

import { createHash } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [npmFile, statusFile, releaseFile, app] = process.argv.slice(2);
if (!app) throw new Error('usage: bill-of-materials.mjs NPM_SBOM DPKG_STATUS OS_RELEASE APP');

const bill = JSON.parse(readFileSync(npmFile, 'utf8'));
const release = Object.fromEntries(
  readFileSync(releaseFile, 'utf8')
    .split('\n')
    .map((line) => /^(\w+)="?(.*?)"?$/.exec(line)?.slice(1) ?? ['', '']),
);

/** deb822 paragraphs of /var/lib/dpkg/status: one installed package each. */
const packages = readFileSync(statusFile, 'utf8')
  .split('\n\n')
  .map((paragraph) => (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(paragraph)?.[1])
  .filter((field) => field('Status') === 'install ok installed')
  .map((field) => {
    const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
    const purl = `pkg:deb/${release.ID}/${name}@${encodeURIComponent(version)}?arch=${architecture}&distro=${release.ID}-${release.VERSION_ID}`;
    return { 'bom-ref': purl, type: 'library', name, version, purl };
  });

const version = process.versions.node;
const node = {
  'bom-ref': `node@${version}`,
  type: 'application',
  name: 'node',
  version,
  purl: `pkg:npm/node@${version}`,
  licenses: [{ license: { id: 'MIT' } }],
};

// npm leaves out what development needs too, so what lies in the image decides.
const present = globSync('**/node_modules/{*,@*/*}/package.json', { cwd: app }).map((path) => {
  const { name, version } = JSON.parse(readFileSync(join(app, path), 'utf8'));
  return { name, version, purl: `pkg:npm/${name.replace('@', '%40')}@${version}` };
});
const listed = new Map(bill.components.map((component) => [component.purl, component]));
const npm = [...new Map(present.map((one) => [one.purl, one])).values()].map(
  ({ name, version, purl }) =>
    listed.get(purl) ?? { 'bom-ref': `${name}@${version}`, type: 'library', name, version, purl },
);

delete bill.metadata.timestamp;
const byReference = (a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1);
bill.components = [...npm, node, ...packages].sort(byReference);
bill.dependencies?.sort((a, b) => (a.ref < b.ref ? -1 : 1));
delete bill.serialNumber;
const digest = createHash('sha256').update(JSON.stringify(bill)).digest('hex');
// RFC 9562, section 5.8: a UUID whose bits are one's own choice.
const uuid = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-8${digest.slice(13, 16)}-a${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
console.log(JSON.stringify({ ...bill, serialNumber: `urn:uuid:${uuid}` }, undefined, 1));
