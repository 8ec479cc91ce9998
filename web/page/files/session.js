// One stay in one room under one name: what the connection brings is put in order and shown, what is typed is sent.

import { getRoom, sentence } from './api.js';
import { Connection, final } from './connection.js';
import { count } from './people.js';
import { sendAgainFor } from './outbox.js';
import { Sequence } from './sequence.js';
import { TypingSignal } from './typing.js';

/**
 * @typedef {import('./connection.js').Status} Status
 * @typedef {import('./messages.js').Messages} Messages
 * @typedef {import('./messages.js').Message} Message
 * @typedef {import('./outbox.js').Outbox} Outbox
 * @typedef {import('./outbox.js').Item} Item
 * @typedef {import('./typing.js').TypingNotice} TypingNotice
 *
 * @typedef {object} View what a session shows itself on
 * @property {Messages} messages
 * @property {TypingNotice} typing
 * @property {(status: Status) => void} status
 * @property {(participants: number) => void} participants
 * @property {(room: Partial<import('./api.js').Room> & {room_id: string}) => void} room what the server says about the room
 * @property {(problem: string) => void} problem something that the server refused
 * @property {(message: Message) => void} arrived a new message, not of a history
 */

const echoPatience = 10_000; // milliseconds without an echo after which the connection counts as broken

/** Plain words for the server's error codes. */
const errorWords = new Map([
  ['rate_limited', 'Too many messages at once. Wait a moment and try again.'],
  ['empty_text', 'An empty message cannot be sent.'],
  ['text_too_long', 'This is too long. A message has at most 4,096 characters.'],
  ['unavailable', 'The server does not know that it is stored. Trying again cannot say it twice.'],
]);

/**
 * @param {{code?: string, detail?: string}} frame
 * @returns {string}
 */
export function errorText({ code = '', detail = '' }) {
  return errorWords.get(code) ?? sentence(detail || 'The server refused this');
}

/** A stay in a room. start begins it, end ends it; neither can be done twice. */
export class Session {
  #room;
  #client;
  #outbox;
  #view;
  #connection;
  #typing;
  #sequence = new Sequence();
  #epoch = ''; // of the room, which its numbers go by
  #ended = false;
  #counts = 0; // frames that told how many are here
  #caughtUp = false; // the history has come on this connection, in full
  #missed = 0; // messages that came with it so far
  #brokeAt = 0;
  /** @type {Set<number>} */
  #timers = new Set();

