// The list of rooms, and the dialog that makes a new one.

import { createRoom, listRooms } from './api.js';
import { count, idFrom, idProblem } from './people.js';

/** @typedef {import('./api.js').Room} Room */

const every = 30_000; // milliseconds between two looks at the list, while the page is visible
const filterFrom = 9; // rooms from which on there is a filter
const most = 200; // rooms listed at once; the filter finds the others

/** The list. It asks the server now and then, and whenever refresh is called. */
export class RoomList {
  #list;
  #note;
  #filter;
  #onPick;
  /** @type {Room[]} */
  #rooms = [];
  #current = '';
  /** @type {Map<string, HTMLElement>} */
  #rows = new Map();
  /** @type {Map<string, Partial<Room>>} what update was told since the server was last asked */
  #told = new Map();
  #loaded = false;
  #trouble = ''; // why the list may not be what the server has
  #scheduled = false;

  /**
   * @param {object} options
   * @param {HTMLElement} options.root
   * @param {(id: string) => void} options.onPick
   */
  constructor({ root, onPick }) {
    this.#list = part(root, '#rooms');
    this.#note = part(root, '#rooms-note');
    this.#filter = /** @type {HTMLInputElement} */ (part(root, '#rooms-filter'));
    this.#onPick = onPick;
    this.#list.addEventListener('click', (event) => this.#clicked(event));
    this.#filter.addEventListener('input', () => this.#show());
    setInterval(() => document.hidden || this.refresh(), every);
    document.addEventListener('visibilitychange', () => document.hidden || this.refresh());
  }

