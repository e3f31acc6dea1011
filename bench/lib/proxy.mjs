import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Child } from './child.mjs';
import { treeOf } from './process-tree.mjs';

const START_TIMEOUT_MS = 15_000;
const LOOK_EVERY_MS = 20;

/** Those that run. */
const live = new Set();
process.on('exit', () => live.forEach((proxy) => proxy.abandon()));
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
]) {
  process.once(signal, () => process.exit(code));
}

/** One proxy, running on its core before a port of the backend. */
export class RunningProxy {
  #child;
  #folder;
  port;
  /** Where a gateway takes what is published. */
  publishPort;
  /** All its processes. */
  pids;

  /**
   * @param {string | undefined} certificate of its TLS; undefined: it is to speak none
   * @throws when it does not come up
   */
  static async start(load, core, subject, backendPort, certificate) {
    const proxy = new RunningProxy();
    proxy.#folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-'));
    proxy.port = await freePort();
    proxy.publishPort = await freePort();
    const { command, env } = subject.start({
      folder: proxy.#folder,
      port: proxy.port,
      publish: proxy.publishPort,
      backend: backendPort,
      certificate,
    });
    proxy.#child = new Child(load, core, command, env);
    live.add(proxy);
    try {
      await proxy.#untilItAccepts(proxy.port);
      if (subject.serves === 'gateway') await proxy.#untilItAccepts(proxy.publishPort);
      const problem = subject.check?.(proxy.#child.said);
      if (problem !== undefined) throw new Error(problem);
    } catch (error) {
      await proxy.stop();
      throw error;
    }
    proxy.pids = treeOf(proxy.#child.pid);
    return proxy;
  }

  /** Leaves the core to the others. */
  freeze() {
    this.#signal('SIGSTOP');
  }

  thaw() {
    this.#signal('SIGCONT');
  }

  get isAlive() {
    return !this.#child.hasExited;
  }

  async stop() {
    if (this.pids !== undefined) this.thaw();
    await this.#child.stop();
    // One of several processes may outlive the first, and would share the core with the next.
    if (this.pids !== undefined) this.#signal('SIGKILL');
    live.delete(this);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Leaves nothing behind when there is no time to wait: one that is frozen would hear nothing. */
  abandon() {
    if (this.pids !== undefined) this.thaw();
    this.#child.kill('SIGTERM');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #signal(signal) {
    for (const pid of this.pids) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        // A proxy that died is noticed where its figures are missed.
        if (error.code !== 'ESRCH') throw error;
      }
    }
  }

  #lastWord() {
    return this.#child.said.trim().split('\n').at(-1);
  }

  async #untilItAccepts(port) {
    const deadlineMs = performance.now() + START_TIMEOUT_MS;
    while (!(await accepts(port))) {
      if (this.#child.hasExited) throw new Error(`it ended at once: ${this.#lastWord()}`);
      if (performance.now() > deadlineMs) {
        throw new Error(`it does not listen after ${START_TIMEOUT_MS / 1000} s: ${this.#lastWord()}`);
      }
      await pause(LOOK_EVERY_MS);
    }
    // What it says about itself may come behind the first accept.
    await pause(5 * LOOK_EVERY_MS);
  }
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
