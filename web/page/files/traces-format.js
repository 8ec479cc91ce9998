// How traces are written: durations, times, and which colour an operation has.

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

/** Colours of the operations that everything is about; the rest, requests mostly, is grey. */
const hues = new Map([
  ['receive', 6], ['append', 2], ['broadcast', 9], ['relay', 10], ['deliver', 4],
  ['connect', 7], ['join', 5], ['leave', 3], ['disconnect', 1],
]);

/**
 * @param {string} operation
 * @returns {string} the class that gives an element the operation's colour as --hue
 */
export function hueClass(operation) {
  return `hue-${hues.get(operation) ?? 'none'}`;
}

/**
 * @param {number} micros
 * @returns {string} "0", "740 µs", "1.24 ms", "12.4 ms", "1.24 s", "2 min 5 s"
 */
export function duration(micros) {
  if (micros < 0.05) return '0';
  if (micros < 999.5) return `${micros < 9.95 ? micros.toFixed(1) : Math.round(micros)}\u00a0µs`;
  const ms = micros / 1000;
  if (ms < 999.5) return `${digits(ms)}\u00a0ms`;
  const s = ms / 1000;
  if (s < 99.5) return `${digits(s)}\u00a0s`;
  return `${Math.floor(s / 60)}\u00a0min ${Math.round(s % 60)}\u00a0s`;
}

/** @param {number} n written with three digits */
function digits(n) {
  if (n < 9.995) return n.toFixed(2);
  return n < 99.95 ? n.toFixed(1) : String(Math.round(n));
}

/**
 * @param {number} micros Unix microseconds
 * @returns {string} "10:21:05"
 */
export function timeOfDay(micros) {
  return clock.format(micros / 1000);
}

/**
 * @param {number} micros Unix microseconds
 * @returns {string} "10:21:05.123"
 */
export function exactTime(micros) {
  return `${timeOfDay(micros)}.${String(Math.floor(micros / 1000) % 1000).padStart(3, '0')}`;
}

/**
 * @param {{operation: string, event?: string}} what a trace or a span
 * @returns {string} what it is called: "receive message", "connect", "GET /rooms"
 */
export function titleOf({ operation, event }) {
  return operation === 'receive' && event ? `receive ${event}` : operation;
}

/**
 * @param {string} connection a connection's id
 * @returns {string} as the trace log calls it: "conn-17"
 */
export function shortConnection(connection) {
  return `conn-${connection.slice(connection.lastIndexOf('-') + 1)}`;
}
