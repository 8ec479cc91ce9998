// The list of traces, the newest first. It holds a bounded number of rows, touches the document once a frame, and keeps
// still while it is paused or the mouse is over it: what moves is hard to hit.

import { count } from './people.js';
import { duration, exactTime, hueClass, shortConnection, timeOfDay, titleOf } from './traces-format.js';

/** @typedef {import('./traces-feed.js').Summary} Summary */

/** Rows kept. */
export const maxTraces = 300;

/** The list. Needs the elements that index.html gives it. */
export class TraceList {
  #scroller;
  #list;
  #pill;
  #empty;
  #onPick;
  #onChange;
  /** @type {Map<string, {trace: Summary, row: HTMLElement}>} */
  #rows = new Map();
  /** @type {Map<string, Summary>} what is not shown yet */
  #waiting = new Map();
  #scheduled = false;
  #paused = false;
  #pointed = false;
  #clearedAt = 0;
  #newest = 0; // the start of the newest that was ever told of
  #current = '';

  /**
   * @param {object} options
   * @param {HTMLElement} options.root
   * @param {(traceId: string) => void} options.onPick
   * @param {() => void} options.onChange it was drawn anew
   */
  constructor({ root, onPick, onChange }) {
    const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (root.querySelector(`#${id}`));
    this.#scroller = find('traces-scroll');
    this.#list = find('traces-list');
    this.#pill = find('traces-pill');
    this.#empty = find('traces-empty');
    this.#onPick = onPick;
    this.#onChange = onChange;
    this.#list.addEventListener('click', (event) => this.#clicked(event));
    this.#list.addEventListener('keydown', (event) => this.#key(event));
    this.#list.addEventListener('focusin', (event) => this.#setStop(/** @type {HTMLElement} */ (event.target)));
    this.#scroller.addEventListener('pointerenter', (event) => {
      this.#pointed = event.pointerType === 'mouse';
    });
    this.#scroller.addEventListener('pointerleave', () => {
      this.#pointed = false;
      this.#soon();
    });
    this.#pill.addEventListener('click', () => {
      this.#draw(true);
      this.#scroller.scrollTop = 0;
    });
  }

  /** @param {Summary[]} traces new ones and changed ones */
  add(traces) {
    for (const trace of traces) {
      this.#newest = Math.max(this.#newest, trace.start_micros);
      if (trace.start_micros <= this.#clearedAt) continue;
      const known = this.#rows.get(trace.trace_id);
      if (known && !this.#paused) {
        known.trace = trace;
        fill(known.row, trace);
      } else {
        this.#waiting.set(trace.trace_id, trace);
      }
    }
    if (this.#waiting.size > 2 * maxTraces) {
      const kept = [...this.#waiting.values()].sort((a, b) => b.start_micros - a.start_micros).slice(0, maxTraces);
      this.#waiting = new Map(kept.map((trace) => [trace.trace_id, trace]));
    }
    this.#soon();
  }

  /** @param {boolean} paused */
  pause(paused) {
    this.#paused = paused;
    this.#soon();
  }

  /** Takes all from the list, for good: only what begins from now on is listed. */
  clear() {
    this.#clearedAt = this.#newest;
    this.reset();
  }

  /** Takes all from the list. */
  reset() {
    const focused = this.#list.contains(document.activeElement);
    this.#rows.clear();
    this.#waiting.clear();
    this.#list.replaceChildren();
    if (focused) this.#scroller.closest('aside')?.querySelector('button')?.focus();
    this.#draw(true);
  }

  /** @param {string} traceId of the trace that is shown; empty for none */
  setCurrent(traceId) {
    this.#rows.get(this.#current)?.row.querySelector('a')?.removeAttribute('aria-current');
    this.#current = traceId;
    const row = this.#rows.get(traceId)?.row;
    row?.querySelector('a')?.setAttribute('aria-current', 'true');
    row?.scrollIntoView({ block: 'nearest' });
  }

  /**
   * Gives the keyboard to a trace's row, else to the newest.
   * @param {string} [traceId]
   * @returns {boolean} whether there is any
   */
  focus(traceId = '') {
    const row = this.#rows.get(traceId)?.row ?? this.#list.firstElementChild;
    /** @type {HTMLElement | null | undefined} */ (row?.querySelector('a'))?.focus();
    return Boolean(row);
  }

  /**
   * @param {{title: string, text: string, all: boolean} | null} words what to say while the list is empty; all: offer to
   *   show all
   */
  explain(words) {
    this.#empty.hidden = !words || this.#rows.size > 0;
    if (!words) return;
    put(part(this.#empty, 'h3'), words.title);
    put(part(this.#empty, 'p'), words.text);
    part(this.#empty, 'button').hidden = !words.all;
  }

  #soon() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const draw = () => {
      this.#scheduled = false;
      this.#draw();
    };
    if (document.hidden) setTimeout(draw, 100);
    else requestAnimationFrame(draw);
  }

  #draw(now = false) {
    if (now || !(this.#paused || (this.#pointed && this.#rows.size > 0))) {
      const fresh = [...this.#waiting.values()].sort((a, b) => b.start_micros - a.start_micros).slice(0, maxTraces);
      this.#waiting.clear();
      let next = this.#list.firstElementChild;
      for (const trace of fresh) {
        const known = this.#rows.get(trace.trace_id);
        if (known) {
          known.trace = trace;
          fill(known.row, trace);
          continue;
        }
        // Nearly always the first is where it belongs.
        while (next && startOf(next) > trace.start_micros) next = next.nextElementSibling;
        const row = newRow(trace);
        this.#rows.set(trace.trace_id, { trace, row });
        this.#list.insertBefore(row, next);
        if (trace.trace_id === this.#current) row.querySelector('a')?.setAttribute('aria-current', 'true');
      }
      while (this.#rows.size > maxTraces) {
        const last = /** @type {HTMLElement} */ (this.#list.lastElementChild);
        if (last.contains(document.activeElement)) this.focus();
        this.#rows.delete(last.dataset.traceId ?? '');
        last.remove();
      }
      if (!this.#list.querySelector('a[tabindex="0"]')) this.#list.querySelector('a')?.setAttribute('tabindex', '0');
    }
    let fresh = 0;
    for (const id of this.#waiting.keys()) if (!this.#rows.has(id)) fresh++;
    this.#pill.hidden = fresh === 0;
    if (fresh) put(part(this.#pill, 'span'), count(fresh, 'new trace', 'new traces'));
    this.#onChange();
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const link = /** @type {HTMLElement} */ (event.target).closest('a');
    // With a modifier key it is a link like any other.
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#onPick(/** @type {HTMLElement} */ (link.parentElement).dataset.traceId ?? '');
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const row = /** @type {HTMLElement} */ (event.target).closest('li');
    const to = {
      ArrowUp: row?.previousElementSibling,
      ArrowDown: row?.nextElementSibling,
      Home: this.#list.firstElementChild,
      End: this.#list.lastElementChild,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    /** @type {HTMLElement | null | undefined} */ (to?.querySelector('a'))?.focus();
  }

  /** @param {HTMLElement} target the one row of which Tab stops at */
  #setStop(target) {
    const link = target.closest('a');
    if (!link) return;
    for (const other of this.#list.querySelectorAll('a[tabindex="0"]')) other.setAttribute('tabindex', '-1');
    link.setAttribute('tabindex', '0');
  }
}

/** @param {Element} row */
function startOf(row) {
  return Number(/** @type {HTMLElement} */ (row).dataset.start);
}

/** @param {Summary} trace */
function newRow(trace) {
  const row = document.createElement('li');
  row.dataset.traceId = trace.trace_id;
  row.dataset.start = String(trace.start_micros);
  const link = document.createElement('a');
  const url = new URL(location.href);
  url.searchParams.set('trace', trace.trace_id);
  url.searchParams.delete('span');
  link.href = url.search;
  link.tabIndex = -1;
  const cells = ['time', 'what', 'about', 'bar', 'took'].map((name) => {
    const cell = document.createElement('span');
    cell.className = name;
    return cell;
  });
  cells[0].textContent = timeOfDay(trace.start_micros);
  cells[0].title = exactTime(trace.start_micros);
  cells[3].append(document.createElement('i'));
  cells[3].setAttribute('aria-hidden', 'true');
  link.append(...cells);
  row.append(link);
  fill(row, trace);
  return row;
}

/**
 * @param {HTMLElement} row
 * @param {Summary} trace
 */
function fill(row, trace) {
  const open = trace.open_count > 0;
  const failed = trace.failed_count > 0;
  row.className = hueClass(trace.operation);
  row.classList.toggle('is-open', open);
  row.classList.toggle('is-failed', failed);
  put(part(row, '.what'), titleOf(trace));
  const about = [trace.room && `#${trace.room}`, trace.client_id, trace.connection_id && shortConnection(trace.connection_id)];
  put(part(row, '.about'), about.filter(Boolean).join(' · '));
  part(row, '.about').title = about.filter(Boolean).join(' · ');
  // A logarithmic scale: 10 µs to 10 s.
  const share = Math.log10(Math.max(trace.duration_micros, 10) / 10) / 6;
  part(row, 'i').style.inlineSize = `${Math.min(Math.max(share, 0.03), 1) * 100}%`;
  const words = [failed && 'failed', open ? 'open' : duration(trace.duration_micros)].filter(Boolean);
  put(part(row, '.took'), words.join(' '));
  part(row, '.took').title = failed ? (trace.error ?? '') : '';
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
