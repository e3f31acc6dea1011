/**
 * A door and nothing else, for tests of how a process ends: prints its port, `head` for each client with its first bytes,
 * dials the port it was given for it, prints `answer` when that speaks, and keeps the visit. Then it does what its stdin
 * says. In a worker thread if asked to.
 *
 *     node door-program.mjs ADDON UPSTREAM_PORT [worker]
 */

import { readdirSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { Worker, workerData } from 'node:worker_threads';

const [, , addon, port, where] = process.argv;
let doThrow = false;
let close = () => {};
let leave = () => {};

if (workerData !== null && typeof workerData === 'object') open(workerData.addon, workerData.port);
else if (where === 'worker') inWorker();
else {
  open(addon, Number(port));
  process.stdin.on('data', (word) => obey(String(word).trim())).unref();
  process.on('uncaughtException', (error) => {
    print(`uncaught ${error.message}`);
    if (error.message !== 'by a callback') process.exit(1);
  });
}

function open(addon, upstreamPort) {
  const binding = createRequire(import.meta.url)(addon);
  const engine = binding.open(1, 256, () => {});
  const events = new Int32Array(6 * 64);
  const visits = [];
  const door = binding.openDoor(engine, events, new Uint8Array(2 ** 18), (count) => {
    for (let at = 0; at < count * 6; at += 6) {
      if (events[at] === 0) visits.push(events[at + 1]);
      if (events[at] === 0) binding.doorDial(door, events[at + 1], '127.0.0.1', upstreamPort, 'OFFER');
      print(['head', 'silent', 'answer'][events[at]] ?? 'other');
    }
    if (doThrow) throw new Error('by a callback');
  });
  close = () => binding.closeDoor(door);
  leave = () => {
    binding.doorUnlisten(door, 0);
    for (const visit of visits) binding.doorCut(door, visit);
  };
  const server = createServer();
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    const { _handle: handle } = server;
    binding.doorListen(door, handle.fd, 0);
    server.close();
    print(`listening ${port}`);
  });
}

function inWorker() {
  const before = countDescriptors();
  const worker = new Worker(new URL(import.meta.url), { workerData: { addon, port: Number(port) } });
  worker.once('message', () => {});
  process.stdin.on('data', () => {
    void worker.terminate().then(() => {
      process.stdin.unref();
      print(`terminated, ${countDescriptors() - before} left`);
    });
  });
}

/** Of the kinds that a door has: Node keeps some of its own after its first worker. */
function countDescriptors() {
  const names = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      // The one that the folder was read with.
      return '';
    }
  });
  return names.filter((name) => /socket|eventpoll|timerfd|eventfd/.test(name)).length;
}

function obey(word) {
  if (word === 'exit') process.exit(3);
  if (word === 'throw') throw new Error('on purpose');
  if (word === 'throw in callbacks') {
    doThrow = true;
    print('will do');
  }
  if (word === 'close') close();
  if (word === 'leave') leave();
}

function print(line) {
  process.stdout.write(`${line}\n`);
}
