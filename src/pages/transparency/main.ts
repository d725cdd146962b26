/** The transparency page: what a log says of fleets, and the audit of it in the visitor's own browser. */

import { AuditedSite, type AuditReport } from '../../audit/index.ts';
import { asHoldfastError } from '../../core/index.ts';
import type { TokenFacts } from '../../evidence/index.ts';
import { Announcer, button, element, icon, replace } from '../common/index.ts';
import { about } from './about.ts';
import { AnchorChoice } from './anchor.ts';
import { Check } from './check.ts';
import { loadHardware } from './hardware.ts';
import { header, hero, notice, section } from './header.ts';
import { loadOverview } from './overview.ts';
import { showFleets, showGlance, showLog } from './show-overview.ts';
import { type CheckedSite, siteOf } from './site.ts';
import { BrowserSource } from './source.ts';
import { TEXTS } from './texts.ts';

const MAXIMUM_LEAVES = 20_000;

function siteOrReason(): CheckedSite | string {
  const named = document.querySelector('meta[name="holdfast-site"]')?.getAttribute('content') ?? '';
  try {
    return siteOf(location.href, named);
  } catch (error) {
    return asHoldfastError(error).message;
  }
}

function start(): void {
  const site = siteOrReason();
  if (typeof site === 'string') {
    const main = element('main', { id: 'main', class: 'wrap content' }, element('h1', {}, TEXTS.failed.heading));
    main.append(notice('bad', element('p', {}, site)));
    document.body.replaceChildren(main);
    return;
  }
  document.title = TEXTS.title(new URL(site.address).host);
  const begin = button([icon('shield'), TEXTS.hero.button], () => {}, {
    class: 'button button-primary button-large',
    id: 'start',
    'aria-describedby': 'start-hint',
  });
  const glance = element('div', { id: 'glance' }, element('p', { class: 'hint' }, TEXTS.glance.loading));
  const said = element('div', { class: 'said' });
  const announcer = new Announcer();
  const anchor = new AnchorChoice(announcer, () => void load());
  let report: AuditReport | undefined;
  const check = new Check({
    ...{ site: site.address, anchor, announcer, start: begin },
    onResult: (result) => {
      report = result;
      showVerdicts(said, report);
    },
  });

  /** The overview, again whenever somebody else is to be believed. Only the last one that was asked for is shown. */
  let asked = 0;
  async function load(): Promise<void> {
    const mine = ++asked;
    const audited = new AuditedSite(new BrowserSource(), (site as CheckedSite).address, MAXIMUM_LEAVES, undefined);
    try {
      const overview = await loadOverview(audited, anchor.anchor);
      const live = overview.fleets.flatMap(({ name, bundles }) =>
        bundles.slice(-1).map((last) => [name, last] as const),
      );
      const hardware = new Map<string, ReadonlyMap<string, TokenFacts>>();
      for (const [name, { manifest }] of live.slice(0, 8)) hardware.set(name, await loadHardware(audited, manifest));
      if (mine !== asked) return;
      replace(
        glance,
        element('h2', { class: 'visually-hidden' }, TEXTS.glance.heading),
        showGlance(overview, Date.now()),
        element('p', { class: 'hint' }, TEXTS.glance.unchecked),
      );
      replace(said, showFleets(overview, hardware, Date.now()), showLog(overview, Date.now()));
      showVerdicts(said, report);
    } catch (thrown) {
      if (mine !== asked) return;
      const { code, message } = asHoldfastError(thrown);
      const { failed } = TEXTS;
      replace(glance);
      replace(
        said,
        section(
          'fleets',
          failed.heading,
          notice('bad', element('p', {}, failed.explain), element('p', {}, `${failed.reason}: ${message} (${code}).`)),
        ),
      );
    }
  }

  document.body.prepend(
    header(site),
    element(
      'main',
      { id: 'main', tabindex: -1 },
      hero(site, begin),
      element('div', { class: 'wrap content' }, glance, check.element, said, about(site.address)),
    ),
    element('footer', { class: 'wrap foot' }, element('p', {}, TEXTS.about.cannot)),
  );
  void load();
}

/** Puts the audit's result on each fleet's card, or takes it away. */
function showVerdicts(root: Element, report: AuditReport | undefined): void {
  for (const place of root.querySelectorAll<HTMLElement>('.verdict')) {
    const steps = report?.steps.filter(({ fleet }) => fleet === place.dataset.fleet) ?? [];
    const failed = report?.steps.some(
      ({ fleet, state }) => state === 'failed' && (fleet === undefined || fleet === place.dataset.fleet),
    );
    const verdict = failed ? 'failed' : 'passed';
    place.className = steps.length === 0 ? 'verdict' : `verdict badge badge-${failed ? 'bad' : 'good'}`;
    replace(place, steps.length > 0 && [icon(verdict), TEXTS.fleets.verdicts[verdict]]);
  }
}

start();
