import { Backend } from './load.mjs';
import { runLoaded } from './loaded-run.mjs';
import { RunningProxy } from './proxy.mjs';

/** The client speaks to the backend itself: what the load can do, and the latency that is not the proxy's. */
export const DIRECT = { id: 'direct', name: 'no proxy', version: '' };

/** From what runs take here, for the estimate: start, connections, coming to rest. */
const OVERHEAD_SECONDS = 0.25;
const IDLE_SECONDS = 9;
const MAX_BYTES = 64 * 1024 ** 2;

/** Of messages, and of handshakes, that each proxy has served before the first round: a compiler needs thousands. */
const WARM_UP_SECONDS = 3;

/** Takes the subjects through the cases, turn by turn. */
export class Rounds {
  #load;
  #cores;
  #subjects;
  #cases;
  #length;
  #repeat;
  #backend;
  /** By subject: running and frozen. */
  #proxies = new Map();
  /** `case subject` → for each round the figures, or why there are none. */
  #warmUpLength;
  #runs = new Map();

  constructor({ load, cores, subjects, cases, options }) {
    this.#load = load;
    this.#cores = cores;
    this.#subjects = subjects;
    this.#cases = cases;
    this.#repeat = options.repeat;
    const { seconds, messages } = options;
    this.#length = {
      seconds,
      messages,
      warmUpSeconds: messages === undefined ? Math.max(0.1, seconds / 3) : 0,
    };
    this.#warmUpLength = { seconds: Math.max(seconds, WARM_UP_SECONDS), warmUpSeconds: 0 };
  }

  /** What will happen, in a few lines. */
  get plan() {
    const { proxy, client, backend, note } = this.#cores;
    const pinned = note ?? `proxy on core ${proxy}, client on ${client}, backend on ${backend}`;
    const names = this.#subjects.map(({ name, version }) => `${name} ${version}`).join(', ');
    return `${names}\n${this.#cases.length} cases, ${this.#repeat} rounds, about ${this.#estimate()}; ${pinned}`;
  }

  /** @returns the runs: `case subject` → for each round `{ figures }` or `{ failure }` */
  async run(say) {
    this.#backend = await Backend.start(
      this.#load,
      this.#cores.backend,
      this.#subjects.length + 1,
      MAX_BYTES,
    );
    try {
      if (this.#length.messages === undefined) await this.#warmUp();
      for (let round = 0; round < this.#repeat; round++) {
        const startedMs = performance.now();
        for (const aCase of this.#cases) await this.#turn(aCase, round);
        const seconds = Math.round((performance.now() - startedMs) / 1000);
        say(`round ${round + 1} of ${this.#repeat}: ${seconds} s`);
      }
      return this.#runs;
    } finally {
      await Promise.all([...this.#proxies.values()].map((proxy) => proxy.stop()));
      await this.#backend.stop();
    }
  }

  /** Compilers that work while the program runs have done so before the first round. */
  async #warmUp() {
    for (const subject of this.#subjects) {
      for (const mode of ['echo', 'handshake']) {
        const run = (context) => runLoaded(context, { mode, connections: 32, size: 1024 });
        // What is wrong shows in the rounds.
        await this.#attempt({ run, length: this.#warmUpLength }, subject);
      }
    }
  }

  /** All subjects, one after the other; who begins differs from round to round. */
  async #turn(aCase, round) {
    if (round >= (aCase.maxRounds ?? Infinity)) return;
    const all = aCase.needsFreshProxy ? this.#subjects : [DIRECT, ...this.#subjects];
    const from = round % all.length;
    for (const subject of [...all.slice(from), ...all.slice(0, from)]) {
      const key = `${aCase.id} ${subject.id}`;
      if (!this.#runs.has(key)) this.#runs.set(key, []);
      this.#runs.get(key)[round] = await this.#attempt(aCase, subject);
    }
  }

  async #attempt(aCase, subject) {
    let proxy;
    try {
      proxy = subject === DIRECT ? undefined : await this.#proxyOf(subject, aCase.needsFreshProxy);
      const figures = await aCase.run({
        load: this.#load,
        cores: this.#cores,
        length: aCase.length ?? this.#length,
        backend: this.#backend,
        port: proxy?.port ?? this.#portOf(subject),
        proxy,
      });
      if (aCase.needsFreshProxy) await proxy.stop();
      else proxy?.freeze();
      return { figures };
    } catch (error) {
      // What failed once is not trusted with the next case.
      await proxy?.stop();
      if (!aCase.needsFreshProxy) this.#proxies.delete(subject);
      return { failure: error.message };
    }
  }

  async #proxyOf(subject, isFresh) {
    const running = this.#proxies.get(subject);
    if (!isFresh && running?.isAlive) {
      running.thaw();
      return running;
    }
    const proxy = await RunningProxy.start(this.#load, this.#cores.proxy, subject, this.#portOf(subject));
    if (!isFresh) this.#proxies.set(subject, proxy);
    return proxy;
  }

  #portOf(subject) {
    return this.#backend.ports[this.#subjects.indexOf(subject) + 1];
  }

  #estimate() {
    const count = this.#subjects.length;
    const { seconds, warmUpSeconds } = this.#length;
    const perRun = seconds + warmUpSeconds + OVERHEAD_SECONDS;
    const loaded = this.#cases.filter((aCase) => !aCase.needsFreshProxy).length;
    const idleRounds = this.#cases
      .filter((aCase) => aCase.needsFreshProxy)
      .reduce((sum, aCase) => sum + Math.min(this.#repeat, aCase.maxRounds), 0);
    const total = loaded * this.#repeat * (count + 1) * perRun + idleRounds * count * IDLE_SECONDS;
    return total < 90 ? `${Math.ceil(total)} s` : `${Math.round(total / 60)} min`;
  }
}
