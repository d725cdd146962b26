/** Showing what the log says: figures first, then fleets, then log and witnesses. */

import type { TokenFacts } from '../../evidence/index.ts';
import { threshold } from '../../protocol/index.ts';
import type { Child } from '../common/index.ts';
import { element, type IconName, icon } from '../common/index.ts';
import { type Changes, changesOf } from './changes.ts';
import { facts, fingerprint, notice, section } from './header.ts';
import type { BundleView, FleetView, Overview, RevocationView, SignerView } from './overview.ts';
import { TEXTS } from './texts.ts';

const { words } = TEXTS;

/** Four figures. `now` in milliseconds since 1970. */
export function showGlance({ fleets, witnesses, confirmed, size, policy }: Overview, now: number): HTMLElement {
  const { glance } = TEXTS;
  const live = fleets.filter(({ state }) => state === 'live').length;
  const have = witnesses.filter((witness) => witness.confirmed !== undefined).length;
  const fresh = confirmed !== undefined && now - confirmed <= policy.policy.maxAge * 1000;
  const figure = (sign: IconName, name: string, value: string, note: string, bad = false) =>
    element(
      'div',
      { class: bad ? 'figure figure-bad' : 'figure' },
      element('dt', {}, icon(sign), ' ', name),
      element('dd', {}, element('span', { class: 'value' }, value), ' ', element('span', { class: 'hint' }, note)),
    );
  return element(
    'dl',
    { class: 'figures' },
    figure('key', glance.fleets, words.number(live), glance.fleetsNote(fleets.length)),
    figure('people', glance.witnesses, words.number(have), glance.witnessesNote(witnesses.length)),
    figure(
      'clock',
      glance.fresh,
      confirmed === undefined ? glance.never : words.ago(confirmed, now),
      confirmed === undefined ? glance.neverNote : glance.freshNote(fresh),
      !fresh,
    ),
    figure('log', glance.entries, words.number(size), glance.entriesNote),
  );
}

/** One card for each fleet. `hardware`: by the fleet's name, then the node's. */
export function showFleets(
  { fleets }: Overview,
  hardware: ReadonlyMap<string, ReadonlyMap<string, TokenFacts>>,
  now: number,
): HTMLElement {
  const cards = fleets.map((fleet) => showFleet(fleet, hardware.get(fleet.name) ?? new Map(), now));
  return section(
    'fleets',
    TEXTS.fleets.heading,
    element('p', { class: 'hint' }, TEXTS.fleets.lead),
    cards.length === 0 ? element('p', {}, TEXTS.fleets.none) : element('div', { class: 'stack' }, cards),
  );
}

const STATE_LOOKS = { live: 'badge badge-good', retired: 'badge badge-warn', revoked: 'badge badge-bad' } as const;

function showFleet(fleet: FleetView, hardware: ReadonlyMap<string, TokenFacts>, now: number): HTMLElement {
  const { fleets } = TEXTS;
  const { name, state, bundles } = fleet;
  const current = bundles.at(-1);
  const id = `fleet-${name}`;
  const head = element(
    'div',
    { class: 'card-head' },
    element('h3', { id }, name),
    element('span', { class: STATE_LOOKS[state] }, fleets.states[state]),
    // Filled when the audit has come to this fleet.
    element('span', { class: 'verdict', 'data-fleet': name }),
  );
  return element(
    'article',
    { class: 'card fleet', 'aria-labelledby': id },
    head,
    standing(fleet),
    current && [
      facts(fleetFacts(bundles[0]!, current, now)),
      element('h4', {}, fleets.nodes),
      nodeTable(name, current, hardware),
      element('h4', {}, fleets.history),
      history(fleet),
    ],
  );
}

function standing({ state, bundles, revocations, proposed }: FleetView): Child {
  const { fleets } = TEXTS;
  const revocation = revocations.at(-1);
  const manifest = bundles.at(-1)?.manifest;
  const found: Child[] = [];
  if (state === 'revoked' && revocation) {
    const by = revocation.signers.map(signerName).join(', ');
    found.push(notice('bad', element('p', {}, fleets.revoked(by, revocation.manifest.reason))));
  } else if (manifest?.kind === 'retire') {
    found.push(notice('warn', element('p', {}, fleets.retired(manifest.successor, words.date(manifest.sunset)))));
  }
  if (proposed !== undefined) found.push(notice('info', element('p', {}, fleets.proposed(proposed))));
  return found;
}

const signerName = ({ name, organisation }: SignerView) => TEXTS.fleets.signer(name, organisation);

function fleetFacts(first: BundleView, { manifest, signers }: BundleView, now: number): (readonly [string, Child])[] {
  const { fleets } = TEXTS;
  const { nodes, policy, notAfter } = manifest;
  const t = threshold({ nodes: nodes.map(({ keys }) => keys) });
  const until = words.date(notAfter);
  return [
    [fleets.since, [words.date(first.manifest.notBefore), ' · ', fleets.sinceNote(manifest.serial)]],
    [fleets.validUntil, now > notAfter ? [until, ' ', badge('bad', fleets.expired)] : until],
    [fleets.threshold, fleets.thresholdNote(t, nodes.length, new Set(nodes.map(({ operator }) => operator)).size)],
    [fleets.guesses, fleets.guessesNote(policy.limit, policy.lifetimeLimit)],
    [
      fleets.signers,
      element(
        'ul',
        { class: 'plain' },
        // A bundle's note has the cosigner's line first, then the operator's.
        signers.map((signer, i) => element('li', {}, `${fleets.signerRoles[i] ?? ''}: ${signerName(signer)}`)),
      ),
    ],
  ];
}

