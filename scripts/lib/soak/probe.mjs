/**
 * Loaded into the proxy with `--import`, beside `--expose-gc`: tells on request what the process holds.
 *
 * - `sample`: memory after a collection, and what the event loop and the kernel know of; a few milliseconds.
 * - `census`: also counts sockets and timers in the heap, and so finds those that nothing keeps going but something
 *   still refers to. It stops the process for up to a second, so it is for a proxy at rest.
 */

import { readdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { queryObjects } from 'node:v8';

const timer = setTimeout(() => {}, 0);
const Timeout = timer.constructor;
clearTimeout(timer);

process.on('message', (question) => {
  if (question === 'sample') void answer();
  if (question === 'census') void answer(census());
});
// The channel must not keep the proxy alive when it has been told to stop; nor may it outlive the soak.
process.channel?.unref();
process.on('disconnect', () => process.exit(1));

async function answer(more = {}) {
  globalThis.gc();
  // Finalizers run in a later turn, and free more.
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  process.send({
    rss,
    heapUsed,
    arrayBuffers,
    descriptors: descriptors(),
    resources: resources(),
    ...more,
  });
}

function census() {
  return {
    sockets: queryObjects(Socket, { format: 'count' }),
    timers: queryObjects(Timeout, { format: 'count' }),
  };
}

/** Open file descriptors; 0 where there is no /proc. */
function descriptors() {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}

/** What keeps the event loop going: `{ TCPServerWrap: 1, … }`. */
function resources() {
  const counts = {};
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
