import { spawn } from 'node:child_process';
import { at } from '../paths.mjs';

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 15_000;

/** The built proxy before `backends`, in a process of its own that answers the probe's question. */
export async function startProxy(backends) {
  const targets = backends.flatMap((url) => ['--to', url]);
  const child = spawn(
    process.execPath,
    [
      '--expose-gc',
      '--disable-warning=ExperimentalWarning',
      '--import',
      at('scripts', 'lib', 'soak', 'probe.mjs'),
    ].concat([at('bin', 'tidegate.js'), 'proxy', '--listen', '127.0.0.1:0'], targets),
    { cwd: at(), stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
  );
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const port = await portOf(child, exited, backends);
  // The access log goes on, and nobody keeps it; errors are shown.
  child.stdout.resume();
  child.stderr.on('data', (text) => process.stderr.write(text));

  return {
    port,
    exited,
    /** Asks the probe: `sample` or `census`. */
    ask(question) {
      return new Promise((resolve, reject) => {
        void exited.then((how) => reject(new Error(`the proxy ended: ${how}`)));
        child.once('message', resolve);
        child.send(question);
      });
    },
    /** Resolves to the exit code, or to the signal that it took. */
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      const how = await exited;
      clearTimeout(timer);
      return how;
    },
  };
}

/** The port in its start-up summary: the first that belongs to no backend. */
function portOf(child, exited, backends) {
  const taken = backends.map((url) => new URL(url).port);
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (why) => {
      child.kill('SIGKILL');
      reject(new Error(`the proxy ${why}:\n${output}`));
    };
    const timer = setTimeout(() => fail('named no port'), START_TIMEOUT_MS);
    const read = (text) => {
      output += text;
      const port = [...output.matchAll(/127\.0\.0\.1:(\d+)\b(?!$)/g)]
        .map((match) => match[1])
        .find((p) => !taken.includes(p));
      if (port === undefined) return;
      clearTimeout(timer);
      child.stdout.off('data', read);
      child.stderr.off('data', read);
      resolve(Number(port));
    };
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', read);
    exited.then((how) => fail(`ended (${how})`));
  });
}