const badge = (kind: 'good' | 'bad' | 'warn', text: string) => element('span', { class: `badge badge-${kind}` }, text);

function nodeTable(name: string, { manifest }: BundleView, hardware: ReadonlyMap<string, TokenFacts>): HTMLElement {
  const { fleets } = TEXTS;
  const looks = { attested: 'badge', declared: 'badge badge-warn', emulated: 'badge badge-bad' } as const;
  const rows = manifest.nodes.map((node) => [
    node.name,
    node.operator,
    node.region,
    [
      element('span', { class: looks[node.tokenClass] }, TEXTS.hardware.badges[node.tokenClass]),
      element('p', { class: 'claim' }, TEXTS.hardware.sentence(node.tokenClass, hardware.get(node.name))),
    ],
  ]);
  return table(`${fleets.nodes}: ${name}`, [fleets.node, fleets.operator, fleets.region, fleets.hardware], rows);
}

/** A table that becomes a list of cards where there is no room: each cell knows its column. */
function table(label: string, columns: readonly string[], rows: readonly (readonly Child[])[]): HTMLElement {
  return element(
    'table',
    { class: 'table', 'aria-label': label },
    element(
      'thead',
      {},
      element(
        'tr',
        {},
        columns.map((column) => element('th', { scope: 'col' }, column)),
      ),
    ),
    element(
      'tbody',
      {},
      rows.map(([first, ...more]) =>
        element(
          'tr',
          {},
          element('th', { scope: 'row' }, first),
          more.map((cell, i) => element('td', { 'data-column': columns[i + 1] }, element('div', {}, cell))),
        ),
      ),
    ),
  );
}

function history({ bundles, revocations }: FleetView): HTMLElement {
  const entries = [
    ...bundles.map((bundle, i) => ({
      index: bundle.index,
      item: () => historyEntry(bundle, changesOf(bundles[i - 1]?.manifest, bundle.manifest)),
    })),
    ...revocations.map((revocation) => ({ index: revocation.index, item: () => revocationEntry(revocation) })),
  ];
  const newestFirst = entries.sort((a, b) => b.index - a.index).map(({ item }) => item());
  return element('ol', { class: 'history', reversed: true }, newestFirst);
}

function revocationEntry({ manifest, index, signers }: RevocationView): HTMLElement {
  const { fleets } = TEXTS;
  return element(
    'li',
    {},
    element(
      'p',
      { class: 'history-head' },
      badge('bad', fleets.states.revoked),
      ' ',
      element('span', { class: 'hint' }, fleets.entry(index)),
    ),
    element(
      'ul',
      {},
      element('li', {}, fleets.revokedEntry(manifest.serial)),
      element('li', {}, fleets.revoked(signers.map(signerName).join(', '), manifest.reason)),
    ),
  );
}

function historyEntry({ manifest, index, digest }: BundleView, { sentences, weaker }: Changes): HTMLElement {
  const { fleets } = TEXTS;
  return element(
    'li',
    {},
    element(
      'p',
      { class: 'history-head' },
      element('strong', {}, words.date(manifest.notBefore)),
      ' ',
      element('span', { class: 'hint' }, `${fleets.serial(manifest.serial)} · ${fleets.entry(index)}`),
    ),
    element(
      'ul',
      {},
      (sentences.length === 0 ? [fleets.nothingChanged] : sentences).map((sentence) => element('li', {}, sentence)),
      weaker.map((sentence) => element('li', {}, badge('warn', fleets.weaker), ' ', sentence)),
    ),
    element('p', { class: 'hint' }, `${fleets.digest}: `, fingerprint(digest)),
  );
}

export function showLog(
  { origin, size, root, confirmed, policy, witnesses, entries }: Overview,
  now: number,
): HTMLElement {
  const { log, glance } = TEXTS;
  const { version, expires, maxAge } = policy.policy;
  const kinds = Object.entries(log.kinds).flatMap(([type, name]) => {
    const amount = entries[type as keyof typeof log.kinds];
    return amount === undefined ? [] : [`${words.number(amount)} ${name}`];
  });
  const rows = witnesses.map(({ name, organisation, auditing, confirmed: at }) => [
    element('code', {}, name),
    organisation,
    auditing ? log.auditing : log.plain,
    at === undefined ? badge('warn', log.notConfirmed) : words.ago(at, now),
  ]);
  return section(
    'log',
    log.heading,
    element('p', { class: 'hint' }, log.lead),
    element(
      'div',
      { class: 'card' },
      facts([
        [log.origin, element('code', {}, origin)],
        [log.size, `${words.number(size)} (${kinds.join(', ')})`],
        [log.root, fingerprint(root)],
        [log.confirmed, confirmed === undefined ? badge('bad', glance.never) : words.dateTime(confirmed)],
        [log.rules, log.rulesNote(version, words.date(expires), words.duration(maxAge * 1000))],
      ]),
      element('h3', { class: 'below' }, log.witnesses),
      table(log.witnesses, [log.witness, log.organisation, log.kind, log.last], rows),
    ),
  );
}
