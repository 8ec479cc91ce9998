// Typing notices, both ways.

import { listNames } from './people.js';

const every = 2_500; // milliseconds between two notices that we send
const lasts = 5_000; // milliseconds that another's notice is shown for
const most = 64; // clients that are kept in mind

/** Tells the room that we are typing, now and then. */
export class TypingSignal {
  #send;
  #last = -Infinity;

  /** @param {() => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** A key was pressed. */
  touch() {
    const now = performance.now();
    if (now - this.#last < every) return;
    this.#last = now;
    this.#send();
  }

  /** The message was sent: the next key begins anew. */
  reset() {
    this.#last = -Infinity;
  }
}

/** Shows who else is typing. */
export class TypingNotice {
  #place;
  /** @type {Map<string, number>} timers by client */
  #typing = new Map();

  /** @param {HTMLElement} place */
  constructor(place) {
    this.#place = place;
  }

  /** @param {string} client is typing */
  add(client) {
    if (!this.#typing.has(client) && this.#typing.size >= most) return;
    clearTimeout(this.#typing.get(client));
    this.#typing.set(client, setTimeout(() => this.remove(client), lasts));
    this.#show();
  }

  /** @param {string} client is not, any more */
  remove(client) {
    clearTimeout(this.#typing.get(client));
    if (this.#typing.delete(client)) this.#show();
  }

  /** Nobody is. */
  clear() {
    for (const timer of this.#typing.values()) clearTimeout(timer);
    this.#typing.clear();
    this.#show();
  }

  #show() {
    this.#place.querySelector('span')?.replaceChildren(typingText([...this.#typing.keys()]));
    this.#place.classList.toggle('on', this.#typing.size > 0);
  }
}

/**
 * @param {string[]} names
 * @returns {string}
 */
export function typingText(names) {
  if (names.length === 0) return '';
  if (names.length > 3) return `${names.length} people are typing`;
  return `${listNames(names)} ${names.length === 1 ? 'is' : 'are'} typing`;
}
