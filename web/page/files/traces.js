// The panel beside the chat that shows traces while they happen: opening and closing it, its keys, its address, and what
// its parts tell each other.

import { duration } from './traces-format.js';
import { Feed } from './traces-feed.js';
import { TraceList } from './traces-list.js';
import { TraceView } from './traces-trace.js';

/**
 * @typedef {import('./traces-feed.js').News} News
 * @typedef {import('./traces-feed.js').Numbers} Numbers
 */

/** What the list is narrowed by: the names that the server gives them, and those in the page's address. */
const filters = { text: 'find', errors: 'failed', room: 'in', operation: 'op', min: 'min', connection: 'conn' };

const typingPause = 250; // milliseconds without a key before what was typed is looked for

/** The panel. */
export class TracePanel {
  #root;
  #opener;
  #rest;
  #onMark;
  #feed;
  #list;
  #view;
  /** @type {Record<string, string>} by the server's names; empty ones do not narrow */
  #filter = { text: '', errors: '', room: '', operation: '', min: '', connection: '' };
  #trace = '';
  #paused = false;
  #recording = true;
  #notice = '';
  #loaded = false;
  #phase = 'connecting';
  #skipped = 0;
  /** @type {Numbers['kept'] | null} */
  #kept = null;
  #typing = 0;
  #rooms = new Set();
  #requests = new Set();
  #narrow = matchMedia('(max-width: 47.99rem)');

