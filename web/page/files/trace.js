// W3C trace context (https://www.w3.org/TR/trace-context/) in the browser: reading it, and what can be done with a
// message's trace.

const pattern = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-|$)/;
const zeros = /^0+$/;

/**
 * @param {unknown} traceparent
 * @returns {string} the trace id in it: 32 hexadecimal digits, or an empty string if it is not a valid traceparent
 */
export function traceIdOf(traceparent) {
  if (typeof traceparent !== 'string') return '';
  const id = pattern.exec(traceparent)?.[1] ?? '';
  return zeros.test(id) ? '' : id;
}

/**
 * @param {string} base where Jaeger's pages are; empty if there is no Jaeger
 * @param {string} traceId
 * @returns {string} the trace's page, or an empty string
 */
export function jaegerURL(base, traceId) {
  if (!/^https?:\/\//i.test(base) || !traceId) return '';
  return `${base.replace(/\/+$/, '')}/trace/${traceId}`;
}

/**
 * @param {number} bytes
 * @returns {string} random, in hexadecimal, never all zeros
 */
export function randomHex(bytes) {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  if (random.every((b) => b === 0)) random[bytes - 1] = 1;
  return Array.from(random, (b) => b.toString(16).padStart(2, '0')).join('');
}

/**
 * Copies text to the clipboard, also where the page was not served over TLS or from localhost.
 * @param {string} text
 * @returns {Promise<boolean>} whether it worked
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Older way, below.
  }
  const back = /** @type {HTMLElement | null} */ (document.activeElement);
  const box = document.createElement('textarea');
  box.className = 'sr-only';
  box.value = text;
  document.body.append(box);
  box.select();
  let done = false;
  try {
    done = document.execCommand('copy');
  } catch {
    // done stays false.
  }
  box.remove();
  back?.focus({ preventScroll: true });
  return done;
}
