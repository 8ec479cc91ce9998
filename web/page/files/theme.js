// Light or dark: the system's, unless the toggle said otherwise. boot.js applies what is remembered.

import { recall, remember } from './storage.js';

/** @param {HTMLButtonElement} button */
export function themeToggle(button) {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const root = document.documentElement;

  const isDark = () => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
  const show = () => {
    button.setAttribute('aria-label', isDark() ? 'Use the light theme' : 'Use the dark theme');
    button.title = button.getAttribute('aria-label') ?? '';
  };
  const apply = () => {
    const chosen = recall('theme');
    if (chosen === 'light' || chosen === 'dark') root.dataset.theme = chosen;
    else delete root.dataset.theme;
    show();
  };

  button.addEventListener('click', () => {
    const dark = !isDark();
    // A choice that is the system's too is none: the page follows the system again.
    remember('theme', dark === system.matches ? '' : dark ? 'dark' : 'light');
    if (dark === system.matches) delete root.dataset.theme;
    else root.dataset.theme = dark ? 'dark' : 'light';
    show();
  });
  system.addEventListener('change', show);
  addEventListener('storage', apply); // Another tab chose.
  show();
}