  /** @returns {Promise<Room[]>} what the server has now; what it had last if it does not answer */
  async refresh() {
    this.#told.clear();
    try {
      const rooms = await listRooms();
      // What was told since the question may be newer than the answer.
      for (const room of rooms) Object.assign(room, this.#told.get(room.room_id));
      this.#rooms = rooms;
      this.#loaded = true;
      this.#trouble = '';
    } catch (error) {
      this.#trouble = this.#loaded ? 'This list may be old: the server does not answer.' : /** @type {Error} */ (error).message;
    }
    this.#show();
    return this.#rooms;
  }

  /** @param {string} id of the room that we are in; empty for none */
  setCurrent(id) {
    this.#current = id;
    this.#show();
  }

  /**
   * Takes what was learned of a room by other ways than the list.
   * @param {Partial<Room> & {room_id: string}} news
   */
  update(news) {
    const known = this.#rooms.find((room) => room.room_id === news.room_id);
    this.#told.set(news.room_id, { ...this.#told.get(news.room_id), ...news });
    if (known) Object.assign(known, news);
    else if (news.name !== undefined) this.#rooms.push(/** @type {Room} */ (news));
    this.#show();
  }

  /** @param {string} id of a room that is no more */
  remove(id) {
    this.#told.delete(id);
    this.#rooms = this.#rooms.filter((room) => room.room_id !== id);
    this.#show();
  }

  /**
   * @param {string} id
   * @returns {string} the room's name; its id if that is not known
   */
  nameOf(id) {
    return this.#rooms.find((room) => room.room_id === id)?.name || id;
  }

  #show() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw() {
    const all = this.#rooms.toSorted((a, b) => (a.name || a.room_id).localeCompare(b.name || b.room_id));
    this.#filter.parentElement?.toggleAttribute('hidden', all.length < filterFrom && !this.#filter.value);
    const wanted = this.#filter.value.trim().toLowerCase();
    const found = all.filter((room) => !wanted || `${room.name} ${room.room_id}`.toLowerCase().includes(wanted));
    const shown = found.slice(0, most);

    const gone = new Set(this.#rows.keys());
    shown.forEach((room, i) => {
      gone.delete(room.room_id);
      let row = this.#rows.get(room.room_id);
      if (!row) {
        row = newRow(room.room_id);
        this.#rows.set(room.room_id, row);
      }
      fill(row, room, room.room_id === this.#current);
      if (this.#list.children[i] !== row) this.#list.insertBefore(row, this.#list.children[i] ?? null);
    });
    for (const id of gone) {
      this.#rows.get(id)?.remove();
      this.#rows.delete(id);
    }

    let note = this.#trouble;
    if (!note && this.#loaded) {
      if (all.length === 0) note = 'No rooms yet. Create the first.';
      else if (found.length === 0) note = 'No room has this name.';
      else if (found.length > most) note = `${count(found.length - most, 'room', 'rooms')} more. The filter finds them.`;
    }
    put(this.#note, note);
    this.#note.hidden = !note;
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const link = /** @type {HTMLAnchorElement | null} */ (/** @type {HTMLElement} */ (event.target).closest('a'));
    // With a modifier key it is a link like any other: a new tab, a new window.
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this.#onPick(link.dataset.room ?? '');
  }
}

/** @param {string} id */
function newRow(id) {
  const row = document.createElement('li');
  const link = document.createElement('a');
  link.href = `?room=${encodeURIComponent(id)}`;
  link.dataset.room = id;
  const name = document.createElement('bdi');
  name.className = 'room-name';
  const people = document.createElement('span');
  people.className = 'room-count';
  const number = document.createElement('span');
  number.setAttribute('aria-hidden', 'true');
  const words = document.createElement('span');
  words.className = 'sr-only';
  people.append(number, words);
  link.append(name, people);
  row.append(link);
  return row;
}

/**
 * @param {HTMLElement} row
 * @param {Room} room
 * @param {boolean} current
 */
function fill(row, room, current) {
  const link = part(row, 'a');
  if (current) link.setAttribute('aria-current', 'page');
  else link.removeAttribute('aria-current');
  link.title = room.room_id;
  put(part(row, '.room-name'), room.name || room.room_id);
  const n = room.participant_count ?? 0;
  const people = part(row, '.room-count');
  people.classList.toggle('none', n === 0);
  put(/** @type {HTMLElement} */ (people.firstElementChild), n > 999 ? '999+' : String(n));
  put(part(row, '.sr-only'), `, ${count(n, 'person', 'people')} here`);
}

/**
 * Makes the dialog for a new room work.
 * @param {HTMLDialogElement} dialog
 * @param {(room: Room, created: boolean) => void} onDone
 * @returns {() => void} opens it
 */
export function newRoomDialog(dialog, onDone) {
  const form = /** @type {HTMLFormElement} */ (dialog.querySelector('form'));
  const name = /** @type {HTMLInputElement} */ (part(dialog, '#new-room-name'));
  const id = /** @type {HTMLInputElement} */ (part(dialog, '#new-room-id'));
  const problem = part(dialog, '.problem');
  const submit = /** @type {HTMLButtonElement} */ (part(dialog, '[type=submit]'));
  let ownId = false; // whether the id was typed and no longer follows the name

  const tell = (/** @type {string} */ text) => {
    problem.textContent = text;
    problem.hidden = !text;
    id.setAttribute('aria-invalid', String(Boolean(text)));
  };
  name.addEventListener('input', () => {
    if (!ownId) id.value = idFrom(name.value);
    tell('');
  });
  id.addEventListener('input', () => {
    ownId = id.value !== '';
    tell('');
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const wanted = id.value.trim();
    const wrong = idProblem(wanted);
    if (wrong) {
      tell(wanted ? `The id does not work: ${wrong}` : 'The room needs an id.');
      id.focus();
      return;
    }
    submit.disabled = true;
    try {
      const { room, created } = await createRoom(wanted, name.value.trim());
      dialog.close();
      onDone(room, created);
    } catch (error) {
      tell(/** @type {Error} */ (error).message);
    } finally {
      submit.disabled = false;
    }
  });
  return () => {
    form.reset();
    ownId = false;
    tell('');
    dialog.showModal();
  };
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
