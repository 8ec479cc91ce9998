// Decides of every message that comes in whether it was seen before: a room numbers its messages, and after a reconnect
// some may come twice.

const remembered = 2048; // messages whose ids are kept; more than the server sends in one history

/**
 * @typedef {'new' | 'seen' | 'restarted'} Verdict
 *   restarted: the number was given before to another message, so the room was deleted and created again.
 */

/** The order of one room's messages. */
export class Sequence {
  #last = 0;
  /** @type {Map<number, string>} ids by number, the oldest first */
  #ids = new Map();

  /** The newest number seen; 0 before the first message. */
  get last() {
    return this.#last;
  }

  /** Forgets all, as for a room that begins anew. */
  reset() {
    this.#last = 0;
    this.#ids.clear();
  }

  /**
   * @param {{seq: number, id: string}} message
   * @returns {Verdict} and, if new, remembers it
   */
  judge({ seq, id }) {
    if (seq > this.#last) {
      this.#last = seq;
      this.#ids.set(seq, id);
      if (this.#ids.size > remembered) this.#ids.delete(this.#ids.keys().next().value ?? 0);
      return 'new';
    }
    return this.#ids.get(seq) === id ? 'seen' : 'restarted';
  }
}
