import { byId, el } from './dom.js';

/** What this page came over, and where the same page is over the other. */
export function showOver({ http, https }) {
  const isSecure = location.protocol === 'https:';
  const over = `${protocol()}${isSecure ? ', TLS' : ''}`;
  const other = new URL(location.href);
  other.protocol = isSecure ? 'http:' : 'https:';
  other.port = String(isSecure ? http : https);
  byId('proxy-over').textContent = over;
  byId('page-over').replaceChildren(
    isSecure
      ? `${over}; its WebSockets are streams of the same connection where the log says h2. Without TLS: `
      : `${over}. Over TLS, and HTTP/2: `,
    el('a', { href: other.href }, other.origin),
    isSecure ? '' : ' (its certificate was made for this demo: let the browser go on)',
  );
}

function protocol() {
  const [navigation] = performance.getEntriesByType('navigation');
  const known = { h2: 'HTTP/2', 'http/1.1': 'HTTP/1.1' };
  return known[navigation?.nextHopProtocol] ?? 'HTTP';
}
