/**
 * Loaded into the proxy with `--import`, beside `--expose-gc`: tells on request what the process holds. Counts come
 * from the heap after a collection, so that timers and sockets which nothing keeps alive, but something still refers
 * to, are counted as well.
 */

import { readdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { queryObjects } from 'node:v8';

const timer = setTimeout(() => {}, 0);
const Timeout = timer.constructor;
clearTimeout(timer);

process.on('message', (question) => {
  if (question === 'sample') void answer();
});
// The channel must not keep the proxy alive when it has been told to stop.
process.channel?.unref();

async function answer() {
  globalThis.gc();
  // Finalizers run in a later turn, and free more.
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  process.send({
    rss,
    heapUsed,
    arrayBuffers,
    sockets: queryObjects(Socket, { format: 'count' }),
    timers: queryObjects(Timeout, { format: 'count' }),
    descriptors: descriptors(),
    resources: resources(),
  });
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
