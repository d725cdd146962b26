/** The few signs that pages use, drawn as lines of the text's colour; each stands next to words and is hidden from readers. */

const PATHS = {
  passed: 'M5 12.5l4.5 4.5L19 7.5',
  failed: 'M7 7l10 10M17 7L7 17',
  none: 'M6 12h12',
  stated: 'M12 11v6M12 7.2v.3',
  warning: 'M12 4.5L21 20H3zM12 10v4.5M12 17.2v.3',
  shield: 'M12 3l7.5 2.8v5.4c0 4.6-3 8.2-7.5 9.8-4.5-1.6-7.5-5.2-7.5-9.8V5.8zM8.5 12l2.5 2.5 4.5-5',
  download: 'M12 4v11M7 10.5l5 5 5-5M5 20h14',
  key: 'M14.5 9.5a4 4 0 1 1-8 0 4 4 0 0 1 8 0zM13.5 12.5L20 19M17 16l2-2',
  log: 'M6 4h12v16H6zM9 8.5h6M9 12h6M9 15.5h4',
  people:
    'M9 11a3.2 3.2 0 1 0 0-6.4A3.2 3.2 0 0 0 9 11zM3 19.5c.4-3.6 2.8-5.5 6-5.5s5.6 1.9 6 5.5M16 4.9a3.2 3.2 0 0 1 0 5.9M17.5 14.4c2.1.7 3.3 2.4 3.6 5.1',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5.5l3.5 2',
  chip: 'M7 7h10v10H7zM10 3.5V7M14 3.5V7M10 17v3.5M14 17v3.5M3.5 10H7M3.5 14H7M17 10h3.5M17 14h3.5',
} as const;

export type IconName = keyof typeof PATHS;

const SVG = 'http://www.w3.org/2000/svg';

/** A sign of 1.25 em, hidden from those who hear the page. */
export function icon(name: IconName): SVGSVGElement {
  const made = document.createElementNS(SVG, 'svg');
  made.setAttribute('viewBox', '0 0 24 24');
  made.setAttribute('class', `icon icon-${name}`);
  made.setAttribute('aria-hidden', 'true');
  made.setAttribute('focusable', 'false');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', PATHS[name]);
  made.append(path);
  return made;
}
