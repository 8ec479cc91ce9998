// Runs before the first paint, so that a remembered theme does not flash up in the other one. A classic script, because
// modules run later.
try {
  const theme = localStorage.getItem('traceroom.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // No storage: the system's theme it is.
}
