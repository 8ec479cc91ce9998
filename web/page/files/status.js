// Says how the connection is: a word in the header, a banner while it is broken, a page of its own when it is over.

import { final } from './connection.js';

/** @typedef {import('./connection.js').Status} Status */

/**
 * @param {Status} status
 * @param {boolean} online whether the browser has a network at all
 * @returns {string} what is wrong, in plain words
 */
export function troubleText({ again, code }, online) {
  if (!online) return 'This device is offline.';
  if (code === 1001) return 'The server is restarting.';
  if (code === 4008) return 'This page fell behind and is catching up.';
  return again ? 'The connection was lost.' : 'The server cannot be reached.';
}

/** The parts of the page that show a connection's status. */
export class StatusView {
  #word;
  #banner;
  #over;
  #timer = 0;

  /**
   * @param {object} options
   * @param {HTMLElement} options.word
   * @param {HTMLElement} options.banner
   * @param {HTMLElement} options.over stands in for the log when the connection has ended for good
   * @param {() => void} options.onRetry
   */
  constructor({ word, banner, over, onRetry }) {
    this.#word = word;
    this.#banner = banner;
    this.#over = over;
    part(banner, 'button').addEventListener('click', onRetry);
  }

  /** @param {Status} status */
  show(status) {
    clearInterval(this.#timer);
    const { phase, failures, again, retryAt } = status;
    this.#word.dataset.phase = phase;
    part(this.#word, 'span').textContent = {
      connecting: again ? 'Reconnecting' : 'Connecting',
      open: 'Live',
      waiting: 'Reconnecting',
      ended: 'Closed',
    }[phase];

    const trouble = phase === 'waiting' || (phase === 'connecting' && (failures > 0 || again));
    this.#banner.hidden = !trouble;
    if (trouble) {
      put(part(this.#banner, '.trouble'), troubleText(status, navigator.onLine));
      const countdown = part(this.#banner, '.countdown');
      const tick = () => {
        const rest = Math.ceil((retryAt - performance.now()) / 1000);
        countdown.textContent = phase === 'waiting' && rest > 0 ? `Trying again in ${rest}\u00a0s` : 'Trying again…';
      };
      tick();
      if (phase === 'waiting') this.#timer = setInterval(tick, 250);
      /** @type {HTMLButtonElement} */ (part(this.#banner, 'button')).disabled = phase !== 'waiting';
    }

    this.#over.hidden = phase !== 'ended';
    if (phase === 'ended') {
      const deleted = status.code === final.roomDeleted;
      part(this.#over, 'h2').textContent = deleted ? 'This room was deleted' : 'You cannot be in this room';
      part(this.#over, 'p').textContent = deleted
        ? 'Its messages are gone with it. Pick another room, or create it again.'
        : 'The server does not allow it. Pick another room.';
      part(this.#over, '.again').hidden = !deleted;
    }
  }
}

/**
 * @param {Element} element
 * @param {string} selector
 */
function part(element, selector) {
  return /** @type {HTMLElement} */ (element.querySelector(selector));
}

/**
 * Sets a text only if it differs: a live region would be read again.
 * @param {HTMLElement} element
 * @param {string} text
 */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
