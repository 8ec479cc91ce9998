// Simulates people in a chat, for k6 (https://grafana.com/docs/k6/): they come, look around, read, type, talk, talk all at
// once, lose their connection and resume, and leave.
//
//   k6 run dashboards/load.js
//   k6 run -e CHAT_URL=http://localhost:8000 -e PEOPLE=200 -e DURATION=5m dashboards/load.js
//
// CHAT_URL  the server (http://localhost:8000)
// PEOPLE    how many are there at once (30)
// DURATION  how long, such as 30s, 10m or 1h (1m)

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Trend } from 'k6/metrics';
import { clearTimeout, setTimeout } from 'k6/timers';
import { WebSocket } from 'k6/websockets';

const base = (__ENV.CHAT_URL || 'http://localhost:8000').replace(/\/+$/, '');
const people = Number(__ENV.PEOPLE || 30);
const duration = seconds(__ENV.DURATION || '1m');
const arrival = Math.min(20, Math.ceil(duration / 5));

// From sending a message to reading it back: by then it is stored and on its way to everyone in the room.
const echo = new Trend('chat_echo', true);
const connecting = new Trend('chat_connecting', true);
const said = new Counter('chat_messages_said');
const heard = new Counter('chat_messages_heard');
// Messages that a member should have received and did not.
const gaps = new Counter('chat_gaps');
// Messages that were sent and never came back.
const lost = new Counter('chat_lost');
const refused = new Counter('chat_errors');

export const options = {
  scenarios: {
    people: {
      executor: 'ramping-vus',
      startVUs: 1,
      stages: [
        { duration: `${arrival}s`, target: people },
        { duration: `${duration - arrival}s`, target: people },
      ],
      gracefulStop: '15s',
    },
  },
  thresholds: {
    checks: ['rate>0.99'],
    chat_echo: ['p(95)<250', 'p(99)<1000'],
    chat_connecting: ['p(95)<250'],
    chat_gaps: ['count==0'],
    chat_lost: ['count==0'],
    chat_errors: ['count==0'],
    http_req_failed: ['rate<0.01'],
    'http_req_duration{expected_response:true}': ['p(95)<250'],
  },
  summaryTrendStats: ['avg', 'med', 'p(95)', 'p(99)', 'max'],
};

const names = ['ada', 'ben', 'chidi', 'dora', 'emil', 'fatima', 'gus', 'hana', 'ivo', 'june', 'kofi', 'lena', 'mei', 'nils'];

const lines = [
  'hi', 'hello everyone', 'yes', 'no idea', 'ok', 'brb', 'back', 'haha', '+1', 'good morning', 'who is around?',
  'same here', 'let me look', 'found it', 'that was quick', 'thanks a lot',
  'The build is green again, it was the cache.',
  'Could somebody read my change before lunch? It is small, I promise.',
  'I think we should ask them first, and only then decide what goes into the next release.',
  'It happens only when two of them start at the same moment; with one alone I have never seen it, however long I waited.',
  'Grüße aus Köln 👋', '今日はここまで', 'ça marche très bien',
];

// How people differ: seconds between messages, and how many messages at a time.
const tempers = [
  { share: 0.5, pause: [10, 30], burst: [1, 1] },
  { share: 0.35, pause: [3, 10], burst: [1, 2] },
  { share: 0.15, pause: [5, 15], burst: [4, 8] },
];

const places = [
  { share: 0.5, room: 'general' },
  { share: 0.25, room: 'go' },
  { share: 0.15, room: 'random' },
  { share: 0.1, room: 'k6-corner' },
];

export function setup() {
  const made = http.post(`${base}/rooms?room_id=k6-corner&name=The%20corner`);
  check(made, { 'the corner is there': (r) => r.status === 201 || r.status === 200 });
  return { until: Date.now() + duration * 1000 };
}

export function teardown() {
  const gone = http.del(`${base}/rooms/k6-corner`);
  check(gone, { 'the corner is gone': (r) => r.status === 200 });
}

// A visit to one room.
export default function (data) {
  const left = data.until - Date.now();
  if (left < 1000) {
    return;
  }
  const person = `${names[(exec.vu.idInTest - 1) % names.length]}-${exec.vu.idInTest}`;
  const room = pick(places).room;
  const temper = pick(tempers);

  const rooms = http.get(`${base}/rooms`);
  check(rooms, { 'the rooms are listed': (r) => r.status === 200 && r.json('count') >= 3 });
  if (Math.random() < 0.3) {
    const known = http.get(`${base}/rooms/${room}`, { tags: { name: `${base}/rooms/{room_id}` } });
    check(known, { 'the room is known': (r) => r.status === 200 });
  }

  const leaveAt = Date.now() + Math.min(between(8, 45) * 1000, left);
  new Visit(person, room, temper, leaveAt).connect();
}

