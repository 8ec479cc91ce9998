// What was typed here and has not come back from the server yet. The echo of a message is its acknowledgement; what has none
// when the connection breaks is sent again, under the same ref, by which the server knows it. Knows nothing of the page.

import { randomHex } from './trace.js';

/**
 * @typedef {'waiting' | 'sending' | 'again' | 'unconfirmed' | 'failed'} ItemState
 *   waiting: for a connection; sending: sent, no echo yet; again: the connection broke before the echo came, it will be sent
 *   again; unconfirmed: for so long that the server may have forgotten its ref; failed: the server refused it.
 * @typedef {object} Item
 * @property {string} text
 * @property {ItemState} state
 * @property {string} ref names it for the server
 * @property {Set<string>} refs that it ever had
 * @property {string} client who sent it first; empty: nobody yet
 * @property {{steady: number, clock: number}} since when it was first sent under its ref
 * @property {string} problem why it failed, in plain words
 */

/** How many messages may wait for a connection. */
export const capacity = 50;

/** Milliseconds in which a message may be sent again: the server remembers its ref for ten minutes. */
export const sendAgainFor = 540_000;

/** The messages of one room that are on their way. */
export class Outbox {
  /** @type {Set<Item>} in the order they were typed */
  #items = new Set();
  #session = randomHex(8);
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
    const item = { text, state: 'waiting', ref: '', refs: new Set(), client: '', since: { steady: 0, clock: 0 }, problem: '' };
    this.#items.add(item);
    this.#name(item);
    return item;
  }

  /** @param {Item} item */
  remove(item) {
    this.#items.delete(item);
  }

  /**
   * Sends all that waits, and again what is in doubt, in order, until send refuses.
   * @param {(frame: object) => boolean} send
   * @param {string} client who sends
   * @returns {Item[]} what changed
   */
  flush(send, client) {
    const changed = [];
    for (const item of this.#items) {
      if (item.state !== 'waiting' && item.state !== 'again') continue;
      if (item.client && (item.client !== client || tooOld(item))) {
        // The server would not know that it has it.
        item.state = 'unconfirmed';
        changed.push(item);
        continue;
      }
      const { text, ref } = item;
      if (!send({ type: 'message', text, ref })) break;
      if (!item.client) {
        item.client = client;
        item.since = { steady: performance.now(), clock: Date.now() };
      }
      item.state = 'sending';
      item.problem = '';
      changed.push(item);
    }
    return changed;
  }

  /**
   * Finds the item that a message is the echo of, and removes it.
   * @param {{ref?: string}} message
   * @returns {Item | undefined}
   */
  settle(message) {
    for (const item of this.#items) {
      if (!message.ref || !item.refs.has(message.ref)) continue;
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
   * The connection broke: what had no echo is to be sent again.
   * @returns {Item[]} what changed
   */
  doubt() {
    const doubted = this.items.filter((item) => item.state === 'sending');
    for (const item of doubted) item.state = 'again';
    return doubted;
  }

  /**
   * Gives an item up that has had no echo for too long.
   * @param {Item} item
   * @returns {boolean} whether it changed
   */
  giveUp(item) {
    if (!this.#items.has(item) || (item.state !== 'sending' && item.state !== 'again')) return false;
    item.state = 'unconfirmed';
    return true;
  }

  /**
   * @param {Item} item to send once more, at somebody's wish
   */
  retry(item) {
    if (!this.#items.delete(item)) return;
    // What the server may have forgotten is another message to it.
    if (item.state === 'unconfirmed' || tooOld(item)) this.#name(item);
    item.state = 'waiting';
    item.problem = '';
    this.#items.add(item); // Last in line: what was said since stands before it.
  }

  /** @param {Item} item */
  #name(item) {
    item.ref = `${this.#session}-${++this.#count}`;
    item.refs.add(item.ref);
    item.client = '';
  }
}

/**
 * Of two clocks the one that went further: one of them stands still while the machine sleeps, the other can be set.
 * @param {Item} item
 */
function tooOld({ client, since }) {
  return client !== '' && Math.max(performance.now() - since.steady, Date.now() - since.clock) >= sendAgainFor;
}
