// One trace: its waterfall, the span that is looked at, what is linked to it, and its lines of the trace log.

import { CallError, getTrace } from './api.js';
import { count } from './people.js';
import { copyText, jaegerURL } from './trace.js';
import { duration, exactTime, hueClass, shortConnection, timeOfDay, titleOf } from './traces-format.js';

/**
 * @typedef {import('./traces-feed.js').Summary} Summary
 *
 * @typedef {object} Span
 * @property {string} span_id
 * @property {string} [parent_span_id]
 * @property {'here' | 'none' | 'remote' | 'missing'} parent_is
 * @property {number} depth
 * @property {string} name
 * @property {string} kind
 * @property {string} module
 * @property {string} operation
 * @property {string} thread
 * @property {string} scope
 * @property {number} offset_micros
 * @property {number} duration_micros
 * @property {boolean} open
 * @property {'unset' | 'ok' | 'error'} status
 * @property {string} [error]
 * @property {Record<string, any>} attributes
 * @property {{name: string, offset_micros: number, attributes: Record<string, any>}[]} events
 * @property {{trace_id: string, span_id: string, here: boolean, name?: string, operation?: string}[]} links
 *
 * @typedef {Summary & {
 *   spans: Span[],
 *   spans_let_go?: number,
 *   linked_from: {trace_id: string, span_id: string, to_span_id: string, name: string, operation: string, event?: string,
 *     room?: string, start_micros: number, duration_micros: number, open: boolean, failed: boolean}[],
 *   linked_from_count: number,
 *   log: any[],
 * }} Trace
 */

const confirmFor = 1_400; // milliseconds that "copied" is shown
const backlinksShown = 5; // before the rest is asked for
const parents = { here: '', none: '', remote: 'Began with whoever asked', missing: 'Its parent is not in memory any more' };

/** Shows one trace at a time. */
export class TraceView {
  #root;
  #jaeger;
  #options;
  #id = '';
  #span = '';
  /** @type {Trace | null} */
  #trace = null;
  #asked = 0;
  #again = 0;

  /**
   * @param {object} options
   * @param {HTMLElement} options.root
   * @param {string} options.jaeger where Jaeger's pages are, or an empty string
   * @param {() => void} options.onClose
   * @param {(traceId: string, spanId: string) => void} options.onFollow a link was followed
   * @param {(spanId: string) => void} options.onSpan another span is looked at
   * @param {(connection: string) => void} options.onConnection all that a connection did is asked for
   * @param {(traceId: string, room: string) => void} options.onMessage the message of a trace is asked for
   * @param {(text: string) => void} options.say
   */
  constructor(options) {
    this.#root = options.root;
    this.#jaeger = options.jaeger;
    this.#options = options;
  }

