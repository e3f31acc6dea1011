import { spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { at } from '../../scripts/lib/paths.mjs';

const KEPT_BYTES = 4096;
const STOP_TIMEOUT_MS = 3_000;
/** Asked for, not insisted on: two per tunnel and some to spare. */
const DESCRIPTORS = 65_536;

/** How many descriptors a program of the benchmark really gets. */
export function descriptorLimit(load) {
  const { stdout } = spawnSync(load, ['run', '-', String(DESCRIPTORS), '--', 'sh', '-c', 'ulimit -n'], {
    encoding: 'utf8',
  });
  return Number(stdout);
}

/** A program of the benchmark, on its core. What it says is kept for the case that it fails. */
export class Child {
  #process;
  #kept = '';
  #exited;
  #hasExited = false;
  /** Lines of stdout that nobody has taken, and those who wait for one. */
  #lines = [];
  #waiting = [];

  /**
   * @param {string} load path of the load generator, which pins
   * @param {string} cores
   * @param {readonly string[]} command
   * @param {Record<string, string>} [env] added to this process's own
   */
  constructor(load, cores, command, env = {}) {
    const [program, ...args] = [load, 'run', cores, String(DESCRIPTORS), '--', ...command];
    this.#process = spawn(program, args, { cwd: at(), env: { ...process.env, ...env } });
    this.#exited = new Promise((resolve) => {
      const end = (how) => {
        this.#hasExited = true;
        for (const { reject } of this.#waiting.splice(0)) reject(this.#error(`ended (${how})`));
        resolve(how);
      };
      this.#process.once('error', (error) => end(error.message));
      this.#process.once('close', (code, signal) => end(signal ?? `exit code ${code}`));
    });
    this.#process.stdin.on('error', () => {});
    this.#process.stderr.setEncoding('utf8').on('data', (text) => this.#keep(text));
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      this.#keep(`${line}\n`);
      const next = this.#waiting.shift();
      if (next) next.resolve(line);
      else if (this.#lines.length < 100) this.#lines.push(line);
    });
  }

  get pid() {
    return this.#process.pid;
  }

  get hasExited() {
    return this.#hasExited;
  }

  /** The last that it said, on stdout and stderr. */
  get said() {
    return this.#kept;
  }

  /** The next line of its stdout; rejects when it ends instead. */
  nextLine() {
    const line = this.#lines.shift();
    if (line !== undefined) return Promise.resolve(line);
    if (this.#hasExited) return Promise.reject(this.#error('has ended'));
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  write(line) {
    this.#process.stdin.write(`${line}\n`);
  }

  /** Resolves to how it ended. */
  get exited() {
    return this.#exited;
  }

  kill(signal) {
    this.#process.kill(signal);
  }

  async stop() {
    if (this.#hasExited) return;
    this.#process.kill('SIGCONT');
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  #keep(text) {
    this.#kept = (this.#kept + text).slice(-KEPT_BYTES);
  }

  #error(what) {
    const last = this.#kept.trim().split('\n').at(-1);
    return new Error(last ? `${what}: ${last}` : what);
  }
}
