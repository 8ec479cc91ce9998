// The WebSocket to one room: opening it, noticing that it broke, opening it again. Knows frames only as JSON objects.

/**
 * @typedef {'connecting' | 'open' | 'waiting' | 'ended'} Phase
 *   connecting: an attempt is under way; open; waiting: for the next attempt; ended: for good.
 * @typedef {object} Status
 * @property {Phase} phase
 * @property {boolean} again whether it was open before
 * @property {number} failures attempts that failed since it was last open
 * @property {number} retryAt when the next attempt is made, as of performance.now(); 0 unless waiting
 * @property {number} code the close code that led here; 0 if none
 */

const firstDelay = 500; // milliseconds before the first repeated attempt; doubles with every failure
const longestDelay = 15_000;
const openPatience = 10_000; // that an attempt may take
const steady = 5_000; // that a connection must hold before failures are forgotten
const longestBacklog = 1 << 20; // bytes that may wait to be sent

/** Close codes that say not to come back (design section 4). */
export const final = Object.freeze({ roomDeleted: 4001, notAllowed: 4003 });

/**
 * @param {number} code a close code
 * @returns {boolean} whether to connect again
 */
export function comesBack(code) {
  return code !== final.roomDeleted && code !== final.notAllowed;
}

/**
 * How long to wait before an attempt: exponential, half of it random, so that the clients of a server that went away do
 * not all come back at once.
 * @param {number} failures attempts that failed before this one, from 0
 * @param {number} [random] from 0 to 1
 * @returns {number} milliseconds
 */
export function delayBefore(failures, random = Math.random()) {
  const most = Math.min(longestDelay, firstDelay * 2 ** Math.min(failures, 16));
  return Math.round(most / 2 + (most / 2) * random);
}

/** A connection that is kept open until stop is called or the server says not to come back. */
export class Connection {
  #address;
  #onStatus;
  #onFrame;
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Status} */
  #status = { phase: 'ended', again: false, failures: 0, retryAt: 0, code: 0 };
  #timer = 0;
  #steadyTimer = 0;
  #online = () => this.retryNow();
  #offline = () => this.reopen();

  /**
   * @param {object} options
   * @param {() => string} options.address where to connect; asked before every attempt
   * @param {(status: Status) => void} options.onStatus
   * @param {(frame: any) => void} options.onFrame
   */
  constructor({ address, onStatus, onFrame }) {
    this.#address = address;
    this.#onStatus = onStatus;
    this.#onFrame = onFrame;
  }

  /** @returns {Status} */
  get status() {
    return this.#status;
  }

  /** Makes the first attempt. To be called once. */
  start() {
    addEventListener('online', this.#online);
    addEventListener('offline', this.#offline);
    this.#attempt();
  }

  /** Closes, for good, and reports nothing more. */
  stop() {
    removeEventListener('online', this.#online);
    removeEventListener('offline', this.#offline);
    this.#onStatus = () => {};
    this.#onFrame = () => {};
    this.#drop(1000);
    this.#change({ phase: 'ended', retryAt: 0 });
  }

  /**
   * Closes, for good, as if the server had done it.
   * @param {number} code a final close code
   */
  finish(code) {
    this.#drop(1000);
    this.#change({ phase: 'ended', retryAt: 0, code });
  }

  /** Makes the next attempt now, if one is being waited for. */
  retryNow() {
    if (this.#status.phase === 'waiting') this.#attempt();
  }

  /** Gives the open connection up as broken and makes a new one. */
  reopen() {
    if (this.#status.phase !== 'open') return;
    this.#drop(4000);
    this.#wait(0);
  }

  /**
   * @param {object} frame
   * @returns {boolean} whether it was handed to the network, which does not say that it arrived
   */
  send(frame) {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN || socket.bufferedAmount > longestBacklog) return false;
    socket.send(JSON.stringify(frame));
    return true;
  }

  #attempt() {
    clearTimeout(this.#timer);
    this.#change({ phase: 'connecting', retryAt: 0 });
    const socket = new WebSocket(this.#address());
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket, 0), openPatience);
    socket.onopen = () => {
      clearTimeout(this.#timer);
      this.#steadyTimer = setTimeout(() => this.#change({ failures: 0 }, true), steady);
      this.#change({ phase: 'open', code: 0 });
      this.#change({ again: true }, true);
    };
    socket.onmessage = (event) => {
      let frame;
      try {
        frame = JSON.parse(event.data);
      } catch {
        return; // Not of this protocol.
      }
      if (frame && typeof frame === 'object') this.#onFrame(frame);
    };
    socket.onclose = (event) => this.#lost(socket, event.code);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   */
  #lost(socket, code) {
    if (socket !== this.#socket) return;
    this.#drop(1000);
    if (comesBack(code)) this.#wait(code);
    else this.#change({ phase: 'ended', retryAt: 0, code });
  }

  /** @param {number} code */
  #wait(code) {
    const delay = delayBefore(this.#status.failures);
    this.#timer = setTimeout(() => this.#attempt(), delay);
    this.#change({
      phase: 'waiting',
      retryAt: performance.now() + delay,
      failures: this.#status.failures + 1,
      code,
    });
  }

  /** @param {number} code */
  #drop(code) {
    clearTimeout(this.#timer);
    clearTimeout(this.#steadyTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  /**
   * @param {Partial<Status>} change
   * @param {boolean} [quiet] whether to keep it to ourselves
   */
  #change(change, quiet = false) {
    this.#status = { ...this.#status, ...change };
    if (!quiet) this.#onStatus(this.#status);
  }
}
