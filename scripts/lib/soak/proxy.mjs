import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { at } from '../paths.mjs';

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 15_000;

/**
 * The built proxy before `backends`, in a process of its own that answers the probe's questions.
 *
 * @param {readonly string[]} backends URLs
 * @param {'auto' | 'native' | 'stream'} relay the engine
 */
export async function startProxy(backends, relay) {
  const child = spawn(
    process.execPath,
    [
      '--expose-gc',
      '--disable-warning=ExperimentalWarning',
      ...['--import', at('scripts', 'lib', 'soak', 'probe.mjs')],
      at('bin', 'tidegate.js'),
      ...['serve', '--config', writeConfig(backends, relay)],
    ],
    { cwd: at(), stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
  );
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const { port, engine } = await readSummary(child, exited);
  // The access log goes on, and nobody keeps it; errors are shown.
  child.stdout.resume();
  child.stderr.on('data', (text) => process.stderr.write(text));

  return {
    port,
    engine,
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

function writeConfig(backends, relay) {
  const file = at('.cache', 'soak.json');
  const config = {
    listeners: ['127.0.0.1:0'],
    upstreams: { backends: { servers: backends.map((url) => ({ url })) } },
    routes: [{ to: 'backends' }],
    relay,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

/** Its start-up summary: where it listens, and which engine it took. */
function readSummary(child, exited) {
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (why) => {
      child.kill('SIGKILL');
      reject(new Error(`the proxy ${why}:\n${output}`));
    };
    const timer = setTimeout(() => fail('named no port'), START_TIMEOUT_MS);
    const read = (text) => {
      output += text;
      const port = /listening on http:\/\/127\.0\.0\.1:(\d+)\s/.exec(output)?.[1];
      if (port === undefined) return;
      clearTimeout(timer);
      child.stdout.off('data', read);
      child.stderr.off('data', read);
      resolve({ port: Number(port), engine: /relay engine: (.*)/.exec(output)?.[1] });
    };
    child.stdout.setEncoding('utf8').on('data', read);
    child.stderr.setEncoding('utf8').on('data', read);
    void exited.then((how) => fail(`ended (${how})`));
  });
}
