// Puts the page together: which room, under which name, and what the parts tell each other.

import { createRoom } from './api.js';
import { Composer } from './composer.js';
import { sidebarDrawer } from './drawer.js';
import { Messages } from './messages.js';
import { Outbox } from './outbox.js';
import { count, friendlyName, hueOf, hues, idFrom, idProblem, initials, ownName } from './people.js';
import { RoomList, newRoomDialog } from './rooms.js';
import { Session } from './session.js';
import { StatusView } from './status.js';
import { recall, remember } from './storage.js';
import { themeToggle } from './theme.js';
import { copyText } from './trace.js';
import { TracePanel } from './traces.js';
import { TypingNotice } from './typing.js';

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));

const jaeger = find('meta[name="jaeger-ui"]').content;
const title = document.title;

let name = ownName(new URLSearchParams(location.search).get('name'));
let room = '';
/** @type {Session | null} */
let session = null;
/** @type {Map<string, Outbox>} what is on its way, by room: it outlasts a look into another room */
const outboxes = new Map();
let unread = 0;

const say = (/** @type {string} */ text) => {
  find('#announcer').textContent = text;
};
const messages = new Messages({
  root: find('#stage'),
  jaeger,
  self: () => name,
  onRetry: (item) => session?.retry(item),
  onDiscard: (item) => session?.discard(item),
  onTrace: (id) => traces.show(id, '', true),
  say,
});
const typing = new TypingNotice(find('#typing'));
const status = new StatusView({
  word: find('#status'),
  banner: find('#banner'),
  over: find('#over'),
  onRetry: () => session?.retryNow(),
});
const composer = new Composer({
  form: find('#composer'),
  onSend: (text) => session?.say(text) ?? false,
  onType: () => session?.typed(),
});
const drawer = sidebarDrawer({
  drawer: find('#sidebar'),
  rest: find('#main'),
  opener: find('#open-sidebar'),
  shade: find('#shade'),
  onOpen: () => rooms.refresh(),
});
const rooms = new RoomList({
  root: find('#sidebar'),
  onPick: (id) => {
    drawer.close();
    if (id !== room) enter(id);
    composer.focus();
  },
});
const traces = new TracePanel({
  root: find('#panel'),
  opener: find('#open-traces'),
  rest: [find('#main')],
  jaeger,
  onMark: (id) => messages.markTrace(id),
  onMessage: (id, its) => {
    if (its !== room) enter(its);
    messages.revealTrace(id);
  },
  onLeave: () => composer.focus(),
  say,
});
const openNewRoom = newRoomDialog(find('#new-room'), (made, created) => {
  rooms.update(made);
  drawer.close();
  enter(made.room_id);
  composer.focus();
  if (!created) messages.addNotice('This room was there already');
});

themeToggle(find('#theme'));
nameDialog();

find('#create-room').addEventListener('click', openNewRoom);
find('#skip').addEventListener('click', (/** @type {Event} */ event) => {
  event.preventDefault();
  composer.focus();
});
find('#share').addEventListener('click', async () => {
  const url = new URL(location.href);
  url.search = new URLSearchParams({ room }).toString();
  url.hash = '';
  const done = await copyText(url.href);
  say(done ? 'Link to this room copied' : 'The link could not be copied');
  const label = find('#share .label');
  label.textContent = done ? 'Copied' : 'Not copied';
  setTimeout(() => (label.textContent = 'Copy link'), 1_400);
});
find('#over .again').addEventListener('click', async () => {
  const id = find('#over').dataset.room;
  try {
    const made = await createRoom(id, find('#over').dataset.name ?? '');
    rooms.update(made.room);
  } catch (error) {
    composer.tell(/** @type {Error} */ (error).message);
    return;
  }
  enter(id);
});
find('#over .elsewhere').addEventListener('click', async () => {
  const known = (await rooms.refresh()).map((r) => r.room_id);
  enter(known.includes('general') || known.length === 0 ? 'general' : known[0]);
  composer.focus();
});
addEventListener('popstate', () => {
  const id = new URLSearchParams(location.search).get('room');
  if (id && id !== room && !idProblem(id)) enter(id, false);
});
addEventListener('pagehide', () => session?.end());
addEventListener('pageshow', (event) => {
  if (event.persisted && room) enter(room, false); // Back from the browser's cache.
});
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) showUnread(0);
});
find('#stage').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key === 'Escape') composer.focus();
});

begin();

async function begin() {
  const wanted = new URLSearchParams(location.search).get('room') ?? '';
  if (wanted && !idProblem(wanted)) {
    enter(wanted, false);
    rooms.refresh();
  } else {
    const known = (await rooms.refresh()).map((r) => r.room_id);
    const last = recall('room');
    const id = known.includes(last) ? last : known.includes('general') || known.length === 0 ? 'general' : known[0];
    enter(id, false);
    if (wanted) messages.addNotice(`“${wanted.slice(0, 80)}” cannot be a room. This is ${rooms.nameOf(id)}.`);
  }
  if (!matchMedia('(pointer: coarse)').matches) composer.focus(); // On a phone the keyboard would come up.
}