  /**
   * Shows a trace, or another span of the one that is shown.
   * @param {string} traceId empty: none
   * @param {string} [spanId]
   * @param {boolean} [focus] whether the keyboard goes there
   */
  async show(traceId, spanId = '', focus = false) {
    if (traceId !== this.#id) {
      this.#trace = null;
      this.#root.replaceChildren();
    }
    this.#id = traceId;
    this.#span = spanId;
    this.#root.hidden = !traceId;
    clearTimeout(this.#again);
    if (traceId) await this.#load(focus);
  }

  /** @param {Summary[]} news of traces, this one perhaps among them */
  told(news) {
    if (this.#trace && news.some((trace) => trace.trace_id === this.#id)) this.#soon();
  }

  #soon() {
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#load(), 150);
  }

  async #load(focus = false) {
    const asked = ++this.#asked;
    const id = this.#id;
    try {
      const trace = await getTrace(id);
      if (asked !== this.#asked) return;
      const known = this.#trace;
      this.#trace = trace;
      if (known && JSON.stringify(known) === JSON.stringify(trace)) return;
      this.#draw(focus);
      if (trace.open_count > 0) {
        clearTimeout(this.#again);
        this.#again = setTimeout(() => this.#load(), 1_000);
      }
    } catch (error) {
      if (asked !== this.#asked) return;
      if (this.#trace) return; // What was shown stays: it was true.
      this.#refuse(/** @type {CallError} */ (error), focus);
    }
  }

  /**
   * @param {CallError} error
   * @param {boolean} focus
   */
  #refuse(error, focus) {
    const gone = error.status === 404;
    const head = element('header', 'trace-head', this.#back(), title(gone ? 'This trace is not in memory' : 'The trace cannot be read'));
    const text = gone
      ? 'Only the newest traces are. The trace log has all of them, and so has whatever spans are exported to.'
      : error.message;
    const buttons = element('div', 'trace-buttons', this.#copyButton('copy-id', 'Copy trace id', 'Trace id copied', () => this.#id), this.#jaegerLink());
    const command = element('code', 'command', `traceroom inspect --trace ${this.#id}`);
    this.#root.replaceChildren(head, element('div', 'trace-gone', element('p', '', text), gone ? command : '', buttons));
    if (focus) part(this.#root, '.trace-title').focus();
  }

  /** @param {boolean} focus */
  #draw(focus) {
    const trace = /** @type {Trace} */ (this.#trace);
    if (!trace.spans.some((span) => span.span_id === this.#span)) this.#span = trace.spans[0].span_id;
    const had = this.#root.contains(document.activeElement) ? document.activeElement : null;
    const wasTree = had?.getAttribute('role') === 'treeitem';
    const wasTitle = had?.classList.contains('trace-title');
    const opened = Boolean(this.#root.querySelector('details[open]'));
    const scrolled = this.#root.scrollTop;
    this.#root.replaceChildren(this.#head(trace), this.#waterfall(trace), element('div', 'span-view'), this.#log(trace, opened));
    this.#drawSpan();
    this.#root.scrollTop = scrolled;
    if (focus || wasTitle) part(this.#root, '.trace-title').focus({ preventScroll: true });
    else if (wasTree) part(this.#root, '[aria-selected="true"]').focus({ preventScroll: true });
    else if (had && !this.#root.contains(had)) part(this.#root, '.trace-title').focus({ preventScroll: true });
  }

  /** @param {Trace} trace */
  #head(trace) {
    const facts = [
      trace.open_count > 0 ? 'open' : duration(trace.duration_micros),
      count(trace.span_count, 'span', 'spans'),
      trace.room ? `#${trace.room}` : '',
      trace.client_id ?? '',
    ];
    const line = element('p', 'trace-facts', exactTime(trace.start_micros), ...facts.filter(Boolean).flatMap((fact) => [' · ', fact]));
    if (trace.failed_count > 0) line.append(' · ', element('strong', 'failed', count(trace.failed_count, 'span failed', 'spans failed')));
    const buttons = element('div', 'trace-buttons');
    const connection = trace.connection_id;
    if (connection) {
      buttons.append(button(`All of ${shortConnection(connection)}`, 'all-of', () => this.#options.onConnection(connection), `All that connection ${connection} did`));
    }
    const room = trace.room;
    if (trace.event === 'message' && room) {
      buttons.append(button('Show message', 'to-message', () => this.#options.onMessage(trace.trace_id, room)));
    }
    const file = element('a', 'quiet export', 'Export');
    file.setAttribute('href', new URL(`traces/${trace.trace_id}.otlp.json`, document.baseURI).href);
    file.setAttribute('download', `trace-${trace.trace_id.slice(0, 8)}.otlp.json`);
    file.title = 'Save as OTLP JSON, which Jaeger and others can open';
    buttons.append(
      this.#copyButton('copy-id', `Copy id ${trace.trace_id.slice(0, 8)}`, 'Trace id copied', () => trace.trace_id),
      this.#copyButton('copy-link', 'Copy link', 'Link to this trace copied', shareable),
      file,
      this.#jaegerLink(),
    );
    const notes = [];
    if (trace.spans_let_go) notes.push(`${count(trace.spans_let_go, 'span', 'spans')} of it are not in memory any more.`);
    if (!trace.sampled) notes.push('Not sampled: it is not exported.');
    const about = notes.length ? element('p', 'trace-note', notes.join(' ')) : '';
    return element('header', 'trace-head', this.#back(), title(titleOf(trace)), line, about, buttons);
  }

  /** @param {Trace} trace */
  #waterfall(trace) {
    const total = Math.max(trace.duration_micros, 0.001);
    const axis = element('div', 'axis', ...[0, 0.25, 0.5, 0.75, 1].map((at) => {
      const mark = element('span', '', duration(total * at));
      mark.style.insetInlineStart = `${at * 100}%`;
      return mark;
    }));
    axis.setAttribute('aria-hidden', 'true');
    const tree = element('ol', 'spans');
    tree.setAttribute('role', 'tree');
    tree.setAttribute('aria-label', 'Spans');
    for (const span of trace.spans) tree.append(this.#bar(span, total));
    tree.addEventListener('keydown', (event) => this.#key(event, tree));
    tree.addEventListener('click', (event) => {
      const row = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest('li'));
      if (row) this.#select(row);
    });
    return element('div', 'waterfall', element('div', 'axis-row', axis), tree);
  }

  /**
   * @param {Span} span
   * @param {number} total
   */
  #bar(span, total) {
    const row = element('li', hueClass(span.operation));
    row.dataset.spanId = span.span_id;
    row.setAttribute('role', 'treeitem');
    row.setAttribute('aria-level', String(span.depth + 1));
    row.style.setProperty('--depth', String(Math.min(span.depth, 8)));
    const failed = span.status === 'error';
    row.classList.toggle('is-open', span.open);
    row.classList.toggle('is-failed', failed);
    const took = [failed && 'failed', span.open ? 'open' : duration(span.duration_micros)].filter(Boolean).join(' ');
    const name = element('span', 'span-name', span.operation);
    name.title = `${span.module}.${span.operation} · ${span.name}`;
    const bar = element('i', 'bar');
    const from = Math.min(span.offset_micros / total, 1);
    bar.style.insetInlineStart = `${from * 100}%`;
    bar.style.inlineSize = `${Math.max(Math.min(span.duration_micros / total, 1 - from), 0) * 100}%`;
    const track = element('span', 'track', bar);
    for (const event of span.events) {
      const dot = element('i', 'dot');
      dot.style.insetInlineStart = `${Math.min(Math.max(event.offset_micros / total, 0), 1) * 100}%`;
      track.append(dot);
    }
    track.setAttribute('aria-hidden', 'true');
    row.append(name, track, element('span', 'took', took));
    const selected = span.span_id === this.#span;
    row.setAttribute('aria-selected', String(selected));
    row.tabIndex = selected ? 0 : -1;
    return row;
  }

  /**
   * @param {KeyboardEvent} event
   * @param {HTMLElement} tree
   */
  #key(event, tree) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const row = /** @type {HTMLElement} */ (event.target).closest('li');
    const to = {
      ArrowUp: row?.previousElementSibling ?? row,
      ArrowDown: row?.nextElementSibling ?? row,
      Home: tree.firstElementChild,
      End: tree.lastElementChild,
    }[event.key];
    if (!to) return;
    event.preventDefault();
    this.#select(/** @type {HTMLElement} */ (to));
  }

  /** @param {HTMLElement} row */
  #select(row) {
    for (const other of this.#root.querySelectorAll('[role="treeitem"]')) {
      other.setAttribute('aria-selected', String(other === row));
      /** @type {HTMLElement} */ (other).tabIndex = other === row ? 0 : -1;
    }
    row.focus();
    this.#span = row.dataset.spanId ?? '';
    this.#options.onSpan(this.#span);
    this.#drawSpan();
  }

  #drawSpan() {
    const trace = /** @type {Trace} */ (this.#trace);
    const span = trace.spans.find((s) => s.span_id === this.#span);
    if (!span) return;
    const view = part(this.#root, '.span-view');
    view.className = `span-view ${hueClass(span.operation)}`;
    const facts = [
      span.kind, span.thread, span.open ? 'open' : duration(span.duration_micros),
      `begins at ${duration(span.offset_micros)}`, parents[span.parent_is],
    ].filter(Boolean);
    const parts = [element('h4', '', span.name), element('p', 'trace-facts', facts.join(' · '))];
    if (span.error) parts.push(element('p', 'span-error', `Failed: ${span.error}`));
    if (span.links.length) {
      const list = element('ul', 'links');
      for (const link of span.links) {
        const words = link.name ? `${link.operation}: ${link.name}` : `trace ${link.trace_id.slice(0, 8)}`;
        const follow = this.#link(link.trace_id, link.span_id, words);
        list.append(element('li', '', follow, link.here ? '' : element('span', 'soft', ' not in memory any more')));
      }
      parts.push(element('section', 'to', element('h5', '', 'Linked to'), list));
    }
    parts.push(this.#backlinks(trace, span));
    if (span.events.length) {
      const list = element('ul', 'events');
      for (const event of span.events) {
        list.append(element('li', '', element('strong', '', event.name), ` at ${duration(event.offset_micros)}`, table('', Object.entries(event.attributes))));
      }
      parts.push(element('section', '', element('h5', '', 'Events'), list));
    }
    parts.push(table('Attributes', Object.entries(span.attributes)));
    view.replaceChildren(...parts.filter((p) => p !== ''));
  }

  /**
   * @param {Trace} trace
   * @param {Span} span
   */
  #backlinks(trace, span) {
    const from = trace.linked_from.filter((link) => link.to_span_id === span.span_id);
    if (from.length === 0) return '';
    const list = element('ul', 'links');
    const rows = from.map((link) => {
      const took = [link.failed && 'failed', link.open ? 'open' : duration(link.duration_micros)].filter(Boolean).join(' ');
      const words = [titleOf(link), link.room && `#${link.room}`].filter(Boolean).join(' · ');
      return element('li', '', element('span', 'time', timeOfDay(link.start_micros)), this.#link(link.trace_id, link.span_id, words), element('span', 'took', took));
    });
    list.append(...rows.slice(0, backlinksShown));
    const all = from.length === trace.linked_from.length ? trace.linked_from_count : from.length;
    const section = element('section', 'from', element('h5', '', `Linked from ${count(all, 'span', 'spans')}`), list);
    if (rows.length > backlinksShown) {
      const more = button(`Show ${rows.length - backlinksShown} more`, 'more', () => {
        list.append(...rows.slice(backlinksShown));
        more.remove();
        /** @type {HTMLElement | null} */ (rows[backlinksShown].querySelector('a'))?.focus();
      });
      section.append(more);
    }
    return section;
  }

  /**
   * @param {Trace} trace
   * @param {boolean} open
   */
  #log(trace, open) {
    const box = /** @type {HTMLDetailsElement} */ (element('details', 'lines'));
    box.open = open;
    const list = element('ol', '');
    const depths = new Map(trace.spans.map((span) => [span.span_id, span.depth]));
    for (const line of trace.log) {
      const enter = line.event === 'ENTER';
      const row = element('li', line.exception ? 'failed' : '',
        element('span', 'event', line.event), ' ',
        element('b', '', `${line.module}.${line.function}`), ' ',
        enter ? line.args : `${line.result} ${duration(line.durationMicros)}`);
      row.style.setProperty('--depth', String(Math.min(depths.get(line.span_id) ?? 0, 8)));
      list.append(row);
    }
    const raw = () => trace.log.map((line) => JSON.stringify(line)).join('\n');
    box.append(
      element('summary', '', 'Lines of the trace log', element('span', 'soft', String(trace.log.length))),
      list, this.#copyButton('copy-lines', 'Copy as JSON lines', 'Lines copied', raw),
    );
    return box;
  }

  #back() {
    const back = button('', 'icon trace-close', () => this.#options.onClose(), 'Back to the list (Esc)');
    back.setAttribute('aria-label', 'Close this trace');
    back.append(icon('M12.500 4.500 7 10l5.500 5.500'));
    return back;
  }

  #jaegerLink() {
    const url = jaegerURL(this.#jaeger, this.#id);
    if (!url) return '';
    const link = element('a', 'quiet', 'Jaeger', icon('M7 5h8v8M15 5 5.500 14.500'));
    link.setAttribute('href', url);
    link.setAttribute('target', '_blank');
    link.setAttribute('rel', 'noopener noreferrer');
    link.setAttribute('aria-label', 'Open the trace in Jaeger, in a new tab');
    return link;
  }

  /**
   * @param {string} traceId
   * @param {string} spanId
   * @param {string} words
   */
  #link(traceId, spanId, words) {
    const url = new URL(location.href);
    url.searchParams.set('trace', traceId);
    url.searchParams.set('span', spanId);
    const link = element('a', 'follow', words);
    link.setAttribute('href', url.search);
    link.addEventListener('click', (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      this.#options.onFollow(traceId, spanId);
    });
    return link;
  }

  /**
   * @param {string} name its class
   * @param {string} words
   * @param {string} done
   * @param {() => string} text
   */
  #copyButton(name, words, done, text) {
    const made = button(words, name, async () => {
      const ok = await copyText(text());
      this.#options.say(ok ? done : 'It could not be copied');
      made.textContent = ok ? 'Copied' : 'Not copied';
      setTimeout(() => (made.textContent = words), confirmFor);
    });
    return made;
  }
}

/**
 * @param {string} tag
 * @param {string} className
 * @param {...(Node | string)} children empty strings are left out
 * @returns {HTMLElement}
 */
function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== ''));
  return made;
}

/** @param {string} text */
function title(text) {
  const made = element('h3', 'trace-title', text);
  made.id = 'trace-title';
  made.tabIndex = -1;
  return made;
}

/**
 * @param {string} text
 * @param {string} className
 * @param {() => void} onClick
 * @param {string} [hint]
 */
function button(text, className, onClick, hint = '') {
  const made = element('button', className.startsWith('icon') ? className : `quiet ${className}`, text);
  made.setAttribute('type', 'button');
  if (hint) made.title = hint;
  made.addEventListener('click', onClick);
  return made;
}

/** @param {string} path */
function icon(path) {
  const space = 'http://www.w3.org/2000/svg';
  const made = document.createElementNS(space, 'svg');
  made.setAttribute('viewBox', '0 0 20 20');
  made.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(space, 'path');
  line.setAttribute('d', path);
  made.append(line);
  return made;
}

/**
 * @param {string} heading may be empty
 * @param {[string, any][]} entries
 */
function table(heading, entries) {
  if (entries.length === 0) return '';
  const list = element('dl', 'attributes');
  for (const [key, value] of entries) {
    const shown = typeof value === 'number' ? value.toLocaleString('en', { useGrouping: false, maximumFractionDigits: 6 }) : String(value);
    list.append(element('div', '', element('dt', '', ...breakable(key)), element('dd', '', shown)));
  }
  return heading ? element('section', '', element('h5', '', heading), list) : list;
}

/** @param {string} key whose parts may stand on lines of their own */
function breakable(key) {
  return key.split(/(?<=\.)/).flatMap((word, i) => (i ? [document.createElement('wbr'), word] : [word]));
}

/** @returns {string} the page's address without the name that one goes by in this tab */
function shareable() {
  const url = new URL(location.href);
  url.searchParams.delete('name');
  return url.href;
}

/**
 * @param {Element} root
 * @param {string} selector
 */
function part(root, selector) {
  return /** @type {HTMLElement} */ (root.querySelector(selector));
}
