import { spawn } from 'node:child_process';
import { root } from './paths.mjs';

/** How long a stopped child may take before it is killed. */
const KILL_AFTER_MS = 5_000;

/**
 * Runs a command in the root of the clone and resolves to `{ code, stdout, timedOut }`; a signal or a missing
 * program counts as code 1. What it prints is shown as it comes.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {object} [options]
 * @param {Record<string, string>} [options.env] added to this process's own
 * @param {boolean} [options.capture] keep stdout and hand it back instead of showing it
 * @param {number} [options.timeoutMs] the command is ended after this long; default: no limit
 */
export function run(command, args, { env = {}, capture = false, timeoutMs = 0 } = {}) {
  const stdio = ['ignore', capture ? 'pipe' : 'inherit', 'inherit'];
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio });

  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => (stdout += text));

  let timedOut = false;
  const timers = [];
  if (timeoutMs > 0) {
    timers.push(
      setTimeout(() => {
        timedOut = true;
        child.kill('SIGTERM');
        timers.push(setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS));
      }, timeoutMs),
    );
  }

  return new Promise((resolve) => {
    const done = (code) => {
      timers.forEach(clearTimeout);
      resolve({ code, stdout, timedOut });
    };
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`);
      done(1);
    });
    child.on('close', (code) => done(code ?? 1));
  });
}

/** Runs another Node program with this very Node. */
export const runNode = (args, options) => run(process.execPath, args, options);

/** Runs npm: the one that started us where there is one, so that its version and settings stay the same. */
export function runNpm(args, options) {
  const npmCli = process.env.npm_execpath;
  return npmCli === undefined ? run('npm', args, options) : runNode([npmCli, ...args], options);
}
