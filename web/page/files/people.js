// Names: what may be one, a friendly one to begin with, and how one looks.

import { recall, remember } from './storage.js';

const first = ['amber', 'brisk', 'calm', 'clear', 'deft', 'early', 'fair', 'gentle', 'keen', 'lucid', 'mellow', 'nimble',
  'plain', 'quiet', 'ready', 'steady', 'sunny', 'swift', 'tidy', 'warm'];
const second = ['badger', 'bittern', 'dipper', 'dormouse', 'egret', 'finch', 'gannet', 'heron', 'kestrel', 'linnet', 'marten',
  'newt', 'otter', 'plover', 'puffin', 'stoat', 'swift', 'tern', 'vole', 'wren'];

/** How many colours there are for authors; app.css defines .hue-0 and so on. */
export const hues = 12;

/**
 * @param {string} id of a room or a client
 * @returns {string} why it cannot be one, in plain words; an empty string if it can
 */
export function idProblem(id) {
  if (!id) return 'This cannot be empty.';
  if (id.length > 64) return 'At most 64 characters.';
  if (!/^[A-Za-z0-9_.-]+$/.test(id)) return 'Only letters A–Z and a–z, digits, and _ . - can be used.';
  // Browsers take these for steps in a path and would ask for another address.
  if (id === '.' || id === '..') return 'Dots alone cannot be used.';
  return '';
}

/**
 * @param {string} text
 * @returns {string} the id that is nearest to text; may be empty
 */
export function idFrom(text) {
  return text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9_.-]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, 64);
}

/** @returns {string} a name such as calm-otter-42 */
export function friendlyName() {
  const [a, b, c] = crypto.getRandomValues(new Uint32Array(3));
  return `${first[a % first.length]}-${second[b % second.length]}-${10 + (c % 90)}`;
}

/**
 * @param {string | null} wanted a name asked for by the page's address, for this tab only
 * @returns {string} the name to go by
 */
export function ownName(wanted) {
  if (wanted && !idProblem(wanted)) return wanted;
  const known = recall('name');
  if (known && !idProblem(known)) return known;
  const name = friendlyName();
  remember('name', name);
  return name;
}

/**
 * @param {string} id
 * @returns {number} which of the colours is this client's, the same in every browser
 */
export function hueOf(id) {
  let hash = 0x811c9dc5; // FNV-1a
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  return (hash >>> 0) % hues;
}

/**
 * @param {string} id
 * @returns {string} one or two letters that stand for the client
 */
export function initials(id) {
  const words = id.split(/[_.-]+/).filter(Boolean);
  const letters = words.filter((w) => /[a-z]/i.test(w[0]));
  const [a = words[0] ?? id, b] = letters;
  return (a[0] + (b ? b[0] : '')).toUpperCase();
}

/**
 * @param {string[]} names
 * @param {number} [most] how many to name before counting
 * @returns {string} "a", "a and b", "a, b and 3 others"
 */
export function listNames(names, most = 3) {
  if (names.length <= 1) return names[0] ?? '';
  if (names.length <= most) return `${names.slice(0, -1).join(', ')} and ${names[names.length - 1]}`;
  const rest = names.length - (most - 1);
  return `${names.slice(0, most - 1).join(', ')} and ${rest} others`;
}

/**
 * @param {number} n
 * @param {string} one
 * @param {string} many
 * @returns {string}
 */
export function count(n, one, many) {
  return `${n.toLocaleString('en')} ${n === 1 ? one : many}`;
}
