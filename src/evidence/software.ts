/**
 * The statement on software: SLSA provenance v1 (slsa.dev/provenance/v1) of what was built out of which source. It says what
 * was built and lets anybody build it again; it does not say what runs.
 */

import type { JsonValue } from '../core/index.ts';
import { type CanonicalValue, type Digest, readDigest } from '../trust/index.ts';
import { readLine } from './lines.ts';

export interface SoftwareArtifact {
  /** Such as `holdfast container image` or `holdfast npm package`. */
  readonly name: string;
  readonly sha256: Digest;
}

export interface SoftwarePredicate {
  readonly version: string;
  /** `git+https://...`: where the source is. */
  readonly source: string;
  /** Commit of the source, 40 or 64 hexadecimal digits. */
  readonly commit: string;
  /** SHA-256 of package-lock.json in that commit. */
  readonly lockfile: Digest;
  /** URI of who built, such as `https://operator.example/builder`. */
  readonly builder: string;
  /** What came out: the image's digest and others, 1 to 16, with different names. */
  readonly artifacts: readonly SoftwareArtifact[];
}

export const BUILD_TYPE = 'https://holdfast.invalid/evidence/build/v1';
const LOCKFILE = 'package-lock.json';

export function writeSoftware({
  version,
  source,
  commit,
  lockfile,
  builder,
  artifacts,
}: SoftwarePredicate): CanonicalValue {
  return {
    buildDefinition: {
      buildType: BUILD_TYPE,
      externalParameters: { version, source },
      resolvedDependencies: [
        { uri: source, digest: { gitCommit: commit } },
        { name: LOCKFILE, digest: { sha256: lockfile } },
      ],
    },
    runDetails: {
      builder: { id: builder },
      byproducts: artifacts.map(({ name, sha256 }) => ({ name, digest: { sha256 } })),
    },
  };
}

/** Reads what `writeSoftware` writes. Throws as `JsonValue` does. */
export function readSoftware(value: JsonValue): SoftwarePredicate {
  const file = value.object(['buildDefinition', 'runDetails']);
  const definition = file
    .required('buildDefinition')
    .object(['buildType', 'externalParameters', 'resolvedDependencies']);
  definition.required('buildType').word([BUILD_TYPE]);
  const parameters = definition.required('externalParameters').object(['version', 'source']);
  const [first, second] = definition.required('resolvedDependencies').array(2, 2);
  const repository = first!.object(['uri', 'digest']);
  const lock = second!.object(['name', 'digest']);
  lock.required('name').word([LOCKFILE]);
  const source = readUri(parameters.required('source'));
  if (repository.required('uri').text(512) !== source) first!.fail('must be the source');
  const details = file.required('runDetails').object(['builder', 'byproducts']);
  const artifacts = details.required('byproducts').array(1, 16).map(readArtifact);
  if (new Set(artifacts.map(({ name }) => name)).size !== artifacts.length) {
    details.required('byproducts').fail('must have different names');
  }
  return {
    version: readLine(parameters.required('version'), 64),
    source,
    commit: readCommit(repository.required('digest').object(['gitCommit']).required('gitCommit')),
    lockfile: readDigest(lock.required('digest').object(['sha256']).required('sha256')),
    builder: readUri(details.required('builder').object(['id']).required('id')),
    artifacts,
  };
}

function readArtifact(value: JsonValue): SoftwareArtifact {
  const artifact = value.object(['name', 'digest']);
  return {
    name: readLine(artifact.required('name'), 128),
    sha256: readDigest(artifact.required('digest').object(['sha256']).required('sha256')),
  };
}

function readCommit(value: JsonValue): string {
  const commit = value.text(64);
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(commit) ? commit : value.fail('must be a commit of git');
}

function readUri(value: JsonValue): string {
  const text = readLine(value, 512);
  return /^(?:git\+)?https:\/\/[^\s]+$/.test(text) && URL.canParse(text) ? text : value.fail('must be an https URI');
}
