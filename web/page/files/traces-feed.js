// The stream of traces from the server. It is open only while somebody can see what it brings: a browser has but six
// connections to a server of HTTP/1.1, for all its tabs together.

const retryAfter = 2_000; // milliseconds before a stream that was refused or has ended is asked for again
const hiddenFor = 5_000; // milliseconds that the page may be hidden before the stream is closed

/**
 * @typedef {object} Summary a trace as lists show it
 * @property {string} trace_id
 * @property {'messages' | 'connections' | 'requests'} kind
 * @property {string} name
 * @property {string} module
 * @property {string} operation
 * @property {string} [event]
 * @property {string} [room]
 * @property {string} [client_id]
 * @property {string} [connection_id]
 * @property {string} thread
 * @property {number} start_micros
 * @property {number} duration_micros
 * @property {number} span_count
 * @property {number} open_count
 * @property {number} failed_count
 * @property {string} [error]
 * @property {boolean} sampled
 *
 * @typedef {{traces: Summary[], skipped: number, first?: boolean, recording: boolean, notice?: string}} News
 *
 * @typedef {object} Numbers
 * @property {number} connections
 * @property {number} messages_per_second
 * @property {number | null} p50_micros
 * @property {number | null} p99_micros
 * @property {number} latency_seconds
 * @property {{traces: number, spans: number, let_go_traces: number, let_go_spans: number}} kept
 */

/** The stream. open begins it or begins it anew, close ends it. */
export class Feed {
  #onNews;
  #onNumbers;
  #onPhase;
  /** @type {EventSource | null} */
  #source = null;
  /** @type {URLSearchParams | null} what is asked for; null: nothing */
  #query = null;
  #timer = 0;

  /**
   * @param {object} options
   * @param {(news: News) => void} options.onNews
   * @param {(numbers: Numbers) => void} options.onNumbers
   * @param {(phase: 'connecting' | 'open' | 'waiting') => void} options.onPhase
   */
  constructor({ onNews, onNumbers, onPhase }) {
    this.#onNews = onNews;
    this.#onNumbers = onNumbers;
    this.#onPhase = onPhase;
    document.addEventListener('visibilitychange', () => {
      if (!this.#query) return;
      clearTimeout(this.#timer);
      if (document.hidden) this.#timer = setTimeout(() => this.#stop(), hiddenFor);
      else if (!this.#source) this.#start();
    });
    addEventListener('pagehide', () => this.#stop());
    addEventListener('pageshow', (event) => event.persisted && this.#query && this.#start());
  }

  /** @param {URLSearchParams} query */
  open(query) {
    this.#query = query;
    this.#start();
  }

  close() {
    this.#query = null;
    this.#stop();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #start() {
    this.#stop();
    this.#onPhase('connecting');
    const url = new URL('traces/live', document.baseURI);
    url.search = String(this.#query);
    const source = new EventSource(url);
    this.#source = source;
    source.addEventListener('open', () => this.#onPhase('open'));
    source.addEventListener('traces', (event) => this.#onNews(JSON.parse(event.data)));
    source.addEventListener('numbers', (event) => this.#onNumbers(JSON.parse(event.data)));
    // The browser would ask again by itself, but not after a refusal, and at its own pace.
    const again = () => {
      this.#stop();
      this.#onPhase('waiting');
      this.#timer = setTimeout(() => this.#start(), retryAfter);
    };
    source.addEventListener('bye', again);
    source.addEventListener('error', again);
  }
}
