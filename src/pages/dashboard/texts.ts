/** All words of the dashboard, so that they can be read, checked and translated in one place. */

import type { ClientOperation, Condition, Range, Severity, TokenOperation } from '../../dashboard/index.ts';

export const LANGUAGE = 'en-GB';

export const TEXTS = {
  product: 'Holdfast',
  title: 'Operator’s dashboard',
  skip: 'Skip to the overview',
  signIn: {
    heading: 'Sign in',
    about: 'This is one coordinator’s view of its fleet. It shows figures and changes nothing.',
    label: 'Credential',
    hint: 'What is in the file that the setting dashboard.credentialFile names; for a fleet on this machine, dashboard.credential in its folder.',
    button: 'Sign in',
    show: 'Show the credential',
    refused: 'This is not the credential of this dashboard.',
    tooMany: (seconds: number) => `Too many wrong credentials. Try again in ${seconds} seconds.`,
    failed: 'The coordinator did not answer. Check that it runs, and try again.',
    ended: 'Your session has ended. Sign in again to go on.',
    empty: 'Enter the credential.',
  },
  table: (caption: string) => `${caption}, table`,
  signOut: 'Sign out',
  notSignedOut: 'You are still signed in: the coordinator did not answer. Sign out again before you leave.',
  pause: 'Pause updates',
  resume: 'Resume updates',
  paused: 'Updates are paused.',
  resumed: 'Updates go on.',
  waiting: 'This coordinator has not answered yet. It is asked again …',
  view: (coordinator: string, others: number) =>
    others > 0
      ? `As ${coordinator} sees it, one of ${others + 1} coordinators. Each has a dashboard with a view of its own.`
      : `As ${coordinator} sees it, the only coordinator.`,
  updated: (time: string) => `Updated ${time}`,
  silent: (time: string) => `This coordinator has not answered since ${time}. What you see is what it said last.`,
  quorum: {
    stopped: 'Recoveries have stopped',
    works: 'Recoveries work',
    mayFail: (count: number) =>
      count === 0
        ? 'No further node may fail.'
        : count === 1
          ? 'One more node may fail.'
          : `${count} more nodes may fail.`,
    missing: (count: number) => (count === 1 ? 'One more node is needed.' : `${count} more nodes are needed.`),
    serving: (serving: number, nodes: number, needed: number) =>
      `${serving} of ${nodes} nodes ${serving === 1 ? 'serves' : 'serve'}; ${needed} ${needed === 1 ? 'is' : 'are'} needed.`,
  },
  alarms: {
    heading: 'What needs attention',
    none: 'Nothing. All is as it should be.',
    since: (time: string) => `Since ${time}.`,
    raised: (title: string) => `New: ${title}.`,
    gone: (title: string) => `No longer: ${title}.`,
  },
  severities: { critical: 'Urgent', warning: 'Warning', notice: 'Note' } satisfies Record<Severity, string>,
  lastHour: {
    heading: 'The last hour',
    attempts: 'Attempts',
    confirmations: 'Right PINs',
    activations: 'Records enrolled',
    destructions: 'Records destroyed',
    anchorWrites: 'Anchor writes',
  },
  nodes: {
    heading: 'Nodes',
    node: 'Node',
    condition: 'Condition',
    since: 'Since',
    queue: 'Waiting',
    inFlight: 'Under way',
    records: 'Records',
    commits: 'Newest commit',
    started: 'Running for',
    unknown: '–',
    unknownWords: 'not known',
  },
  conditions: {
    serving: 'Serving',
    repairing: 'Repairing',
    failing: 'Not ready',
    stopped: 'Stopped',
    unreachable: 'Down',
  } satisfies Record<Condition, string>,
  repair: {
    heading: 'Repair',
    about:
      'A node that restarts takes a new number, its incarnation, and listens to the others before it serves. Until it has heard all of them it abstains on attempts that it may have forgotten.',
    incarnation: 'Incarnation',
    accepted: 'Accepted by',
    heard: 'Heard',
    needed: 'Needs',
    bars: 'Abstains',
    lagging: 'Lags by',
    yes: 'on some attempts',
    no: 'no',
    keepsUp: 'keeps up',
    records: (count: number) => (count === 1 ? '1 record' : `${count} records`),
    of: (count: number, all: number) => `${count} of ${all}`,
  },
  latency: {
    heading: 'Token latency',
    about:
      'Time inside each token, of the last 5 to 10 minutes: half of all operations took no longer than p50, 95 % no longer than p95.',
    p50: 'p50',
    p95: 'p95',
    caption: (what: string) => `${what}: p50 and p95`,
  },
  tokenOperations: {
    sign: 'Sign',
    ecdh: 'Key agreement',
    prf: 'MAC',
    anchor_write: 'Write anchor',
    anchor_read: 'Read anchor',
  } satisfies Record<TokenOperation, string>,
  clientOperations: {
    attempt: 'Attempt',
    confirm: 'Confirm',
    open: 'Open (enrol)',
    activate: 'Activate (enrol)',
    status: 'Status',
    delete: 'Delete',
  } satisfies Record<ClientOperation, string>,
  log: {
    heading: 'Bundle and log',
    about:
      'What the cosigner or a mirror shows. The coordinator has not verified it: every client does that for itself.',
    none: 'This coordinator has no source of bundles. Its clients pin the fleet’s keys.',
    serial: 'Bundle',
    serialOf: (serial: number, epoch: number) => `serial ${serial}, epoch ${epoch}`,
    state: 'State',
    states: { live: 'Accepted', retired: 'Retired', revoked: 'Revoked', unknown: 'Not known' },
    until: 'In force until',
    left: (span: string) => `${span} left`,
    over: 'over',
    checkpoint: 'Log',
    size: (count: string) => `${count} entries`,
    signed: 'Confirmed by most witnesses',
    witnesses: 'Witnesses',
    noWitnesses: 'none has confirmed it',
    fetched: 'Last fetched',
    never: 'not yet',
  },
  expiries: { heading: 'What runs out', what: 'What', at: 'Ends', left: 'Time left' },
  history: {
    heading: 'Over time',
    range: 'Time range',
    ranges: {
      '15m': '15 minutes',
      '1h': '1 hour',
      '6h': '6 hours',
      '24h': '24 hours',
      '7d': '7 days',
    } satisfies Record<Range, string>,
    about: (step: string, memory: string) =>
      `Each value stands for ${step}. Kept in this coordinator’s memory (${memory}, never more) and gone when it restarts. Times are UTC.`,
    table: 'As a table',
    time: 'Time (UTC)',
    noValues: 'Nothing has been seen in this time range.',
    summary: (lines: string) => `Plot over time. ${lines}`,
    line: (name: string, least: string, greatest: string, last: string) =>
      `${name}: from ${least} to ${greatest}, last ${last}.`,
    nothing: (name: string) => `${name}: no values.`,
    operation: 'Operation',
  },
  plots: {
    attempts: { title: 'Attempts', about: 'Counted by the node that saw most.' },
    records: { title: 'Records enrolled and destroyed', about: 'Counted by the node that saw most.' },
    conditions: { title: 'Condition of each node', about: 'The worst in each step.' },
    anchors: { title: 'Anchor writes', about: 'One for each group commit of a node.' },
    queue: { title: 'Waiting for a commit', about: 'The most requests that waited at once.' },
    token: { title: 'Token latency', about: 'Solid: p95. Dashed: p50.' },
    answers: { title: 'Answers to clients', about: 'By this coordinator.' },
    answerTime: { title: 'Time to answer clients', about: 'By this coordinator. Solid: p95. Dashed: p50.' },
  },
  lines: {
    attempts: 'Attempts',
    confirmations: 'Right PINs',
    activations: 'Enrolled',
    destructions: 'Destroyed',
    answered: 'Answered',
    refused: 'Refused',
    p50: 'p50',
    p95: 'p95',
  },
  footer: 'Nothing on this page names a record, a tenant or a user, and nothing can be changed from it.',
} as const;
