// The log of a room: rows for what was said, who came and went, and what is on its way. It holds a bounded number of rows,
// touches the document once a frame, and follows the newest message unless the reader has scrolled away.

import { count, hueOf, initials, listNames } from './people.js';
import { copyText, jaegerURL, traceIdOf } from './trace.js';

/**
 * @typedef {object} Message as the server sends it
 * @property {string} client_id
 * @property {string} text
 * @property {number} timestamp Unix milliseconds
 * @property {number} seq
 * @property {string} id
 * @property {string} [traceparent]
 * @property {string} [ref]
 *
 * @typedef {import('./outbox.js').Item} Item
 *
 * @typedef {'joined' | 'left' | 'visited' | 'rejoined'} Movement
 * @typedef {{row: HTMLElement, people: Map<string, Movement>}} Presence a row that tells who came and went
 *
 * @typedef {{kind: 'message', message: Message}
 *   | {kind: 'presence', client: string, change: 'joined' | 'left'}
 *   | {kind: 'notice', text: string, key: string}} Entry
 */

/** Rows kept while the newest is in view; twice as many while the reader is further up. */
export const maxRows = 500;

const nearEnd = 48; // pixels from the end that still count as being there
const groupFor = 5 * 60_000; // milliseconds in which an author's messages share one heading
const longText = 1_600; // characters and
const longLines = 24; // lines from which a message is folded
const mostPeople = 100; // clients that one row tells of
const quietFor = 1_000; // milliseconds in which a history is not read aloud
const confirmFor = 1_400; // milliseconds that "copied" is shown
const wantedFor = 3_000; // milliseconds that a message which is not there is waited for

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const dayName = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const exact = new Intl.DateTimeFormat(undefined, {
  weekday: 'long',
  day: 'numeric',
  month: 'long',
  year: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
  hourCycle: 'h23',
});

/**
 * What a client's movements add up to, by what happens and by what it did before.
 * @type {Record<'joined' | 'left', Record<Movement | 'none', Movement>>}
 */
const movements = {
  joined: { none: 'joined', joined: 'joined', left: 'rejoined', visited: 'joined', rejoined: 'rejoined' },
  left: { none: 'left', joined: 'visited', left: 'left', visited: 'visited', rejoined: 'left' },
};

/** @type {Record<import('./outbox.js').ItemState, string>} */
const itemWords = {
  waiting: 'Waiting for the connection',
  sending: 'Sending',
  again: 'Not confirmed yet: it will be sent again',
  unconfirmed: 'Not confirmed: nothing was heard of it for nine minutes. It may have arrived',
  failed: 'Not sent',
};

/** The log. Needs the elements that index.html gives it. */
export class Messages {
  #scroller;
  #list;
  #pendingList;
  #older;
  #empty;
  #pill;
  #template;
  #jaeger;
  #self;
  #onRetry;
  #onDiscard;
  #onTrace;
  #say;
  #traced = ''; // the trace that is shown beside the log
  #wanted = ''; // the trace whose message is to be brought into view when it comes
  #wantedTimer = 0;

  /** @type {Entry[]} what came since the last frame */
  #queue = [];
  #scheduled = false;
  #following = true;
  #lastTop = 0;
  #unseen = 0;
  #quietTimer = 0;
  #live;
  /** @type {Map<Item, HTMLElement>} */
  #items = new Map();
  /** @type {HTMLElement | null} the row that the keyboard is on */
  #active = null;

  // What the newest row is, for grouping.
  #lastAuthor = '';
  #lastAt = 0;
  #lastDay = '';
  /** @type {Presence | null} */
  #presence = null;
  /** @type {Set<Presence>} whose text is not up to date */
  #stale = new Set();
  /** @type {{row: HTMLElement, key: string} | null} */
  #notice = null;

