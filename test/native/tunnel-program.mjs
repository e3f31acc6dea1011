/**
 * One tunnel and nothing else, for tests of how a process ends: listens, prints its port, relays the first connection
 * to the port it was given, prints `joined`, and then does what its stdin says. In a worker thread if asked to.
 *
 *     node tunnel-program.mjs UPSTREAM_PORT [worker]
 */

import { connect, createServer } from 'node:net';
import { Worker, workerData } from 'node:worker_threads';
import { NativeEngine } from '../../dist/relay/native.js';
import { loadNative } from '../../dist/relay/native-binding.js';

if (workerData !== null && typeof workerData === 'object') relay(workerData.port);
else if (process.argv[3] === 'worker') inWorker();
else {
  relay(Number(process.argv[2]));
  process.stdin.on('data', (word) => obey(String(word).trim())).unref();
}

function relay(upstreamPort) {
  const fallback = { name: 'stream', join: () => process.abort() };
  const engine = new NativeEngine(loadNative().binding, fallback, { threads: 2 });
  const options = { allowHalfOpen: true, pauseOnConnect: true };
  const server = createServer(options, (client) => {
    // The tunnel alone is to keep the process.
    server.close();
    const upstream = connect({ port: upstreamPort, host: '127.0.0.1', allowHalfOpen: true }, () => {
      upstream.pause();
      const nothing = Buffer.alloc(0);
      const sides = {
        client: { socket: client, early: nothing },
        upstream: { socket: upstream, early: nothing },
      };
      const limits = { idleTimeoutMs: 0, halfCloseTimeoutMs: 0, maxAgeMs: 0 };
      const { ended } = engine.join({ ...sides, answer: Buffer.from('HEAD'), framing: 'rfc6455' }, limits);
      void ended.then((end) => print(JSON.stringify(end)));
      print('joined');
    });
  });
  server.listen(0, '127.0.0.1', () => print(`listening ${server.address().port}`));
}

function inWorker() {
  const worker = new Worker(new URL(import.meta.url), { workerData: { port: Number(process.argv[2]) } });
  process.stdin.on('data', () => void endWorker(worker));
}

async function endWorker(worker) {
  await worker.terminate();
  print('terminated');
  process.stdin.unref();
}

function obey(word) {
  if (word === 'exit') process.exit(3);
  if (word === 'throw') throw new Error('on purpose');
}

function print(line) {
  process.stdout.write(`${line}\n`);
}