  /**
   * @param {object} options
   * @param {HTMLElement} options.root
   * @param {HTMLButtonElement} options.opener
   * @param {HTMLElement[]} options.rest what the panel covers on a narrow screen
   * @param {string} options.jaeger where Jaeger's pages are, or an empty string
   * @param {(traceId: string) => void} options.onMark another trace is shown; an empty string: none
   * @param {(traceId: string, room: string) => void} options.onMessage the message of a trace is to be shown
   * @param {() => void} options.onLeave the keyboard leaves the panel
   * @param {(text: string) => void} options.say
   */
  constructor({ root, opener, rest, jaeger, onMark, onMessage, onLeave, say }) {
    this.#root = root;
    this.#opener = opener;
    this.#rest = rest;
    this.#onMark = onMark;
    this.#list = new TraceList({
      root,
      onPick: (id) => this.show(id, '', true),
      onChange: () => this.#words(),
    });
    this.#view = new TraceView({
      root: part(root, '#trace'),
      jaeger,
      onClose: () => this.#closeTrace(),
      onFollow: (id, span) => this.show(id, span, true),
      onSpan: (span) => this.#write({ span }, false),
      onConnection: (connection) => this.#narrowTo({ text: '', errors: '', room: '', operation: '', min: '', connection }),
      onMessage: (id, room) => {
        if (this.#narrow.matches) this.close(false);
        onMessage(id, room);
      },
      say,
    });
    this.#feed = new Feed({
      onNews: (news) => this.#news(news),
      onNumbers: (numbers) => this.#numbers(numbers),
      onPhase: (phase) => {
        this.#phase = phase;
        this.#words();
      },
    });

    opener.addEventListener('click', () => (this.isOpen ? this.close() : this.open(true)));
    part(root, '#traces-close').addEventListener('click', () => this.close());
    part(root, '#traces-pause').addEventListener('click', () => this.#pause(!this.#paused));
    part(root, '#traces-clear').addEventListener('click', () => {
      this.#list.clear();
      this.#skipped = 0;
      say('List cleared');
    });
    part(root, '#traces-empty button').addEventListener('click', () => this.#narrowTo({}));
    part(root, '#trace-connection').addEventListener('click', () => {
      this.#narrowTo({ ...this.#filter, connection: '' });
      part(root, '[name=text]').focus();
    });
    const form = this.#form();
    form.addEventListener('submit', (event) => event.preventDefault());
    form.addEventListener('change', () => this.#fromForm());
    part(root, '[name=text]').addEventListener('input', () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#fromForm(), typingPause);
    });
    root.addEventListener('keydown', (event) => this.#key(event, onLeave));
    addEventListener('keydown', (event) => {
      if (event.key !== '.' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      if (this.isOpen) this.close();
      else this.open(true);
    });
    addEventListener('popstate', () => this.#read());
    this.#narrow.addEventListener('change', () => this.#cover());
    this.#read();
  }

  /** Whether the panel is open. */
  get isOpen() {
    return !this.#root.hidden;
  }

  /** @param {boolean} [focus] whether the keyboard goes there */
  open(focus = false) {
    if (!this.isOpen) {
      this.#root.hidden = false;
      this.#opener.setAttribute('aria-expanded', 'true');
      this.#cover();
      this.#write({ traces: '1' }, false);
      this.#start();
    }
    // On a phone the keyboard would come up and hide what was asked for.
    if (focus) part(this.#root, matchMedia('(pointer: coarse)').matches ? '#traces-close' : '[name=text]').focus();
  }

  /** @param {boolean} [focus] whether the keyboard goes back to where it came from */
  close(focus = true) {
    const inside = this.#root.contains(document.activeElement);
    this.#shut();
    this.#write({ traces: '', trace: '', span: '', ...Object.fromEntries(Object.values(filters).map((name) => [name, ''])) }, false);
    if (focus && inside) this.#opener.focus();
  }

  /**
   * Shows a trace, opening the panel if need be.
   * @param {string} traceId
   * @param {string} [spanId]
   * @param {boolean} [focus]
   */
  show(traceId, spanId = '', focus = false) {
    this.open();
    this.#write({ trace: traceId, span: spanId }, traceId !== this.#trace);
    this.#set(traceId, spanId, focus);
  }

  /**
   * @param {string} traceId
   * @param {string} spanId
   * @param {boolean} focus
   */
  #set(traceId, spanId, focus) {
    this.#trace = traceId;
    this.#root.classList.toggle('has-trace', Boolean(traceId));
    this.#list.setCurrent(traceId);
    this.#onMark(traceId);
    this.#view.show(traceId, spanId, focus);
  }

  #closeTrace() {
    const id = this.#trace;
    this.#write({ trace: '', span: '' }, false);
    this.#set('', '', false);
    if (!this.#list.focus(id)) part(this.#root, '[name=text]').focus();
  }

  #shut() {
    this.#feed.close();
    this.#set('', '', false);
    this.#root.hidden = true;
    this.#opener.setAttribute('aria-expanded', 'false');
    this.#cover();
  }

  /** On a narrow screen the panel covers everything: what is below must be out of reach. */
  #cover() {
    const over = this.isOpen && this.#narrow.matches;
    for (const element of this.#rest) element.inert = over;
  }

  #start() {
    this.#loaded = false;
    this.#list.reset();
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(this.#filter)) if (value) query.set(name, value);
    this.#feed.open(query);
  }

  /** @param {News} news */
  #news(news) {
    this.#loaded = true;
    this.#recording = news.recording;
    this.#notice = news.notice ?? '';
    this.#skipped += news.skipped;
    for (const trace of news.traces) {
      if (trace.room) this.#known(trace.room, this.#rooms, '[name=room]', `#${trace.room}`);
      if (trace.kind === 'requests') this.#known(trace.operation, this.#requests, '.requests', trace.operation);
    }
    this.#list.add(news.traces);
    this.#view.told(news.traces);
    this.#words();
  }

  /**
   * Offers a value that was seen as one to narrow by.
   * @param {string} value
   * @param {Set<string>} seen
   * @param {string} selector
   * @param {string} words
   */
  #known(value, seen, selector, words) {
    if (seen.has(value) || seen.size >= 100) return;
    seen.add(value);
    const place = part(this.#root, selector);
    place.hidden = false;
    const option = new Option(words, value);
    const after = [...place.children].find((other) => /** @type {HTMLOptionElement} */ (other).value > value);
    place.insertBefore(option, after ?? null);
  }

  /** @param {Numbers} numbers */
  #numbers(numbers) {
    this.#kept = numbers.kept;
    const place = part(this.#root, '#numbers');
    put(part(place, '.connections'), numbers.connections.toLocaleString('en'));
    const rate = numbers.messages_per_second;
    put(part(place, '.rate'), rate >= 9.95 || rate === 0 ? Math.round(rate).toLocaleString('en') : rate.toFixed(1));
    const over = numbers.latency_seconds ? 'over the last minute' : 'since the server started';
    for (const [name, value] of [['.p50', numbers.p50_micros], ['.p99', numbers.p99_micros]]) {
      put(part(place, String(name)), value === null ? '–' : duration(Number(value)));
    }
    for (const cell of place.querySelectorAll('.latency')) {
      /** @type {HTMLElement} */ (cell).title = `From the receipt of a message until its last member was written to, ${over}; estimated from a histogram`;
    }
    this.#words();
  }

  /** @param {boolean} paused */
  #pause(paused) {
    this.#paused = paused;
    this.#list.pause(paused);
    const button = part(this.#root, '#traces-pause');
    button.setAttribute('aria-pressed', String(paused));
    put(button, paused ? 'Resume' : 'Pause');
    button.title = `${button.textContent} (P)`;
    this.#words();
  }

  /** Says how things are: beside the title, in an empty list, and below it. */
  #words() {
    const state = part(this.#root, '#traces-state');
    const word = this.#phase === 'waiting' ? 'Not connected' : this.#paused ? 'Paused' : this.#phase === 'open' ? 'Live' : 'Connecting';
    state.dataset.phase = this.#phase === 'open' && !this.#paused ? 'open' : 'connecting';
    put(part(state, 'span'), word);

    const narrowed = Object.values(this.#filter).some(Boolean);
    if (!this.#recording) this.#list.explain({ title: 'Nothing to see', text: this.#notice, all: false });
    else if (this.#phase === 'waiting' && !this.#loaded) this.#list.explain({ title: 'The server does not answer', text: 'Trying again…', all: false });
    else if (!this.#loaded) this.#list.explain(null);
    else if (narrowed) this.#list.explain({ title: 'No trace is like this', text: 'Among those in memory. What comes to match appears here.', all: true });
    else this.#list.explain({ title: 'No traces yet', text: 'Send a message: its way through the server appears here.', all: false });

    const said = [];
    if (this.#skipped) said.push(`${this.#skipped.toLocaleString('en')} went by too fast to list`);
    if (this.#kept) said.push(`${this.#kept.traces.toLocaleString('en')} in memory`);
    if (this.#kept?.let_go_traces) said.push(`${this.#kept.let_go_traces.toLocaleString('en')} older let go`);
    put(part(this.#root, '#traces-foot'), said.join(' · '));
  }

  #form() {
    return /** @type {HTMLFormElement} */ (part(this.#root, '#trace-filters'));
  }

  #fromForm() {
    clearTimeout(this.#typing);
    const form = this.#form();
    const values = new FormData(form);
    const next = {
      text: String(values.get('text') ?? '').trim(), errors: values.get('errors') ? 'true' : '', room: String(values.get('room') ?? ''),
      operation: String(values.get('operation') ?? ''), min: String(values.get('min') ?? ''), connection: this.#filter.connection,
    };
    if (JSON.stringify(next) !== JSON.stringify(this.#filter)) this.#narrowTo(next);
  }

  /** @param {Record<string, string>} filter what is not in it does not narrow */
  #narrowTo(filter) {
    this.#take(filter);
    this.#write(Object.fromEntries(Object.entries(filters).map(([name, short]) => [short, this.#filter[name]])), false);
    if (!part(this.#root, '#browse').checkVisibility()) this.#closeTrace();
    this.#start();
  }

  /** @param {Record<string, string>} filter */
  #take(filter) {
    for (const name of Object.keys(this.#filter)) this.#filter[name] = filter[name] ?? '';
    const form = this.#form();
    for (const name of ['text', 'room', 'operation', 'min']) {
      const field = /** @type {HTMLInputElement | HTMLSelectElement} */ (form.elements.namedItem(name));
      const value = this.#filter[name];
      if (field instanceof HTMLSelectElement && value && ![...field.options].some((o) => o.value === value)) {
        field.append(new Option(name === 'room' ? `#${value}` : value, value));
        if (name === 'room') this.#rooms.add(value);
      }
      field.value = value;
      field.classList.toggle('on', Boolean(value));
    }
    /** @type {HTMLInputElement} */ (form.elements.namedItem('errors')).checked = Boolean(this.#filter.errors);
    const chip = part(this.#root, '#trace-connection');
    const connection = this.#filter.connection;
    chip.hidden = !connection;
    put(part(chip, 'span'), connection ? `Connection ${connection}` : '');
  }

  /**
   * @param {KeyboardEvent} event
   * @param {() => void} onLeave
   */
  #key(event, onLeave) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = /** @type {HTMLElement} */ (event.target).matches('input[type=search], select');
    if (event.key === 'Escape') {
      event.stopPropagation();
      if (this.#trace) this.#closeTrace();
      else if (this.#narrow.matches) this.close();
      else onLeave();
    } else if (typing) {
      if (event.key === 'ArrowDown' && /** @type {HTMLElement} */ (event.target).matches('input')) {
        event.preventDefault();
        this.#list.focus(this.#trace);
      }
    } else if (event.key === '/') {
      event.preventDefault();
      if (!part(this.#root, '#browse').checkVisibility()) this.#closeTrace();
      part(this.#root, '[name=text]').focus();
    } else if (event.key === 'p') {
      this.#pause(!this.#paused);
    }
  }

  /** Brings the panel to what the page's address says. */
  #read() {
    const query = new URLSearchParams(location.search);
    const filter = Object.fromEntries(Object.entries(filters).map(([name, short]) => [name, query.get(short) ?? '']));
    const trace = query.get('trace') ?? '';
    const wanted = query.has('traces') || Boolean(trace);
    if (!wanted) {
      if (this.isOpen) this.#shut();
      return;
    }
    const same = JSON.stringify(filter) === JSON.stringify(this.#filter);
    this.#take(filter);
    if (!this.isOpen) this.open();
    else if (!same) this.#start();
    const id = /^[0-9a-f]{32}$/.test(trace) ? trace : '';
    if (id !== this.#trace || id) this.#set(id, query.get('span') ?? '', false);
  }

  /**
   * Writes into the page's address; empty values are taken out.
   * @param {Record<string, string>} values
   * @param {boolean} asStep whether the browser's back button leads to where we were
   */
  #write(values, asStep) {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(values)) {
      if (value) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    if (url.href === location.href) return;
    if (asStep) history.pushState(null, '', url);
    else history.replaceState(null, '', url);
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
 * @param {HTMLElement} element
 * @param {string} text
 */
function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
