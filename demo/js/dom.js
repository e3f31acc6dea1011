/** Everything on this page is built from text nodes: what somebody typed can never become markup. */

/** The element with that id. */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

/** An element with attributes (`class`, `data-…`, …) and children (nodes or strings). */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/**
 * Sets a card's status line: `state` is `good`, `busy`, `bad` or `idle`. `wait`, which may change every second, is shown
 * but kept out of the text, so that screen readers do not read a countdown aloud.
 */
export function setStatus(element, state, text, wait = '') {
  element.dataset.state = state;
  element.dataset.wait = wait && `; ${wait}`;
  if (element.textContent !== text) element.textContent = text;
}

/** `1.5 KiB` */
export function formatBytes(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${trim(bytes / 1024)} KiB`;
  return `${trim(bytes / 1024 ** 2)} MiB`;
}

/** `3 ms`, `2.4 s`, `3 m 05 s` */
export function formatDuration(ms) {
  if (ms < 1) return '<1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, '0')} s`;
}

/** `14:05:33` */
export function formatTime(iso) {
  return new Date(iso).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hour12: false,
  });
}

function trim(number) {
  return number < 10 ? number.toFixed(1).replace(/\.0$/, '') : String(Math.round(number));
}
