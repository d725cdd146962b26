/** What changed from one manifest to the next, as data for people who have to approve it. */

import { parseJson } from '../../core/index.ts';
import type { CanonicalValue } from '../canonical.ts';
import { epochSentences } from './epochs-diff.ts';
import type { Manifest } from './manifest.ts';
import { serialiseBundle } from './manifest-text.ts';
import { weakenings } from './strength.ts';

export interface ManifestChange {
  /** Where in the manifest, for example `nodes.node-2.endpoint`: nodes by their names, those of earlier epochs as `earlier.1.3.oprf`. */
  readonly path: string;
  /** As canonical JSON; undefined where it was not, or is no longer. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface ManifestDiff {
  readonly changes: readonly ManifestChange[];
  /** What becomes of earlier epochs and their records, as sentences. */
  readonly epochs: readonly string[];
  /** What makes the fleet weaker, as sentences. */
  readonly weaker: readonly string[];
}

/**
 * Compares all members of two manifests, nodes by their names. `before` is undefined for a fleet's first bundle.
 * @throws HoldfastError `bundle_malformed` for a manifest that cannot be written.
 */
export function diffManifests(before: Manifest | undefined, after: Manifest): ManifestDiff {
  const [was, is] = [before === undefined ? new Map<string, string>() : membersOf(before), membersOf(after)];
  const paths = [...new Set([...was.keys(), ...is.keys()])].sort();
  const changes = paths
    .map((path) => ({ path, before: was.get(path), after: is.get(path) }))
    .filter((change) => change.before !== change.after);
  const comparable = before !== undefined && before.kind !== 'revoke' && after.kind !== 'revoke';
  if (!comparable) return { changes, epochs: [], weaker: [] };
  return { changes, epochs: epochSentences(before, after), weaker: weakenings(before, after) };
}

type Members = { readonly [name: string]: CanonicalValue };

function membersOf(manifest: Manifest): Map<string, string> {
  const line = serialiseBundle(manifest).split('\n')[1]!;
  const found = new Map<string, string>();
  collect(parseJson(line, 'bundle_malformed').value as Members, '', found);
  return found;
}

function collect(value: Members, path: string, found: Map<string, string>): void {
  for (const [name, member] of Object.entries(value)) {
    const at = path === '' ? name : `${path}.${name}`;
    if (name === 'nodes') {
      for (const node of member as readonly Members[]) collect(node, `${at}.${String(node.name)}`, found);
    } else if (name === 'earlier') {
      for (const { epoch, nodes } of member as readonly Members[]) {
        for (const [i, node] of (nodes as readonly Members[]).entries())
          collect(node, `${at}.${epoch}.${i + 1}`, found);
      }
    } else if (typeof member === 'object' && member !== null && !Array.isArray(member)) {
      collect(member as Members, at, found);
    } else {
      found.set(at, JSON.stringify(member));
    }
  }
}