/**
 * Goes into a room.
 * @param {string} id
 * @param {boolean} [asStep] whether the browser's back button leads to where we were
 */
function enter(id, asStep = true) {
  session?.end();
  room = id;
  remember('room', id);
  const url = new URL(location.href);
  url.searchParams.set('room', id);
  if (asStep) history.pushState(null, '', url);
  else history.replaceState(null, '', url);

  showName();
  showParticipants(0);
  showUnread(0);
  rooms.setCurrent(id);
  composer.enable(true);

  let outbox = outboxes.get(id);
  if (!outbox) outboxes.set(id, (outbox = new Outbox()));
  session = new Session({
    room: id,
    client: name,
    outbox,
    view: {
      messages,
      typing,
      status: showStatus,
      participants: showParticipants,
      room: (news) => {
        rooms.update(news);
        showName();
        if (news.participant_count !== undefined) showParticipants(news.participant_count);
      },
      problem: (text) => composer.tell(text),
      arrived: (message) => {
        if (document.hidden && message.client_id !== name) showUnread(unread + 1);
      },
    },
  });
  session.start();
}

/** @param {import('./connection.js').Status} news */
function showStatus(news) {
  find('#stage').dataset.phase = news.phase;
  if (news.phase === 'ended') {
    find('#over').dataset.room = room;
    find('#over').dataset.name = rooms.nameOf(room);
    composer.enable(false);
    showParticipants(0);
    if (news.code === 4001) {
      rooms.remove(room);
      outboxes.delete(room);
      messages.clearItems();
      remember('room', '');
      // Loading the page again would create the room again.
      const url = new URL(location.href);
      url.searchParams.delete('room');
      history.replaceState(null, '', url);
    }
  }
  status.show(news);
  find('#share').disabled = news.phase === 'ended';
  if (news.phase === 'ended') {
    room = '';
    rooms.setCurrent('');
    find('#over button:not([hidden])').focus();
  }
}

function showName() {
  const shown = rooms.nameOf(room);
  find('#room-name').textContent = shown;
  find('#room-id').textContent = idFrom(shown) === room ? '' : room;
  composer.setRoom(room, shown);
  showUnread(unread);
}

/** @param {number} n */
function showParticipants(n) {
  find('#participants').hidden = !n;
  find('#participants .number').textContent = n.toLocaleString('en');
  find('#participants .words').textContent = n === 1 ? ' person here' : ' people here';
  if (n) rooms.update({ room_id: room, participant_count: n });
}

/** @param {number} n */
function showUnread(n) {
  unread = n;
  document.title = `${n ? `(${count(n, '', '').trim()}) ` : ''}${rooms.nameOf(room)} · ${title}`;
}

/** The name at the foot of the sidebar and the dialog that changes it. */
function nameDialog() {
  const dialog = /** @type {HTMLDialogElement} */ (find('#who'));
  const input = /** @type {HTMLInputElement} */ (find('#who-name'));
  const problem = find('#who .problem');
  const show = () => {
    const avatar = find('#me .avatar');
    avatar.textContent = initials(name);
    for (let i = 0; i < hues; i++) avatar.classList.toggle(`hue-${i}`, i === hueOf(name));
    find('#me .me-name').textContent = name;
  };
  const tell = (/** @type {string} */ text) => {
    problem.textContent = text;
    problem.hidden = !text;
    input.setAttribute('aria-invalid', String(Boolean(text)));
  };
  find('#me').addEventListener('click', () => {
    input.value = name;
    tell('');
    dialog.showModal();
    input.select();
  });
  find('#who-suggest').addEventListener('click', () => {
    input.value = friendlyName();
    tell('');
    input.select();
  });
  input.addEventListener('input', () => tell(''));
  find('#who form').addEventListener('submit', (/** @type {Event} */ event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    const wrong = idProblem(wanted);
    if (wrong) {
      tell(wrong);
      input.focus();
      return;
    }
    dialog.close();
    if (wanted === name) return;
    name = wanted;
    remember('name', name);
    const url = new URL(location.href);
    if (url.searchParams.has('name')) {
      url.searchParams.set('name', name);
      history.replaceState(null, '', url);
    }
    show();
    drawer.close();
    if (room) enter(room, false);
    composer.focus();
  });
  show();
}

for (const dialog of document.querySelectorAll('dialog')) {
  dialog.querySelector('.cancel')?.addEventListener('click', () => dialog.close());
}
