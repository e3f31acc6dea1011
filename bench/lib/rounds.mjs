import { makeCertificate } from './certificate.mjs';
import { Backend } from './load.mjs';
import { runLoaded } from './loaded-run.mjs';
import { RunningProxy } from './proxy.mjs';

/** The client speaks to the backend itself: what the load can do, and the latency that is not the proxy's. */
export const DIRECT = { id: 'direct', name: 'no proxy', version: '' };

/** From what runs take here, for the estimate: start, connections, coming to rest. */
const OVERHEAD_SECONDS = 0.25;
const IDLE_SECONDS = 9;
/** For each session of a gateway. */
const OPENING_SECONDS = 0.0005;
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
  /** Behind gateways, where there are any. */
  #events;
  /** A file with the one that all proxies show, where there are cases over TLS. */
  #certificate;
  /** By subject and way in: running and frozen. */
  #proxies = new Map();
  #warmUpLength;
  /** `case subject` → for each round the figures, or why there are none. */
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
    if (this.#cases.some(({ secure }) => secure)) this.#certificate = makeCertificate(this.#load);
    this.#backend = await Backend.start(
      this.#load,
      this.#cores.backend,
      1 + 2 * this.#subjects.length,
      MAX_BYTES,
    );
    if (this.#subjects.some(isGateway)) {
      this.#events = await Backend.startEvents(this.#load, this.#cores.backend, this.#subjects.length);
    }
    try {
      if (this.#length.messages === undefined) {
        await this.#warmUp();
        await this.#warmUpGateways();
      }
      for (let round = 0; round < this.#repeat; round++) {
        const startedMs = performance.now();
        for (const aCase of this.#cases) await this.#turn(aCase, round);
        const seconds = Math.round((performance.now() - startedMs) / 1000);
        say(`round ${round + 1} of ${this.#repeat}: ${seconds} s`);
      }
      return this.#runs;
    } finally {
      await Promise.all([...this.#proxies.values()].map((proxy) => proxy.stop()));
      await Promise.all([this.#backend.stop(), this.#events?.stop()]);
    }
  }

  /** Compilers that work while the program runs have done so before the first round. */
  async #warmUp() {
    for (const secure of [false, true]) {
      const needed = this.#cases.filter(
        (aCase) => isSecure(aCase) === secure && !aCase.needsFreshProxy && !isGateway(aCase),
      );
      if (needed.length === 0) continue;
      for (const subject of this.#subjectsOf({ secure })) {
        for (const mode of ['echo', 'handshake']) {
          const run = (context) => runLoaded(context, { mode, connections: 32, size: 1024 });
          // What is wrong shows in the rounds.
          await this.#attempt({ run, secure, length: this.#warmUpLength }, subject);
        }
      }
    }
  }

  /** The first of each kind of case is enough to have everything compiled. */
  async #warmUpGateways() {
    const needed = this.#cases.filter((aCase) => isGateway(aCase) && !aCase.needsFreshProxy);
    const modes = new Set(needed.map(({ mode }) => mode));
    for (const mode of modes) {
      const aCase = needed.find((one) => one.mode === mode);
      for (const subject of this.#subjectsOf(aCase)) {
        await this.#attempt({ ...aCase, length: this.#warmUpLength }, subject);
      }
    }
  }

  /** All subjects, one after the other; who begins differs from round to round. */
  async #turn(aCase, round) {
    if (round >= (aCase.maxRounds ?? Infinity)) return;
    const proxies = this.#subjectsOf(aCase);
    // Nobody but a gateway does what a gateway does.
    const all = aCase.needsFreshProxy || isGateway(aCase) ? proxies : [DIRECT, ...proxies];
    const from = round % all.length;
    for (const subject of [...all.slice(from), ...all.slice(0, from)]) {
      const key = `${aCase.id} ${subject.id}`;
      if (!this.#runs.has(key)) this.#runs.set(key, []);
      this.#runs.get(key)[round] = await this.#attempt(aCase, subject);
    }
  }

  async #attempt(aCase, subject) {
    let proxy;
    const secure = isSecure(aCase) && subject !== DIRECT;
    try {
      proxy = subject === DIRECT ? undefined : await this.#proxyOf(subject, secure, aCase.needsFreshProxy);
      const figures = await aCase.run({
        load: this.#load,
        cores: this.#cores,
        length: aCase.length ?? this.#length,
        backend: isGateway(aCase) ? this.#events : this.#backend,
        subject,
        target: {
          port: proxy?.port ?? this.#backend.ports[0],
          ...(secure && { tls: this.#certificate }),
        },
        proxy,
      });
      if (aCase.needsFreshProxy) await proxy.stop();
      else proxy?.freeze();
      return { figures };
    } catch (error) {
      // What failed once is not trusted with the next case.
      await proxy?.stop();
      if (!aCase.needsFreshProxy) this.#proxies.delete(keyOf(subject, secure));
      return { failure: error.message };
    }
  }

  /** One process for each way in: what serves one is not to be slowed down by having served the other. */
  async #proxyOf(subject, secure, isFresh) {
    const running = this.#proxies.get(keyOf(subject, secure));
    if (!isFresh && running?.isAlive) {
      running.thaw();
      return running;
    }
    const proxy = await RunningProxy.start(
      this.#load,
      this.#cores.proxy,
      subject,
      this.#portBehind(subject, secure),
      secure ? this.#certificate : undefined,
    );
    if (!isFresh) this.#proxies.set(keyOf(subject, secure), proxy);
    return proxy;
  }

  #portBehind(subject, secure) {
    const at = this.#subjects.indexOf(subject);
    return isGateway(subject) ? this.#events.ports[at] : this.#backend.ports[1 + 2 * at + (secure ? 1 : 0)];
  }

  #subjectsOf(aCase) {
    const able = this.#subjects.filter((subject) => isGateway(subject) === isGateway(aCase));
    return isSecure(aCase) ? able.filter(({ takesTls }) => takesTls) : able;
  }

  #estimate() {
    const { seconds, warmUpSeconds } = this.#length;
    const perRun = seconds + warmUpSeconds + OVERHEAD_SECONDS;
    let total = 0;
    for (const aCase of this.#cases) {
      const count = this.#subjectsOf(aCase).length;
      total += aCase.needsFreshProxy
        ? Math.min(this.#repeat, aCase.maxRounds) * count * IDLE_SECONDS
        : Math.min(this.#repeat, aCase.maxRounds ?? Infinity) *
          (count + 1) *
          (perRun + (isGateway(aCase) ? aCase.connections * OPENING_SECONDS : 0));
    }
    return total < 90 ? `${Math.ceil(total)} s` : `${Math.round(total / 60)} min`;
  }
}

const isGateway = ({ serves }) => serves === 'gateway';
const isSecure = ({ secure }) => secure === true;
const keyOf = ({ id }, secure) => (secure ? `${id} over TLS` : id);
