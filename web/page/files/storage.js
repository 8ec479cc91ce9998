// What the page remembers between visits. Storage may be forbidden or full; then it forgets, and nothing else happens.

const prefix = 'traceroom.';

/**
 * @param {string} key
 * @returns {string} what was stored, or an empty string
 */
export function recall(key) {
  try {
    return localStorage.getItem(prefix + key) ?? '';
  } catch {
    return '';
  }
}

/**
 * @param {string} key
 * @param {string} value an empty one forgets the key
 */
export function remember(key, value) {
  try {
    if (value) localStorage.setItem(prefix + key, value);
    else localStorage.removeItem(prefix + key);
  } catch {
    // Not remembered; the page works without.
  }
}
