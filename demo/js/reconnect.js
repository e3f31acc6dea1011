const FIRST_DELAY_MS = 1000;
const MAX_DELAY_MS = 30_000;

/**
 * Comes back politely: after 1 s, 2 s, 4 s … 30 s, each a little at random so that many pages do not come at once,
 * never while the page is hidden, and at once when the network returns.
 *
 * `connect()` is called for each attempt; the caller reports `succeeded()` or `lost(why)`. `onWaiting(seconds, why)`
 * is called every second of a wait.
 */
export class Reconnect {
  #connect;
  #onWaiting;
  #delayMs = FIRST_DELAY_MS;
  #timer;
  #waiting = false;

  constructor({ connect, onWaiting }) {
    this.#connect = connect;
    this.#onWaiting = onWaiting;
    const soon = () => {
      if (this.#waiting && !document.hidden) this.now();
    };
    window.addEventListener('online', soon);
    document.addEventListener('visibilitychange', soon);
  }

  succeeded() {
    this.#delayMs = FIRST_DELAY_MS;
  }

  lost(why) {
    if (this.#waiting) return;
    this.#waiting = true;
    const waitMs = this.#delayMs * (1 + Math.random() / 4);
    this.#delayMs = Math.min(this.#delayMs * 2, MAX_DELAY_MS);
    this.#count(Math.ceil(waitMs / 1000), why);
  }

  /** Tries at once. */
  now() {
    clearTimeout(this.#timer);
    this.#waiting = false;
    this.#connect();
  }

  #count(seconds, why) {
    this.#onWaiting(seconds, why);
    this.#timer = setTimeout(() => {
      if (seconds > 1) this.#count(seconds - 1, why);
      else if (document.hidden) this.#count(1, why);
      else this.now();
    }, 1000);
  }
}
