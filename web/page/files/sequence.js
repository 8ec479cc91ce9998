// Decides of every message that comes in whether it was seen before: a room numbers its messages, and some may come twice.

/** The order of one room's messages. */
export class Sequence {
  #last = 0;

  /** The newest number seen; 0 before the first message. */
  get last() {
    return this.#last;
  }

  /** Forgets all, as for a room that begins anew. */
  reset() {
    this.#last = 0;
  }

  /**
   * @param {{seq: number}} message
   * @returns {boolean} whether it is new; then it is remembered
   */
  take({ seq }) {
    if (seq <= this.#last) return false;
    this.#last = seq;
    return true;
  }
}
