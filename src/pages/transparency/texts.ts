/** All words of the transparency page, but for those of the audit's steps (src/audit/texts.ts): to be translated as they are. */

import type { TokenFacts } from '../../evidence/index.ts';
import type { TokenClass } from '../../trust/index.ts';
import { wordsOf } from '../common/index.ts';

const LANGUAGE = 'en-GB';
const words = wordsOf(LANGUAGE);
const count = (amount: number, one: string, more: string) => `${words.number(amount)} ${amount === 1 ? one : more}`;

export const TEXTS = {
  language: LANGUAGE,
  words,
  product: 'Holdfast',
  name: 'Transparency',
  title: (site: string) => `Transparency of ${site} – Holdfast`,
  skip: 'Skip to the content',
  navigation: 'On this page',
  sections: { check: 'Check', fleets: 'Fleets', log: 'Log and witnesses', about: 'About this page' },

  hero: {
    heading: 'Don’t take our word for it',
    lead: 'This service keeps backup keys behind their owners’ PINs, on a fleet of separate nodes. Who runs them, by which rules and since when is written in a public log that nobody can quietly change. Here is what it says, and a way to check it yourself.',
    site: 'Site',
    warning: 'This page comes from the party being checked. It cannot vouch for itself.',
    warningMore: 'How to check without it',
    otherWarning: (host: string) =>
      `This page comes from ${host}, and not from the site that it checks. Believe it as far as you believe ${host}. It cannot vouch for itself.`,
    button: 'Check it yourself',
    buttonHint: 'Runs the whole audit in your own browser. Nothing about you is sent anywhere.',
  },

  glance: {
    heading: 'At a glance',
    loading: 'Reading the log …',
    fleets: 'Fleets in force',
    fleetsNote: (all: number) =>
      all === 0 ? 'none in the log yet' : `of ${count(all, 'ever announced', 'ever announced')}`,
    witnesses: 'Confirming witnesses',
    witnessesNote: (all: number) => `of ${words.number(all)} that the rules name`,
    fresh: 'Last confirmed',
    freshNote: (fresh: boolean) => (fresh ? 'recent enough for the rules' : 'too long ago for the rules'),
    never: 'never',
    neverNote: 'too few witnesses have confirmed the log',
    entries: 'Entries in the log',
    entriesNote: 'each one for everybody to read',
    unchecked: 'This is what the site’s log says. It is checked only when you press the button above.',
  },

  failed: {
    heading: 'The log cannot be shown',
    explain:
      'What the site serves could not be read, or does not fit together. The check tells at which step it goes wrong.',
    reason: 'What went wrong',
  },

  check: {
    heading: 'Check it yourself',
    lead: 'Your browser fetches the log and all evidence, and does every step of the audit by itself.',
    again: 'Check again',
    stop: 'Stop',
    stopped: 'The check was stopped. What was not looked at is not known.',
    running: (done: number, title: string) => `Step ${words.number(done)}: ${title}`,
    site: 'The log and its rules',
    fleet: (name: string) => `Fleet ${name}`,
    began: (title: string) => `Now checked: ${title}`,
    stepFailed: (title: string) => `Failed: ${title}`,
    more: 'What this means',
    checked: 'What was checked',
    proves: 'What it proves',
    provesNot: 'What it does not prove',
    failure: 'What a failure means',
    code: 'Code',
    facts: 'What was found',
    working: 'Being checked',
    seconds: (milliseconds: number) =>
      `${new Intl.NumberFormat(LANGUAGE, { maximumSignificantDigits: 2 }).format(milliseconds / 1000)} seconds`,
    cost: (seconds: string, requests: number, kilobytes: number) =>
      `Took ${seconds}, with ${count(requests, 'request', 'requests')} and ${count(kilobytes, 'kilobyte', 'kilobytes')}.`,
    passed: 'No step failed',
    failed: (failures: number) => `${count(failures, 'step', 'steps')} failed`,
    failedSteps: 'What failed',
    passedMore: 'What was found agrees with what witnesses, cosigner and operator signed.',
    failedMore:
      'Do not trust this site with anything until somebody has explained it. Keep the report: it shows what you were shown.',
    unansweredMore:
      'The site did not answer, or not in time. Nothing that it showed was found wrong, and what it did not show is not known: check again later.',
    summary: (passed: number, stated: number, notChecked: number) =>
      [
        `${count(passed, 'step', 'steps')} passed`,
        ...(stated > 0 ? [`${words.number(stated)} ${stated === 1 ? 'rests' : 'rest'} on somebody’s word`] : []),
        ...(notChecked > 0 ? [`${words.number(notChecked)} could not be checked`] : []),
      ].join(', '),
    ownAnchor: 'Judged by the trust anchor that you gave.',
    siteAnchor:
      'Judged by the site’s own list of whom to believe. For a stronger check, get a trust anchor from somebody else and give it above.',
    remembered: (date: string) => `Compared with what this browser saw of the log on ${date}.`,
    first: 'This browser has not seen the log before, so there was nothing earlier to compare with.',
    download: 'Download the report (JSON)',
    crashed: 'The check itself broke down. This is a fault of this page, not a finding.',
  },

  anchor: {
    heading: 'Use your own trust anchor',
    explain:
      'A trust anchor says whom to believe: it is the file client.json that an application ships. From the application, or from somebody you trust, it makes the check independent of this site’s own word.',
    paste: 'Paste it here',
    file: 'or choose the file',
    wrong: 'This is no trust anchor:',
    used: (vault: string, environment: string) => `Will be used: the trust anchor of ${vault}, ${environment}.`,
    clear: 'Use the site’s own',
  },

  fleets: {
    heading: 'Fleets',
    none: 'The log lists no fleet yet.',
    lead: 'A fleet is a set of nodes that together keep records. Its keys and limits count only once cosigner and operator have both signed them in the log.',
    states: { live: 'In force', retired: 'Retired', revoked: 'Revoked' },
    verdicts: { passed: 'Checked: no step failed', failed: 'Checked: a step failed' },
    since: 'Since',
    sinceNote: (serial: number) => `serial ${words.number(serial)} now`,
    validUntil: 'Announced until',
    expired: 'ran out',
    threshold: 'Nodes',
    thresholdNote: (t: number, n: number, operators: number) =>
      n === 1
        ? 'one node alone'
        : `any ${words.number(t)} of ${words.number(n)} can recover; ${count(operators, 'operator runs', 'operators run')} them`,
    guesses: 'Guesses',
    guessesNote: (limit: number, lifetime: number) =>
      `${count(limit, 'guess', 'guesses')} in a row, ${words.number(lifetime)} in a record’s lifetime`,
    signers: 'Signed by',
    signerRoles: ['Cosigner', 'Operator'],
    signer: (name: string, organisation: string | undefined) => (organisation ? `${organisation} (${name})` : name),
    revoked: (by: string, reason: string) => `Revoked by ${by}: “${reason}”. All use has stopped, for ever.`,
    retired: (successor: string, sunset: string) =>
      `Retired. Records move to the fleet ${successor}. What is left can be recovered here until ${sunset}.`,
    proposed: (serial: number) =>
      `A change has been proposed (serial ${words.number(serial)}) and not been accepted. It has no effect.`,
    nodes: 'Nodes and their hardware',
    node: 'Node',
    operator: 'Run by',
    region: 'Where',
    hardware: 'Hardware',
    history: 'What changed, and when',
    revokedEntry: (serial: number) => `All up to serial ${words.number(serial)} is revoked.`,
    serial: (serial: number) => `Serial ${words.number(serial)}`,
    entry: (index: number) => `entry ${words.number(index)} of the log`,
    weaker: 'Makes the fleet weaker',
    nothingChanged: 'Renewed without a change.',
    digest: 'Fingerprint',
  },

  /** No more is claimed of a device than is proven (docs/trust.md, section 4). */
  hardware: {
    badges: { attested: 'Claimed: attested', declared: 'Declared only', emulated: 'No hardware' } satisfies Record<
      TokenClass,
      string
    >,
    sentence: (tokenClass: TokenClass, token: TokenFacts | undefined): string => {
      const device = token ? deviceOf(token) : 'a hardware token';
      if (tokenClass === 'emulated') {
        const what = token ? ` (${deviceOf(token)})` : '';
        return `These keys are kept by a program that only imitates a token${what}. That protects nothing: it is for development.`;
      }
      if (tokenClass === 'declared') {
        return `The operator states that these keys live in ${device}. Nothing independent confirms it.`;
      }
      return `The operator states that the maker of ${device} vouches for these keys. Only the check shows whether that is so.`;
    },
  },

  changes: {
    first: (nodes: number, operators: number) =>
      `The fleet begins, with ${count(nodes, 'node', 'nodes')} run by ${count(operators, 'operator', 'operators')}.`,
    retired: (successor: string, sunset: string) =>
      `The fleet is retired: records move to ${successor}, and can be recovered here until ${sunset}.`,
    nodeAdded: (name: string) => `${name} joins.`,
    nodeRemoved: (name: string) => `${name} leaves.`,
    nodeKeys: (name: string) => `${name} has new keys, in a new token.`,
    nodeOperator: (name: string, was: string, is: string) => `${name} is run by ${is} instead of ${was}.`,
    nodeRegion: (name: string, was: string, is: string) => `${name} stands in ${is} instead of ${was}.`,
    nodeClass: (name: string, was: TokenClass, is: TokenClass) => `${name} has a token that is ${is}; it was ${was}.`,
    nodeEndpoint: (name: string) => `${name} is reached at another address.`,
    evidence: 'The evidence is a new one.',
    evidenceAddress: 'The evidence is published at another address.',
    authority: 'The certificates of the coordinators come from another authority.',
    validUntil: (date: string) => `It is announced until ${date}.`,
    field: (what: string, was: string, is: string) => `${what}: ${is}, before that ${was}.`,
    nothing: 'nothing',
    fields: {
      threshold: 'Nodes that are needed to recover',
      coordinators: 'Addresses for clients',
      'policy.limit': 'Guesses in a row',
      'policy.lifetimeLimit': 'Attempts in a record’s lifetime',
      'policy.waits': 'Seconds of waiting between attempts',
      'policy.destroyAfter': 'Seconds until a record without attempts left is destroyed',
      'policy.minimumShares': 'Shares that a record has at least',
      'policy.takeover.kind': 'Whether a record can be taken over without its owner',
      'policy.takeover.seconds': 'Seconds until a record is taken over',
      'policy.keyStretching.memoryKiB': 'Memory for stretching a PIN, in KiB',
      'policy.keyStretching.passes': 'Passes for stretching a PIN',
      'policy.keyStretching.parallelism': 'Lanes for stretching a PIN',
      vault: 'Vault',
      environment: 'Environment',
    } as Readonly<Record<string, string>>,
  },

  log: {
    heading: 'Log and witnesses',
    lead: 'The log only ever grows. Witnesses sign that it has, so that two people who were shown different logs would find out.',
    origin: 'Log',
    size: 'Entries',
    kinds: {
      proposal: 'proposed',
      acceptance: 'accepted',
      revocation: 'revoked',
      evidence: 'evidence',
      policy: 'rules',
      roster: 'lists of fleets',
    },
    root: 'Fingerprint of all entries',
    confirmed: 'Confirmed by a quorum',
    rules: 'Rules',
    rulesNote: (version: number, expires: string, maxAge: string) =>
      `version ${words.number(version)}, until ${expires}; a confirmation counts for ${maxAge}`,
    witness: 'Witness',
    organisation: 'Organisation',
    kind: 'Does',
    last: 'Confirmed this state',
    auditing: 'replays every entry',
    plain: 'sees that it only grows',
    notConfirmed: 'not yet',
    witnesses: 'Witnesses',
  },

  about: {
    heading: 'About this page',
    cannot: 'This page comes from the party being checked. It cannot vouch for itself.',
    why: 'Whoever wants to deceive you about the log can as well serve you a page that says all is well. So this page is only as good as where you have it from. Three ways to depend on it less:',
    ways: [
      [
        'Use the command',
        'The command “holdfast audit” does the same steps, and it counts where the two disagree. Get it from the source code of Holdfast or from somebody you trust, and not from this site:',
      ],
      [
        'Use the page from elsewhere',
        'It is static and checks any site: add ?site=https://… to its address. Independent witnesses can host it too.',
      ],
      [
        'Compare its hash',
        'The build is reproducible, and its index.html pins everything else it loads. Built from the source, “npm run build” prints the same number for “transparency”:',
      ],
    ] as const,
    command: (site: string) => `holdfast audit ${site}`,
    hash: 'SHA-256 of this page',
    hashing: 'being computed …',
    hashFailed: 'could not be computed: the page could not be read again',
    hashNote:
      'Computed by the page itself: whoever changed the page can change this number. Compare with “curl -s ADDRESS | sha256sum”.',
    privacy:
      'The page sets no cookies and loads nothing from anybody but the site that it checks, and where that site’s evidence lies. If a check succeeds, this browser remembers size and fingerprint of the log, to notice next time if its past was rewritten.',
  },
} as const;

function deviceOf({ manufacturer, model, firmware, module }: TokenFacts): string {
  return `${manufacturer} ${model}, firmware ${firmware}, by way of ${module}`;
}
