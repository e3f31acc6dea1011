/** What a connection costs that says nothing: connect, upgrade, Close both ways, end. */

import { runLoaded } from '../lib/loaded-run.mjs';

const AT_ONCE = 64;

export function handshakeCases({ modes, connections }) {
  if (!modes.has('handshake')) return [];
  return (connections ?? [AT_ONCE]).map((count) => ({
    id: `handshake-${count}`,
    claim: 'handshake',
    title: `Handshakes: ${count} at a time`,
    unit: 'handshake',
    mode: 'handshake',
    connections: count,
    size: 64,
    hasLatency: true,
    run: (context) => runLoaded(context, { mode: 'handshake', connections: count, size: 64 }),
  }));
}