  /**
   * @param {object} options
   * @param {HTMLElement} options.root the log's part of the page
   * @param {string} options.jaeger where Jaeger's pages are, or an empty string
   * @param {() => string} options.self our own client id
   * @param {(item: Item) => void} options.onRetry
   * @param {(item: Item) => void} options.onDiscard
   * @param {(traceId: string) => void} options.onTrace a message's trace is to be shown
   * @param {(text: string) => void} options.say reads text aloud, for those who listen
   */
  constructor({ root, jaeger, self, onRetry, onDiscard, onTrace, say }) {
    const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (root.querySelector(`#${id}`));
    this.#scroller = find('log');
    this.#live = find('live');
    this.#list = find('messages');
    this.#pendingList = find('pending');
    this.#older = find('older');
    this.#empty = find('empty');
    this.#pill = find('pill');
    this.#template = /** @type {HTMLTemplateElement} */ (document.querySelector('#message-template'));
    this.#jaeger = jaeger;
    this.#self = self;
    this.#onRetry = onRetry;
    this.#onDiscard = onDiscard;
    this.#onTrace = onTrace;
    this.#say = say;

    this.#scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#scroller.addEventListener('keydown', (event) => this.#key(event));
    this.#scroller.addEventListener('focusin', (event) => this.#focused(event));
    this.#scroller.addEventListener('click', (event) => this.#clicked(event));
    this.#pill.addEventListener('click', () => this.follow());
    // Rows may turn out taller than was thought, and the window may change its size.
    const sizes = new ResizeObserver(() => this.#pin());
    sizes.observe(this.#scroller);
    sizes.observe(this.#list);
    sizes.observe(this.#pendingList);
    document.addEventListener('visibilitychange', () => this.#queue.length && this.#soon(true));
  }

  /** @param {Message} message to be shown as the newest */
  add(message) {
    this.#push({ kind: 'message', message });
  }

  /**
   * @param {string} client
   * @param {'joined' | 'left'} change
   */
  addPresence(client, change) {
    this.#push({ kind: 'presence', client, change });
  }

  /**
   * @param {string} text
   * @param {string} [key] a notice replaces the newest row if that is a notice with the same key
   */
  addNotice(text, key = '') {
    this.#push({ kind: 'notice', text, key });
  }

  /**
   * @param {string} text that stands above the first row; an empty string for none
   */
  setOlder(text) {
    this.#older.textContent = text;
    this.#older.hidden = !text;
  }

  /** Empties the log. What is on its way stays. */
  clear() {
    this.#queue = [];
    this.#list.replaceChildren();
    this.setOlder('');
    this.#active = null;
    this.#lastAuthor = '';
    this.#lastAt = 0;
    this.#lastDay = '';
    this.#presence = null;
    this.#notice = null;
    this.#showEmpty();
    this.follow();
  }

  /** What is added for now is history: not to be read aloud. */
  hush() {
    this.#live.setAttribute('aria-live', 'off');
    clearTimeout(this.#quietTimer);
    this.#quietTimer = setTimeout(() => this.#live.setAttribute('aria-live', 'polite'), quietFor);
  }

  /** Goes to the newest message and stays there. */
  follow() {
    this.#following = true;
    this.#unseen = 0;
    this.#showPill();
    this.#pin();
  }

  /**
   * Shows an item of the outbox, or its new state, below the messages.
   * @param {Item} item
   */
  showItem(item) {
    let row = this.#items.get(item);
    if (!row) {
      row = this.#row();
      this.#items.set(item, row);
      this.#pendingList.append(row);
      const author = this.#self();
      this.#fillAuthor(row, author);
      this.#fillText(row, item.text);
      row.classList.add('own');
      part(row, '.trace-actions').remove();
      part(row, '.when').remove();
    } else if (item.state === 'waiting') {
      this.#pendingList.append(row); // Retried: last in line.
    }
    row.dataset.state = item.state;
    row.dataset.traceId = traceIdOf(item.traceparent);
    const word = item.state === 'failed' && item.problem ? `Not sent: ${item.problem}` : itemWords[item.state];
    part(row, '.state-text').textContent = word;
    part(row, '.state').hidden = false;
    part(row, '.state-actions').hidden = item.state !== 'failed' && item.state !== 'unconfirmed';
    this.#showEmpty();
  }

  /** @param {Item} item no longer on its way */
  removeItem(item) {
    const row = this.#items.get(item);
    if (!row) return;
    if (row.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
    row.remove();
    this.#items.delete(item);
    this.#showEmpty();
  }

  /** Removes all items. */
  clearItems() {
    for (const item of [...this.#items.keys()]) this.removeItem(item);
  }

  /**
   * Marks the message whose trace is shown beside the log.
   * @param {string} traceId empty for none
   */
  markTrace(traceId) {
    for (const row of this.#list.querySelectorAll('.traced')) row.classList.remove('traced');
    this.#traced = traceId;
    this.#rowOf(traceId)?.classList.add('traced');
  }

  /**
   * Brings the message of a trace into view and gives it the keyboard; if it is not in the log, as soon as it is, but not
   * much later.
   * @param {string} traceId
   */
  revealTrace(traceId) {
    clearTimeout(this.#wantedTimer);
    const row = this.#rowOf(traceId);
    if (!row) {
      this.#wanted = traceId;
      this.#wantedTimer = setTimeout(() => {
        this.#wanted = '';
        this.#say('This message is not among those shown here');
      }, wantedFor);
      return;
    }
    this.#wanted = '';
    this.#following = false;
    row.scrollIntoView({ block: 'center' });
    row.focus({ preventScroll: true });
  }

  /**
   * @param {string} traceId
   * @returns {HTMLElement | null}
   */
  #rowOf(traceId) {
    return /^[0-9a-f]+$/.test(traceId) ? this.#list.querySelector(`.row[data-trace-id="${traceId}"]`) : null;
  }

  /** @param {Entry} entry */
  #push(entry) {
    this.#queue.push(entry);
    // The rest would be removed as soon as it was added. (A hidden page has no frames to draw in.)
    if (this.#queue.length > 2 * maxRows) {
      this.#queue.splice(0, this.#queue.length - maxRows);
      this.#cut();
    }
    this.#soon();
  }

  #soon(again = false) {
    if (this.#scheduled && !again) return;
    this.#scheduled = true;
    if (document.hidden) setTimeout(() => this.#flush(), 100);
    else requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#scheduled = false;
    if (this.#queue.length === 0) return;
    const entries = this.#queue;
    this.#queue = [];
    const rows = document.createDocumentFragment();
    const self = this.#self();
    let said = 0;
    for (const entry of entries) {
      switch (entry.kind) {
        case 'message':
          rows.append(...this.#messageRows(entry.message, self));
          if (entry.message.client_id !== self) said++;
          break;
        case 'presence':
          this.#presenceRow(entry, rows);
          break;
        case 'notice':
          this.#noticeRow(entry, rows);
          break;
      }
    }
    for (const { row, people } of this.#stale) part(row, 'span').textContent = presenceText(people);
    this.#stale.clear();
    this.#list.append(rows);
    this.#trim();
    this.#showEmpty();
    if (this.#wanted && this.#rowOf(this.#wanted)) this.revealTrace(this.#wanted);
    if (this.#following) {
      this.#pin();
    } else {
      this.#unseen += said;
      this.#showPill();
    }
  }

  /** Removes the oldest rows if there are too many. */
  #trim() {
    const most = this.#following ? maxRows : 2 * maxRows;
    let surplus = this.#list.childElementCount - most;
    if (surplus <= 0) return;
    while (surplus-- > 0) {
      const row = /** @type {HTMLElement} */ (this.#list.firstElementChild);
      if (row.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
      if (row === this.#active) this.#active = null;
      row.remove();
    }
    this.#list.firstElementChild?.classList.remove('continued');
    this.#cut();
  }

  #cut() {
    this.setOlder('Older messages are not shown');
  }

  /**
   * @param {Message} message
   * @param {string} self
   * @returns {HTMLElement[]}
   */
  #messageRows(message, self) {
    const rows = [];
    const at = new Date(message.timestamp);
    const day = at.toDateString();
    if (day !== this.#lastDay) {
      rows.push(divider(dayWord(at), 'day'));
      this.#lastAuthor = '';
      this.#lastDay = day;
    }
    const row = this.#row();
    row.dataset.seq = String(message.seq);
    row.dataset.id = message.id;
    this.#fillAuthor(row, message.client_id);
    this.#fillText(row, message.text);
    const when = /** @type {HTMLTimeElement} */ (part(row, '.when'));
    when.dateTime = at.toISOString();
    when.textContent = clock.format(at);
    when.title = exact.format(at);
    row.classList.toggle('own', message.client_id === self);
    const near = message.client_id === this.#lastAuthor && message.timestamp - this.#lastAt < groupFor;
    row.classList.toggle('continued', near);
    this.#fillTrace(row, traceIdOf(message.traceparent));
    this.#lastAuthor = message.client_id;
    this.#lastAt = message.timestamp;
    this.#presence = null;
    this.#notice = null;
    rows.push(row);
    return rows;
  }

  /**
   * @param {{client: string, change: 'joined' | 'left'}} entry
   * @param {DocumentFragment} rows
   */
  #presenceRow({ client, change }, rows) {
    if (!this.#presence || (this.#presence.people.size >= mostPeople && !this.#presence.people.has(client))) {
      this.#presence = { row: divider('', 'presence'), people: new Map() };
      rows.append(this.#presence.row);
      this.#lastAuthor = '';
      this.#notice = null;
    }
    const { people } = this.#presence;
    people.set(client, movements[change][people.get(client) ?? 'none']);
    this.#stale.add(this.#presence);
  }

  /**
   * @param {{text: string, key: string}} entry
   * @param {DocumentFragment} rows
   */
  #noticeRow({ text, key }, rows) {
    if (this.#notice && key && this.#notice.key === key) {
      part(this.#notice.row, 'span').textContent = text;
      return;
    }
    const row = divider(text, 'notice');
    rows.append(row);
    this.#notice = { row, key };
    this.#presence = null;
    this.#lastAuthor = '';
  }

  #row() {
    const copy = /** @type {DocumentFragment} */ (this.#template.content.cloneNode(true));
    return /** @type {HTMLElement} */ (copy.firstElementChild);
  }

  /**
   * @param {HTMLElement} row
   * @param {string} client
   */
  #fillAuthor(row, client) {
    const avatar = part(row, '.avatar');
    avatar.textContent = initials(client);
    const hue = `hue-${hueOf(client)}`;
    avatar.classList.add(hue);
    const author = part(row, '.author');
    author.textContent = client;
    author.classList.add(hue);
    row.dataset.client = client;
  }

  /**
   * @param {HTMLElement} row
   * @param {string} text
   */
  #fillText(row, text) {
    part(row, '.text').textContent = text;
    if (text.length > longText || text.split('\n', longLines + 1).length > longLines) {
      row.classList.add('folded');
      part(row, '.unfold').hidden = false;
    } else {
      part(row, '.unfold').remove();
    }
  }

  /**
   * @param {HTMLElement} row
   * @param {string} traceId
   */
  #fillTrace(row, traceId) {
    const actions = part(row, '.trace-actions');
    if (!traceId) {
      actions.remove();
      return;
    }
    row.dataset.traceId = traceId;
    row.classList.toggle('traced', traceId === this.#traced);
    const show = part(actions, '.trace-show');
    part(show, '.trace-short').textContent = traceId.slice(0, 8);
    show.setAttribute('aria-label', `Show the trace ${traceId.slice(0, 8)}`);
    show.title = 'Show the trace of this message';
    const copy = part(actions, '.trace-copy');
    copy.setAttribute('aria-label', `Copy trace id ${traceId.slice(0, 8)}`);
    copy.title = `Copy trace id ${traceId}`;
    const link = /** @type {HTMLAnchorElement} */ (part(actions, '.trace-jaeger'));
    const url = jaegerURL(this.#jaeger, traceId);
    if (url) {
      link.href = url;
      link.hidden = false;
    } else {
      link.remove();
    }
  }

  #showEmpty() {
    this.#empty.hidden = this.#list.childElementCount > 0 || this.#items.size > 0;
  }

  #showPill() {
    this.#pill.hidden = this.#unseen === 0;
    if (this.#unseen > 0) part(this.#pill, 'span').textContent = count(this.#unseen, 'new message', 'new messages');
  }

  #pin() {
    if (this.#following) this.#scroller.scrollTop = 1e9;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const rest = scrollHeight - clientHeight - scrollTop;
    if (rest <= nearEnd) {
      if (!this.#following) this.follow();
    } else if (scrollTop < this.#lastTop) {
      this.#following = false;
    }
    this.#lastTop = scrollTop;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const rows = /** @type {NodeListOf<HTMLElement>} */ (this.#scroller.querySelectorAll('.row'));
    if (rows.length === 0) return;
    const last = rows.length - 1;
    const at = this.#active ? Array.prototype.indexOf.call(rows, this.#active) : -1;
    let next = -1;
    switch (event.key) {
      case 'ArrowUp':
        next = at < 0 ? last : Math.max(0, at - 1);
        break;
      case 'ArrowDown':
        next = at < 0 ? last : Math.min(last, at + 1);
        break;
      case 'Home':
        next = 0;
        break;
      case 'End':
        next = last;
        break;
      default:
        return;
    }
    event.preventDefault();
    rows[next].focus();
    if (next === last) this.follow();
  }

  /** @param {FocusEvent} event */
  #focused(event) {
    const row = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest('.row'));
    if (!row || row === this.#active) return;
    // Only the actions of the row that the keyboard is on are stops of the Tab key: five hundred rows would be too many.
    if (this.#active && !this.#active.closest('#pending')) setStops(this.#active, -1);
    setStops(row, 0);
    this.#active = row;
    const author = row.dataset.client ?? '';
    const when = row.querySelector('.when')?.textContent ?? '';
    row.setAttribute('aria-label', `${author} ${when}: ${(row.querySelector('.text')?.textContent ?? '').slice(0, 300)}`);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const button = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest('button'));
    const row = /** @type {HTMLElement | null} */ (button?.closest('.row') ?? null);
    if (!button || !row) return;
    if (button.classList.contains('trace-show')) {
      this.#onTrace(row.dataset.traceId ?? '');
    } else if (button.classList.contains('trace-copy')) {
      this.#copy(button, row.dataset.traceId ?? '');
    } else if (button.classList.contains('unfold')) {
      const folded = row.classList.toggle('folded');
      button.textContent = folded ? 'Show all' : 'Show less';
      button.setAttribute('aria-expanded', String(!folded));
    } else {
      for (const [item, itemRow] of this.#items) {
        if (itemRow !== row) continue;
        if (button.classList.contains('retry')) this.#onRetry(item);
        else this.#onDiscard(item);
        return;
      }
    }
  }

  /**
   * @param {HTMLElement} button
   * @param {string} traceId
   */
  async #copy(button, traceId) {
    const done = await copyText(traceId);
    this.#say(done ? 'Trace id copied' : `The trace id could not be copied. It is ${traceId}`);
    button.textContent = done ? 'copied' : 'failed';
    button.classList.add('confirmed');
    setTimeout(() => {
      button.textContent = '';
      button.classList.remove('confirmed');
    }, confirmFor);
  }
}

/**
 * @param {Element} element
 * @param {string} selector of what is known to be in it
 * @returns {HTMLElement}
 */
function part(element, selector) {
  return /** @type {HTMLElement} */ (element.querySelector(selector));
}

/**
 * @param {HTMLElement} row
 * @param {number} index
 */
function setStops(row, index) {
  for (const stop of row.querySelectorAll('button, a')) /** @type {HTMLElement} */ (stop).tabIndex = index;
}

/**
 * @param {string} text
 * @param {'day' | 'presence' | 'notice'} kind
 */
function divider(text, kind) {
  const row = document.createElement('li');
  row.className = `divider ${kind}`;
  const words = document.createElement('span');
  words.textContent = text;
  row.append(words);
  return row;
}

/** @param {Date} at */
function dayWord(at) {
  const today = new Date();
  if (at.toDateString() === today.toDateString()) return 'Today';
  today.setDate(today.getDate() - 1);
  if (at.toDateString() === today.toDateString()) return 'Yesterday';
  const year = at.getFullYear() === new Date().getFullYear() ? '' : ` ${at.getFullYear()}`;
  return dayName.format(at) + year;
}

/**
 * @param {Map<string, Movement>} people
 * @returns {string} "a and b joined · c left"
 */
export function presenceText(people) {
  const words = { joined: 'joined', left: 'left', visited: 'came and went', rejoined: 'left and came back' };
  return Object.entries(words)
    .map(([change, word]) => {
      const names = [...people].filter(([, c]) => c === change).map(([name]) => name);
      return names.length ? `${listNames(names)} ${word}` : '';
    })
    .filter(Boolean)
    .join(' · ');
}
