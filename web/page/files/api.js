// The REST calls that the page makes.

/**
 * @typedef {object} Room
 * @property {string} room_id
 * @property {string} name
 * @property {number} participant_count
 * @property {number} message_count
 * @property {number} created_at Unix milliseconds
 */

const patience = 10_000; // milliseconds that an answer may take

/** A call that failed, in words that can be shown. */
export class CallError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0 where there was no answer
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** @returns {Promise<Room[]>} every room, in the server's order; rejects with a {@link CallError} */
export async function listRooms() {
  const { body } = await call('GET', 'rooms');
  return body.rooms ?? [];
}

/**
 * @param {string} id
 * @returns {Promise<Room>} rejects with a {@link CallError}, of status 404 if there is none
 */
export async function getRoom(id) {
  const { body } = await call('GET', `rooms/${encodeURIComponent(id)}`);
  return body;
}

/**
 * Creates the room, or finds the one that has the id.
 * @param {string} id
 * @param {string} name may be empty
 * @returns {Promise<{room: Room, created: boolean}>} rejects with a {@link CallError}
 */
export async function createRoom(id, name) {
  const query = new URLSearchParams({ room_id: id });
  if (name) query.set('name', name);
  const { status, body } = await call('POST', `rooms?${query}`);
  return { room: body, created: status === 201 };
}

/**
 * @param {string} id
 * @returns {Promise<any>} the trace as the server has it in memory; rejects with a {@link CallError}, of status 404 if it has not
 */
export async function getTrace(id) {
  const { body } = await call('GET', `traces/${encodeURIComponent(id)}`);
  return body;
}

/**
 * @param {string} method
 * @param {string} path relative to the page
 */
async function call(method, path) {
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), {
      method,
      headers: { Accept: 'application/json' },
      cache: 'no-store',
      signal: AbortSignal.timeout(patience),
    });
  } catch {
    throw new CallError('The server does not answer.', 0);
  }
  let body;
  try {
    body = await answer.json();
  } catch {
    body = {};
  }
  if (!answer.ok) {
    throw new CallError(sentence(body.detail || body.title || `The server answered with ${answer.status}.`), answer.status);
  }
  return { status: answer.status, body };
}

/**
 * @param {string} text
 * @returns {string} text with a capital at its start and a full stop at its end
 */
export function sentence(text) {
  const t = String(text).trim();
  if (!t) return t;
  return t[0].toUpperCase() + t.slice(1) + (/[.!?…]$/.test(t) ? '' : '.');
}
