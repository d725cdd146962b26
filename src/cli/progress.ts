/** One line of progress on a terminal, redrawn in place; silent where nobody watches. */

/** `process.stderr`, or what stands for it. */
export interface ProgressOutput {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number;
  write(text: string): unknown;
}

/** At most ten updates a second. */
const INTERVAL_MILLISECONDS = 100;
/** Back to the start of the line, and clear it to its end (ECMA-48 EL). */
const REDRAW = '\r\u001b[K';

/** Shows bytes done, their rate, and the percentage where the total is known. */
export class ProgressLine {
  readonly #label: string;
  readonly #output: ProgressOutput;
  readonly #now: () => number;
  readonly #started: number;
  #shownAt = Number.NEGATIVE_INFINITY;
  #isShown = false;

  /** `now` gives milliseconds that never go back. */
  constructor(label: string, output: ProgressOutput = process.stderr, now: () => number = () => performance.now()) {
    this.#label = label;
    this.#output = output;
    this.#now = now;
    this.#started = now();
  }

  /** Bytes so far, and in all where that is known. Cheap to call for every piece. */
  update(bytes: number, totalBytes?: number): void {
    const now = this.#now();
    if (!this.#output.isTTY || now - this.#shownAt < INTERVAL_MILLISECONDS) return;
    this.#shownAt = now;
    this.#isShown = true;
    const seconds = (now - this.#started) / 1000;
    const parts = [`${this.#label}: ${formatBytes(bytes)}`];
    if (totalBytes !== undefined && totalBytes > 0) {
      // Files may grow meanwhile: 100 % is for the end.
      const percent = Math.min(99, Math.floor((bytes / totalBytes) * 100));
      parts.push(`of ${formatBytes(totalBytes)} (${percent} %)`);
    }
    if (seconds > 0) parts.push(`${formatBytes(bytes / seconds)}/s`);
    this.#output.write(REDRAW + parts.join(' ').slice(0, (this.#output.columns ?? 80) - 1));
  }

  /** Clears the line. Call it before anything else is written, and however the work ended. */
  [Symbol.dispose](): void {
    if (this.#isShown) this.#output.write(REDRAW);
    this.#isShown = false;
  }
}

/** A number of bytes with a binary unit (IEC 80000-13): `17 B`, `3.2 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** The step that is going on, redrawn in place; silent where nobody watches. */
export class StepLine {
  readonly #output: ProgressOutput;
  #isShown = false;

  constructor(output: ProgressOutput = process.stderr) {
    this.#output = output;
  }

  show(text: string): void {
    if (!this.#output.isTTY) return;
    this.#isShown = true;
    this.#output.write(`${REDRAW}${text.slice(0, (this.#output.columns ?? 80) - 1)}`);
  }

  /** Clears the line. Call it before anything else is written. */
  [Symbol.dispose](): void {
    if (this.#isShown) this.#output.write(REDRAW);
    this.#isShown = false;
  }
}