class Visit {
  constructor(person, room, temper, leaveAt) {
    Object.assign(this, { person, room, temper, leaveAt });
    this.seq = undefined; // of the newest message read; not known before the first
    this.waiting = new Map(); // by ref: when a message was sent that has not come back
    this.count = 0;
    this.visit = Date.now().toString(36); // makes refs differ if the same person comes again soon
    // Some lose their connection once.
    this.breakAt = Math.random() < 0.2 ? Date.now() + (leaveAt - Date.now()) * Math.random() : Infinity;
  }

  connect() {
    const since = this.seq === undefined ? '' : `?since=${this.seq}&epoch=${this.epoch}`;
    const began = Date.now();
    const ws = new WebSocket(`${base.replace(/^http/, 'ws')}/ws/${this.room}/${this.person}${since}`, null, {
      tags: { name: `${base}/ws/{room_id}/{client_id}` },
    });
    this.ws = ws;
    ws.onopen = () => {
      connecting.add(Date.now() - began);
      check(ws, { 'people get in': () => true });
      this.next();
    };
    ws.onmessage = (event) => this.read(JSON.parse(event.data));
    ws.onerror = (event) => {
      // The server closes the connections of a deleted room; a message sent at that moment is lost.
      if (ws.readyState === 1 || this.seq === undefined) {
        check(ws, { 'people get in': () => false });
        console.error(`${this.person} in ${this.room}: ${event.error}`);
      }
    };
    ws.onclose = () => {
      clearTimeout(this.timer);
      if (this.away) {
        this.away = false;
        this.timer = setTimeout(() => this.connect(), between(0.2, 2) * 1000);
      } else {
        lost.add(this.waiting.size);
      }
    };
  }

  read(frame) {
    switch (frame.type) {
      case 'history':
        this.epoch = frame.epoch;
        if (frame.reset) this.seq = undefined;
        for (const message of frame.messages) {
          this.took(message.seq);
        }
        break;
      case 'message': {
        heard.add(1);
        this.took(frame.seq);
        const at = frame.ref === undefined ? undefined : this.waiting.get(frame.ref);
        if (at !== undefined && frame.client_id === this.person) {
          this.waiting.delete(frame.ref);
          echo.add(Date.now() - at);
        }
        break;
      }
      case 'error':
        refused.add(1);
        console.error(`${this.person} in ${this.room}: ${frame.code}: ${frame.detail}`);
        break;
      default:
        break;
    }
  }

  // Sequence numbers have no gaps except for deleted messages, and nobody deletes messages here.
  took(seq) {
    if (this.seq !== undefined && seq > this.seq + 1) {
      gaps.add(seq - this.seq - 1);
    }
    this.seq = this.seq === undefined ? seq : Math.max(this.seq, seq);
  }

  // Plans what comes next: leaving, losing the connection, or sending a message after a while.
  next() {
    const now = Date.now();
    if (now >= this.leaveAt || (now >= this.breakAt && this.waiting.size === 0)) {
      this.away = now < this.leaveAt;
      this.breakAt = Infinity;
      this.leave(now + 2000);
      return;
    }
    const pause = Math.min(between(...this.temper.pause) * 1000, Math.max(this.leaveAt - now, 0));
    this.timer = setTimeout(() => this.type(Math.round(between(...this.temper.burst))), pause);
  }

  type(count) {
    if (Date.now() >= this.leaveAt) {
      this.next();
      return;
    }
    this.ws.send(JSON.stringify({ type: 'typing' }));
    const line = lines[Math.floor(Math.random() * lines.length)];
    this.timer = setTimeout(() => this.say(line, count), 150 + 15 * line.length);
  }

  say(line, count) {
    const ref = `${this.visit}-${++this.count}`;
    this.waiting.set(ref, Date.now());
    this.ws.send(JSON.stringify({ type: 'message', text: line, ref }));
    said.add(1);
    if (count > 1) {
      const more = lines[Math.floor(Math.random() * lines.length)];
      this.timer = setTimeout(() => this.say(more, count - 1), between(0.05, 0.4) * 1000);
    } else {
      this.next();
    }
  }

  // Leaves when all sent messages have come back, or at the deadline.
  leave(deadline) {
    if (this.waiting.size > 0 && Date.now() < deadline) {
      this.timer = setTimeout(() => this.leave(deadline), 50);
      return;
    }
    this.ws.close(1000);
  }
}

function between(low, high) {
  return low + Math.random() * (high - low);
}

function pick(choices) {
  let at = Math.random();
  for (const choice of choices) {
    at -= choice.share;
    if (at < 0) {
      return choice;
    }
  }
  return choices[0];
}

function seconds(text) {
  const units = { h: 3600, m: 60, s: 1 };
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/([\d.]+)([hms])/g)) {
    sum += Number(number) * units[unit];
  }
  if (!(sum >= 5)) {
    throw new Error(`DURATION: cannot use "${text}": it takes at least 5 seconds, such as 30s or 10m`);
  }
  return Math.round(sum);
}
