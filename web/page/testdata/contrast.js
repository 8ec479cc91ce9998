// The texts on the page that are too faint: contrast as WCAG 2.2 defines it, 4.5 for text and 3 for large text.
(() => {
  const channels = (color) => {
    const m = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(color);
    if (!m) throw new Error(`cannot read the color ${color}`);
    return [Number(m[1]), Number(m[2]), Number(m[3]), m[4] === undefined ? 1 : Number(m[4])];
  };
  const over = (top, bottom) => [0, 1, 2].map((i) => top[i] * top[3] + bottom[i] * (1 - top[3])).concat(1);
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const color = channels(getComputedStyle(e).backgroundColor);
      layers.unshift(color);
      if (color[3] === 1) break;
    }
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const open = document.querySelector('dialog[open]');
  const faint = new Set();
  const walker = document.createTreeWalker(open ?? document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.closest('.sr-only, .skip, template, noscript, [inert]')) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest('.continued')?.querySelector('.when, .head')?.contains(element)) continue;
    const style = getComputedStyle(element);
    const background = behind(element);
    const ratio = contrast(over(channels(style.color), background), background);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      faint.add(`${ratio.toFixed(2)}: “${walker.currentNode.data.trim().slice(0, 30)}” in ${element.tagName}.${element.className}`);
    }
  }
  // Placeholders, and the edges of what is typed into, which need 3.
  for (const box of (open ?? document).querySelectorAll('input, textarea')) {
    if (!box.checkVisibility() || box.disabled) continue;
    const background = behind(box);
    const hint = contrast(over(channels(getComputedStyle(box, '::placeholder').color), background), background);
    if (hint < 4.5) faint.add(`${hint.toFixed(2)}: placeholder of ${box.id}`);
    const frame = box.closest('.composer') ?? box;
    const edge = contrast(channels(getComputedStyle(frame).borderTopColor), behind(frame.parentElement));
    if (edge < 3) faint.add(`${edge.toFixed(2)}: edge of ${box.id}`);
  }
  return [...faint];
})();
