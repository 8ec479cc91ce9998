// What was typed here and has not come back from the server yet. The echo of a message is its acknowledgement; after a
// broken connection the resumed stream is searched for it by its trace id. Knows nothing of the page.

import { newTraceparent, randomHex, traceIdOf } from './trace.js';

/**
 * @typedef {'waiting' | 'sending' | 'checking' | 'unconfirmed' | 'failed'} ItemState
 *   waiting: for a connection; sending: sent, no echo yet; checking: the connection broke before the echo came;
 *   unconfirmed: and it was not in what came after; failed: the server refused it.
 * @typedef {object} Item
 * @property {string} text
 * @property {ItemState} state
 * @property {string} ref of the newest attempt
 * @property {string} traceparent of the newest attempt
 * @property {Set<string>} traceIds of all attempts
 * @property {string} problem why it failed, in plain words
 */

/** How many messages may wait for a connection. */
export const capacity = 50;

/** The messages of one room that are on their way. */
export class Outbox {
  /** @type {Set<Item>} in the order they were typed */
  #items = new Set();
  #session = randomHex(4);
  #count = 0;

  /** @returns {Item[]} */
  get items() {
    return [...this.#items];
  }

  /** Whether another message can be taken. */
  get full() {
    return this.#items.size >= capacity;
  }

  /**
   * @param {string} text
   * @returns {Item} waiting
   */
  add(text) {
    /** @type {Item} */
    const item = { text, state: 'waiting', ref: '', traceparent: '', traceIds: new Set(), problem: '' };
    this.#items.add(item);
    return item;
  }

  /** @param {Item} item */
  remove(item) {
    this.#items.delete(item);
  }

  /**
   * Sends all that waits, in order, until send refuses.
   * @param {(frame: object) => boolean} send
   * @returns {Item[]} what was sent
   */
  flush(send) {
    const sent = [];
    for (const item of this.#items) {
      if (item.state !== 'waiting') continue;
      const ref = `${this.#session}-${++this.#count}`;
      const traceparent = newTraceparent();
      if (!send({ type: 'message', text: item.text, ref, traceparent })) break;
      Object.assign(item, { state: 'sending', ref, traceparent, problem: '' });
      item.traceIds.add(traceIdOf(traceparent));
      sent.push(item);
    }
    return sent;
  }

  /**
   * Finds the item that a message is the echo of, by its ref or, if it came another way, its trace; and removes it.
   * @param {{ref?: string, traceparent?: string}} message
   * @returns {Item | undefined}
   */
  settle(message) {
    const traceId = traceIdOf(message.traceparent);
    for (const item of this.#items) {
      const ours = (message.ref && item.ref === message.ref) || (traceId && item.traceIds.has(traceId));
      if (!ours) continue;
      this.#items.delete(item);
      return item;
    }
    return undefined;
  }

  /**
   * Marks the item that the server refused.
   * @param {string} ref
   * @param {string} problem
   * @returns {Item | undefined}
   */
  refuse(ref, problem) {
    for (const item of this.#items) {
      if (!ref || item.ref !== ref) continue;
      item.state = 'failed';
      item.problem = problem;
      return item;
    }
    return undefined;
  }

  /**
   * The connection broke: what had no echo is in doubt.
   * @returns {Item[]} what changed
   */
  doubt() {
    return this.#turn('sending', 'checking');
  }

  /**
   * The connection is back and told all that was missed: what is still in doubt did not arrive, as far as one can see.
   * @returns {Item[]} what changed
   */
  conclude() {
    return this.#turn('checking', 'unconfirmed');
  }

  /**
   * @param {Item} item to send once more
   */
  retry(item) {
    if (!this.#items.delete(item)) return;
    item.state = 'waiting';
    item.problem = '';
    this.#items.add(item); // Last in line: what was said since stands before it.
  }

  /**
   * @param {ItemState} from
   * @param {ItemState} to
   */
  #turn(from, to) {
    const turned = this.items.filter((item) => item.state === from);
    for (const item of turned) item.state = to;
    return turned;
  }
}
