import { Child } from './child.mjs';

/** The backend behind all proxies, with a port for each of them so that none inherits another's old connections. */
export class Backend {
  #child;
  ports;

  static start(load, core, listeners, maxBytes) {
    return Backend.#start(load, core, [
      'backend',
      '--listeners',
      String(listeners),
      '--max-size',
      String(maxBytes),
    ]);
  }

  /** The one behind gateways, which is told of events over HTTP. */
  static startEvents(load, core, listeners) {
    return Backend.#start(load, core, ['events', '--listeners', String(listeners)]);
  }

  static async #start(load, core, args) {
    const backend = new Backend();
    backend.#child = new Child(load, core, [load, ...args]);
    backend.ports = JSON.parse(await backend.#child.nextLine()).ports;
    return backend;
  }

  get pid() {
    return this.#child.pid;
  }

  stop() {
    return this.#child.stop();
  }
}

/**
 * One run of the client. `atRest` is called twice, when nothing is under way: before the measured part and after it.
 * Resolves to what the client measured; throws if one message or one connection was not as it should be.
 *
 * @param {string} load
 * @param {string} core
 * @param {Record<string, string | number>} args options of `load client`
 * @param {(when: 'before' | 'after') => Promise<void> | void} atRest
 */
export async function runClient(load, core, args, atRest = () => {}) {
  const options = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const client = new Child(load, core, [load, 'client', ...options]);
  try {
    expect(await client.nextLine(), 'ready');
    await atRest('before');
    client.write('go');
    const done = expect(await client.nextLine(), 'done');
    await atRest('after');
    client.write('close');
    expect(await client.nextLine(), 'closed');
    return done;
  } finally {
    await client.stop();
  }
}

function expect(line, event) {
  const message = JSON.parse(line);
  if (message.event === event) return message;
  throw new Error(message.reason ?? `the load generator says ${line}`);
}
