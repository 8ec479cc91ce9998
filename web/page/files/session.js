// One stay in one room under one name: what the connection brings is put in order and shown, what is typed is sent.

import { getRoom, sentence } from './api.js';
import { Connection, final } from './connection.js';
import { count } from './people.js';
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
const resumePatience = 1_500; // milliseconds after opening in which missed messages are expected

/** Plain words for the server's error codes. */
const errorWords = new Map([
  ['rate_limited', 'Too many messages at once. Wait a moment and try again.'],
  ['empty_text', 'An empty message cannot be sent.'],
  ['text_too_long', 'This is too long. A message has at most 4,096 characters.'],
  ['unavailable', 'The server could not store it. Try again.'],
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
  #outbox;
  #view;
  #connection;
  #typing;
  #sequence = new Sequence();
  #ended = false;
  #createdAt = 0;
  #counts = 0; // frames that told how many are here
  #restarted = false; // the room, as seen on this connection
  /** @type {{since: number, caughtUp: number, timer: number} | null} while missed messages are expected */
  #resuming = null;
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
    this.#outbox = outbox;
    this.#view = view;
    this.#connection = new Connection({
      address: () => socketAddress(room, client, this.#sequence.last),
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
    if (this.#resuming) clearTimeout(this.#resuming.timer);
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
    if (this.#connection.status.phase !== 'open') return;
    for (const item of this.#outbox.flush((frame) => this.#connection.send(frame))) {
      this.#view.messages.showItem(item);
      const { ref } = item;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        // No answer, though the connection looks open: it leads nowhere. Resuming will tell what became of the message.
        if (item.state === 'sending' && item.ref === ref && this.#outbox.items.includes(item)) this.#connection.reopen();
      }, echoPatience);
      this.#timers.add(timer);
    }
  }

  /** @param {Status} status */
  #status(status) {
    const { phase } = status;
    if (phase === 'open') {
      this.#restarted = false;
      if (status.again) {
        const timer = setTimeout(() => this.#resumed(), resumePatience);
        this.#resuming = { since: this.#sequence.last, caughtUp: 0, timer };
      } else {
        this.#brokeAt = 0;
        if (this.#outbox.items.length > 0) {
          // Something was sent before the room was left and entered again.
          const timer = setTimeout(() => this.#resumed(), resumePatience);
          this.#resuming = { since: -1, caughtUp: 0, timer };
        }
      }
      this.#askRoom();
      this.#flush();
    } else if (this.#resuming) {
      clearTimeout(this.#resuming.timer);
      this.#resuming = null;
    }
    if (phase === 'waiting' || phase === 'ended') {
      if (!this.#brokeAt) this.#brokeAt = performance.now();
      for (const item of this.#outbox.doubt()) this.#view.messages.showItem(item);
      this.#view.typing.clear();
    }
    if (phase === 'ended') {
      for (const item of this.#outbox.conclude()) this.#view.messages.showItem(item);
    }
    this.#view.status(status);
  }

  /** All that was missed is here. */
  #resumed() {
    const resuming = this.#resuming;
    if (!resuming) return;
    clearTimeout(resuming.timer);
    this.#resuming = null;
    for (const item of this.#outbox.conclude()) this.#view.messages.showItem(item);
    if (resuming.since >= 0) {
      const away = duration(performance.now() - this.#brokeAt);
      const missed = resuming.caughtUp ? ` · ${count(resuming.caughtUp, 'message', 'messages')} caught up` : '';
      this.#view.messages.addNotice(`Reconnected after ${away}${missed}`, 'reconnected');
    }
    this.#brokeAt = 0;
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
    const other = this.#createdAt !== 0 && room.created_at !== this.#createdAt;
    this.#createdAt = room.created_at;
    // A count that was sent since the question may be newer than the answer's.
    const { participant_count: participants, ...rest } = room;
    this.#view.room(before === this.#counts ? { ...rest, participant_count: participants } : rest);
    if (other && !this.#restarted) {
      // Deleted and created again while we were away, and grown beyond where we were: begin anew.
      this.#beginAnew();
      this.#connection.reopen();
    }
  }

  /** @param {any} frame */
  #frame(frame) {
    const { messages, typing, participants } = this.#view;
    if (this.#resuming && frame.type !== 'history') this.#resumed();
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

  /** @param {{messages?: Message[], truncated?: boolean}} frame */
  #history({ messages: history = [], truncated = false }) {
    const { messages } = this.#view;
    if (history.length > 0) messages.hush();
    if (truncated) {
      // There is a gap before these: what was shown until now is not joined to them.
      messages.clear();
      messages.setOlder('More was said than can be shown here. These are the newest messages.');
    } else if (this.#sequence.last === 0 && history.length > 0 && history[0].seq > 1) {
      messages.setOlder('Older messages are not shown');
    }
    let fresh = 0;
    for (const message of history) if (this.#take(message)) fresh++;
    if (this.#resuming) {
      this.#resuming.caughtUp = fresh;
      this.#resumed();
    }
  }

  /**
   * @param {Message} message
   * @returns {boolean} whether it is new
   */
  #take(message) {
    const item = this.#outbox.settle(message);
    if (item) this.#view.messages.removeItem(item);
    let verdict = this.#sequence.judge(message);
    if (verdict === 'restarted') {
      this.#beginAnew();
      verdict = this.#sequence.judge(message);
    }
    if (verdict !== 'new') return false;
    this.#view.messages.add(message);
    return true;
  }

  #beginAnew() {
    this.#restarted = true;
    this.#sequence.reset();
    this.#view.messages.clear();
    this.#view.messages.addNotice('This room was deleted and created again. It begins anew.');
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
 * @returns {string}
 */
function socketAddress(room, client, since) {
  const url = new URL(`ws/${encodeURIComponent(room)}/${encodeURIComponent(client)}`, document.baseURI);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = since > 0 ? `?since=${since}` : '';
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
