/** How far a node has been behind the fullest one, at the least, for a while: a node that is busy is behind now and then. */

const MINUTE = 60_000;
/** Minutes. */
const WINDOW = 10;

export class Lag {
  /** The least of each of the last minutes, the newest last. */
  #minutes: { readonly minute: number; least: number }[] = [];

  /** @param behind records that the node has fewer than the fullest; undefined where that is not known. */
  note(now: number, behind: number | undefined): void {
    const minute = Math.floor(now / MINUTE);
    const last = this.#minutes.at(-1);
    if (behind === undefined || (last && (minute < last.minute || minute > last.minute + 1))) this.#minutes = [];
    if (behind === undefined) return;
    const present = this.#minutes.at(-1);
    if (present?.minute === minute) present.least = Math.min(present.least, behind);
    else this.#minutes.push({ minute, least: behind });
    if (this.#minutes.length > WINDOW) this.#minutes.shift();
  }

  /** 0 before the node has been looked at for that long. */
  get least(): number {
    return this.#minutes.length < WINDOW ? 0 : Math.min(...this.#minutes.map(({ least }) => least));
  }
}
