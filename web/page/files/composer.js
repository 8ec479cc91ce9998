// The box that messages are typed in.

import { count } from './people.js';

/** How long a message may be, in characters as the server counts them: Unicode code points. */
export const maxLength = 4096;

const countFrom = maxLength - 400; // characters from which on the rest is shown
const maxLines = 8;

/** The message box with its button and its counter. It keeps an unsent draft for each room. */
export class Composer {
  #form;
  #box;
  #button;
  #counter;
  #problem;
  #onSend;
  #room = '';
  #hint = '';
  /** @type {Map<string, string>} */
  #drafts = new Map();

  /**
   * @param {object} options
   * @param {HTMLFormElement} options.form
   * @param {(text: string) => boolean} options.onSend false if it cannot be taken now
   * @param {() => void} options.onType
   */
  constructor({ form, onSend, onType }) {
    this.#form = form;
    this.#box = /** @type {HTMLTextAreaElement} */ (form.querySelector('textarea'));
    this.#button = /** @type {HTMLButtonElement} */ (form.querySelector('button'));
    this.#counter = /** @type {HTMLElement} */ (form.querySelector('.counter'));
    this.#problem = /** @type {HTMLElement} */ (form.querySelector('.problem'));
    this.#onSend = onSend;

    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#box.addEventListener('keydown', (event) => {
      // While an input method composes, Enter chooses a candidate.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#send();
    });
    this.#box.addEventListener('input', () => {
      this.tell('');
      this.#show();
      if (this.#box.value.trim()) onType();
    });
    this.#show();
  }

  /**
   * @param {string} room whose draft to show
   * @param {string} name
   */
  setRoom(room, name) {
    if (room !== this.#room) {
      this.#drafts.set(this.#room, this.#box.value);
      this.#room = room;
      this.#box.value = this.#drafts.get(room) ?? '';
      this.tell('');
      this.#show();
    }
    this.#hint = `Message ${name.length > 40 ? `${name.slice(0, 40)}…` : name}`;
    this.#box.placeholder = this.#hint;
  }

  /** @param {boolean} enabled */
  enable(enabled) {
    this.#box.disabled = !enabled;
    this.#box.placeholder = enabled ? this.#hint : '';
    this.#form.toggleAttribute('data-off', !enabled);
    this.#show();
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  /** @param {string} problem in plain words; empty for none */
  tell(problem) {
    this.#problem.textContent = problem;
    this.#problem.hidden = !problem;
  }

  #send() {
    const text = this.#box.value;
    if (!text.trim() || this.#box.disabled) return;
    const length = countCharacters(text);
    if (length > maxLength) {
      this.tell(`This is ${count(length - maxLength, 'character', 'characters')} too long. A message has at most 4,096.`);
      return;
    }
    if (!this.#onSend(text)) {
      this.tell('Too many messages are waiting to be sent. This one can follow when they are through.');
      return;
    }
    this.#box.value = '';
    this.tell('');
    this.#show();
    this.focus();
  }

  #show() {
    const { value } = this.#box;
    this.#box.rows = Math.min(maxLines, value.split('\n', maxLines).length);
    this.#button.disabled = this.#box.disabled || !value.trim();
    const length = value.length > countFrom ? countCharacters(value) : 0;
    this.#counter.hidden = length <= countFrom;
    this.#counter.textContent = (maxLength - length).toLocaleString('en');
    this.#counter.classList.toggle('over', length > maxLength);
  }
}

/**
 * @param {string} text
 * @returns {number} its length in code points
 */
export function countCharacters(text) {
  let n = 0;
  for (const _ of text) n++;
  return n;
}