  /**
   * @param {object} options
   * @param {string} options.room
   * @param {string} options.client
   * @param {Outbox} options.outbox
   * @param {View} options.view
   */
  constructor({ room, client, outbox, view }) {
    this.#room = room;
    this.#client = client;
    this.#outbox = outbox;
    this.#view = view;
    this.#connection = new Connection({
      address: () => socketAddress(room, client, this.#sequence.last, this.#epoch),
      onStatus: (status) => this.#status(status),
      onFrame: (frame) => this.#frame(frame),
    });
    this.#typing = new TypingSignal(() => this.#connection.send({ type: 'typing' }));
  }

  /** Joins the room. */
  start() {
    const { messages, typing } = this.#view;
    messages.clear();
    messages.clearItems();
    typing.clear();
    for (const item of this.#outbox.items) messages.showItem(item);
    this.#connection.start();
  }

  /** Leaves the room. */
  end() {
    this.#ended = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#outbox.doubt();
    this.#connection.stop();
    this.#view.typing.clear();
  }

  /** Makes the next attempt to connect now. */
  retryNow() {
    this.#connection.retryNow();
  }

  /**
   * @param {string} text
   * @returns {boolean} false if too much waits to be sent already
   */
  say(text) {
    if (this.#outbox.full) return false;
    const item = this.#outbox.add(text);
    this.#view.messages.showItem(item);
    this.#view.messages.follow();
    this.#typing.reset();
    this.#flush();
    return true;
  }

  /** @param {Item} item */
  retry(item) {
    this.#outbox.retry(item);
    this.#view.messages.showItem(item);
    this.#flush();
  }

  /** @param {Item} item */
  discard(item) {
    this.#outbox.remove(item);
    this.#view.messages.removeItem(item);
  }

  /** A key was pressed in the message box. */
  typed() {
    this.#typing.touch();
  }

  #flush() {
    // What was missed may have the echo of what is in doubt.
    if (this.#connection.status.phase !== 'open' || !this.#caughtUp) return;
    for (const item of this.#outbox.flush((frame) => this.#connection.send(frame), this.#client)) {
      this.#view.messages.showItem(item);
      if (item.state !== 'sending') continue;
      const { ref } = item;
      // No answer, though the connection looks open: it leads nowhere.
      this.#later(echoPatience, () => {
        if (item.state === 'sending' && item.ref === ref && this.#outbox.items.includes(item)) this.#connection.reopen();
      });
      this.#later(sendAgainFor, () => {
        if (item.ref === ref && this.#outbox.giveUp(item)) this.#view.messages.showItem(item);
      });
    }
  }

  /**
   * @param {number} ms
   * @param {() => void} action not taken if the session has ended by then
   */
  #later(ms, action) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  /** @param {Status} status */
  #status(status) {
    const { phase } = status;
    this.#caughtUp = false;
    this.#missed = 0;
    if (phase === 'open' && !status.again) this.#brokeAt = 0;
    if (phase === 'waiting' || phase === 'ended') {
      if (!this.#brokeAt) this.#brokeAt = performance.now();
      for (const item of this.#outbox.doubt()) this.#view.messages.showItem(item);
      this.#view.typing.clear();
    }
    this.#view.status(status);
  }

  /** All that was missed is here. */
  #resumed() {
    const missed = this.#missed;
    this.#missed = 0;
    if (this.#caughtUp) return;
    this.#caughtUp = true;
    if (this.#brokeAt) {
      const away = duration(performance.now() - this.#brokeAt);
      const words = missed ? ` · ${count(missed, 'message', 'messages')} caught up` : '';
      this.#view.messages.addNotice(`Reconnected after ${away}${words}`, 'reconnected');
    }
    this.#brokeAt = 0;
    this.#askRoom(); // From here on we are counted.
    this.#flush();
  }

  async #askRoom() {
    const before = this.#counts;
    let room;
    try {
      room = await getRoom(this.#room);
    } catch {
      return; // The count comes with whoever joins or leaves next.
    }
    if (this.#ended || this.#connection.status.phase !== 'open') return;
    // A count that was sent since the question may be newer than the answer's.
    const { participant_count: participants, ...rest } = room;
    this.#view.room(before === this.#counts ? { ...rest, participant_count: participants } : rest);
  }

  /** @param {any} frame */
  #frame(frame) {
    const { messages, typing, participants } = this.#view;
    switch (frame.type) {
      case 'message':
        typing.remove(frame.client_id);
        if (this.#take(frame)) this.#view.arrived(frame);
        break;
      case 'history':
        this.#history(frame);
        break;
      case 'typing':
        typing.add(frame.client_id);
        break;
      case 'user_joined':
        messages.addPresence(frame.client_id, 'joined');
        this.#counts++;
        participants(frame.participant_count);
        break;
      case 'user_left':
        typing.remove(frame.client_id);
        messages.addPresence(frame.client_id, 'left');
        this.#counts++;
        participants(frame.participant_count);
        break;
      case 'room_deleted':
        this.#connection.finish(final.roomDeleted);
        break;
      case 'error':
        this.#error(frame);
        break;
    }
  }

  /** @param {{messages?: Message[], truncated?: boolean, reset?: boolean, epoch?: string, more?: boolean}} frame more: another follows on it */
  #history({ messages: history = [], truncated = false, reset = false, epoch = '', more = false }) {
    const { messages } = this.#view;
    if (history.length > 0) messages.hush();
    this.#epoch = epoch;
    if (reset) {
      this.#sequence.reset();
      messages.clear();
      messages.addNotice('This room was created again, or lost messages in a power failure. It begins anew.');
    }
    if (truncated) {
      // There is a gap before these: what was shown until now is not joined to them.
      messages.clear();
      messages.setOlder('More was said than can be shown here. These are the newest messages.');
    } else if (this.#sequence.last === 0 && history.length > 0 && history[0].seq > 1) {
      messages.setOlder('Older messages are not shown');
    }
    let fresh = 0;
    for (const message of history) if (this.#take(message)) fresh++;
    this.#missed += fresh;
    if (!more) this.#resumed();
  }

  /**
   * @param {Message} message
   * @returns {boolean} whether it is new
   */
  #take(message) {
    const item = this.#outbox.settle(message);
    if (item) this.#view.messages.removeItem(item);
    if (!this.#sequence.take(message)) return false;
    this.#view.messages.add(message);
    return true;
  }

  /** @param {{code?: string, detail?: string, ref?: string}} frame */
  #error(frame) {
    const problem = errorText(frame);
    const item = frame.ref ? this.#outbox.refuse(frame.ref, problem) : undefined;
    if (item) this.#view.messages.showItem(item);
    else this.#view.problem(problem);
  }
}

/**
 * @param {string} room
 * @param {string} client
 * @param {number} since
 * @param {string} epoch
 * @returns {string}
 */
function socketAddress(room, client, since, epoch) {
  const url = new URL(`ws/${encodeURIComponent(room)}/${encodeURIComponent(client)}`, document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = epoch ? `?since=${since}&epoch=${encodeURIComponent(epoch)}` : '';
  url.hash = '';
  return url.href;
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}
