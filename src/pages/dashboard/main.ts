/** The operator's dashboard: signs in, looks again and again, and shows what one coordinator sees of its fleet. */

import type { Overview } from '../../dashboard/index.ts';
import { Announcer, append, button, element, icon, replace } from '../common/index.ts';
import { getHistory, getOverview, signOut } from './api.ts';
import { clockTime } from './format.ts';
import { ExpiryPanel, LogPanel } from './log.ts';
import { LatencyPanel, NodesPanel, RepairPanel } from './nodes.ts';
import { HistoryPanel } from './plots.ts';
import { askForCredential, signOutButton } from './sign-in.ts';
import { ActivityPanel, AlarmPanel, QuorumPanel } from './status.ts';
import { TEXTS } from './texts.ts';

/** Milliseconds between looks, at least and at most, whatever the coordinator's own pace is. */
const FASTEST = 1000;
const SLOWEST = 30_000;

interface Panel {
  update(overview: Overview): void;
}

/** The page of somebody who has signed in. */
class Dashboard {
  readonly #heading = element('h1', { id: 'fleet' });
  readonly #view = element('p', { class: 'hint' });
  readonly #updated = element('p', { class: 'hint updated' });
  readonly #silent = element('div', { role: 'status' });
  readonly #notSignedOut = element('div', { role: 'alert' });
  readonly #history: HistoryPanel;
  readonly #panels: readonly Panel[];
  readonly #announcer: Announcer;
  readonly #ended = Promise.withResolvers<string | undefined>();
  readonly #pause: HTMLButtonElement;
  #overview: Overview | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #paused = false;
  #historyAt = Number.NEGATIVE_INFINITY;
  #looking = false;
  /** Once it is: whatever comes then is no longer to be shown, and nothing more is asked for. */
  #hasEnded = false;
  #isLeaving = false;

