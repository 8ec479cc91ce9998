// On narrow screens the sidebar is a drawer over the page. Closed, it is out of reach for the keyboard too; open, the rest is.

/**
 * @param {object} options
 * @param {HTMLElement} options.drawer
 * @param {HTMLElement} options.rest what lies beside it
 * @param {HTMLButtonElement} options.opener
 * @param {HTMLElement} options.shade what lies between them and closes it
 * @param {() => void} options.onOpen
 * @returns {{close: () => void}}
 */
export function sidebarDrawer({ drawer, rest, opener, shade, onOpen }) {
  const narrow = matchMedia('(max-width: 47.99rem)');
  let open = false;

  const apply = () => {
    const over = narrow.matches && open;
    drawer.inert = narrow.matches && !open;
    rest.inert = over;
    drawer.classList.toggle('open', over);
    shade.hidden = !over;
    opener.setAttribute('aria-expanded', String(over));
  };
  const set = (/** @type {boolean} */ wanted) => {
    if (open === wanted) return;
    open = wanted;
    const inside = drawer.contains(document.activeElement);
    apply();
    if (!narrow.matches) return;
    if (open) {
      onOpen();
      /** @type {HTMLElement | null} */ (drawer.querySelector('[aria-current], a, button'))?.focus();
    } else if (inside || document.activeElement === document.body) {
      opener.focus();
    }
  };

  opener.addEventListener('click', () => set(true));
  shade.addEventListener('click', () => set(false));
  for (const button of drawer.querySelectorAll('.drawer-close')) button.addEventListener('click', () => set(false));
  drawer.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || !open) return;
    event.stopPropagation();
    set(false);
  });
  narrow.addEventListener('change', () => {
    open = false;
    apply();
  });
  apply();
  return { close: () => set(false) };
}