  constructor(root: HTMLElement) {
    replace(root);
    this.#announcer = new Announcer(root);
    this.#history = new HistoryPanel(() => {
      this.#historyAt = Number.NEGATIVE_INFINITY;
      void this.#look();
    });
    this.#pause = button(TEXTS.pause, () => this.#togglePause(), { 'aria-pressed': 'false' });
    const [quorum, alarms, activity] = [new QuorumPanel(), new AlarmPanel(this.#announcer), new ActivityPanel()];
    const [nodes, repair, latency] = [new NodesPanel(), new RepairPanel(), new LatencyPanel()];
    const [log, expiries] = [new LogPanel(), new ExpiryPanel()];
    this.#panels = [quorum, alarms, activity, nodes, repair, latency, log, expiries];
    const pair = element('div', { class: 'pair-of-cards' }, log.root, expiries.root);
    append(root, [
      element('a', { class: 'skip', href: '#main' }, TEXTS.skip),
      element(
        'header',
        { class: 'wrap top' },
        element('div', {}, element('p', { class: 'brand' }, icon('shield'), TEXTS.product), this.#heading, this.#view),
        element(
          'div',
          { class: 'top-actions' },
          this.#updated,
          element(
            'div',
            { class: 'buttons' },
            this.#pause,
            signOutButton(() => void this.#signOut()),
          ),
        ),
      ),
      element(
        'main',
        { id: 'main', class: 'wrap panels', tabindex: -1 },
        ...[this.#notSignedOut, this.#silent, quorum.root, alarms.root, activity.root, nodes.root, this.#history.root],
        ...[latency.root, repair.root, pair],
      ),
      element('footer', { class: 'wrap' }, element('p', { class: 'hint' }, TEXTS.footer)),
    ]);
    document.addEventListener('visibilitychange', this.#onVisibility);
  }

  /** Ends when the session does: with a notice for the person, or undefined where they ended it. */
  async run(): Promise<string | undefined> {
    void this.#look();
    const notice = await this.#ended.promise;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    document.removeEventListener('visibilitychange', this.#onVisibility);
    return notice;
  }

  readonly #onVisibility = (): void => {
    // Nobody looks at a page that is not seen.
    if (document.visibilityState === 'visible') void this.#look();
    else clearTimeout(this.#timer);
  };

  async #look(): Promise<void> {
    if (this.#looking || this.#paused) return;
    this.#looking = true;
    clearTimeout(this.#timer);
    try {
      const answer = await getOverview();
      if (this.#hasEnded) return;
      // A session that the person is ending may have ended before they are told so.
      if (answer.kind === 'refused') return this.#ended.resolve(this.#isLeaving ? undefined : TEXTS.signIn.ended);
      if (answer.kind === 'ok') {
        this.#show(answer.value);
        await this.#lookBack(answer.value);
      } else this.#showSilence();
    } finally {
      this.#looking = false;
    }
    if (this.#hasEnded) return;
    const pace = Math.min(SLOWEST, Math.max(FASTEST, this.#overview?.history.intervalMilliseconds ?? FASTEST));
    if (!this.#paused && document.visibilityState === 'visible')
      this.#timer = setTimeout(() => void this.#look(), pace);
  }

  /** The plots, where a step of theirs has ended or another time range was chosen. */
  async #lookBack(overview: Overview): Promise<void> {
    const { range, pace } = this.#history;
    if (performance.now() - this.#historyAt < pace) return;
    const answer = await getHistory(range);
    if (answer.kind !== 'ok' || this.#hasEnded) return;
    // Chosen meanwhile: that one is fetched at the next look.
    if (range !== this.#history.range) return;
    this.#historyAt = performance.now();
    this.#history.show(answer.value, overview);
  }

  #show(overview: Overview): void {
    this.#overview = overview;
    const { fleet, view, time } = overview;
    this.#heading.textContent = fleet;
    this.#view.textContent = TEXTS.view(view.coordinator, view.coordinators - 1);
    this.#updated.textContent = TEXTS.updated(clockTime(time));
    if (this.#silent.hasChildNodes()) replace(this.#silent);
    for (const panel of this.#panels) panel.update(overview);
    document.title = `${titleOf(overview)} – ${fleet} – ${TEXTS.product}`;
  }

  #showSilence(): void {
    if (!this.#overview || this.#silent.hasChildNodes()) return;
    const text = TEXTS.silent(clockTime(this.#overview.time));
    append(this.#silent, [element('p', { class: 'notice notice-bad' }, icon('failed'), element('span', {}, text))]);
  }

  #togglePause(): void {
    this.#paused = !this.#paused;
    this.#pause.textContent = this.#paused ? TEXTS.resume : TEXTS.pause;
    this.#pause.removeAttribute('aria-pressed');
    this.#announcer.say(this.#paused ? TEXTS.paused : TEXTS.resumed);
    clearTimeout(this.#timer);
    if (!this.#paused) void this.#look();
  }

  /** Only who is signed out is shown the form: who believes it leaves the machine to others. */
  async #signOut(): Promise<void> {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    replace(this.#notSignedOut);
    const { kind } = await signOut();
    this.#isLeaving = false;
    if (kind === 'ok' || kind === 'refused') return this.#ended.resolve(undefined);
    const text = element('span', {}, TEXTS.notSignedOut);
    append(this.#notSignedOut, [element('p', { class: 'notice notice-bad' }, icon('failed'), text)]);
  }
}

/** Whether a session goes on. An answer that is late is no reason to ask for the credential again. */
async function isSignedIn(parent: HTMLElement): Promise<boolean> {
  for (;;) {
    const { kind } = await getOverview();
    if (kind === 'ok' || kind === 'refused') return kind === 'ok';
    const waiting = element('p', { role: 'status' }, TEXTS.waiting);
    replace(parent, element('main', { class: 'wrap centred' }, element('h1', {}, TEXTS.title), waiting));
    await new Promise((done) => setTimeout(done, FASTEST));
  }
}

/** Seen in the row of tabs. */
function titleOf({ quorum, alarms }: Overview): string {
  if (quorum.mayFail < 0) return TEXTS.quorum.stopped;
  const urgent = alarms.filter(({ severity }) => severity !== 'notice').length;
  return urgent === 0 ? TEXTS.quorum.works : `(${urgent}) ${TEXTS.quorum.works}`;
}

const root = element('div', { id: 'app' });
document.body.append(root);
let notice: string | undefined;
if (!(await isSignedIn(root))) await askForCredential(root, notice);
for (;;) {
  notice = await new Dashboard(root).run();
  await askForCredential(root, notice);
}
