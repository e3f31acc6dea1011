/**
 * Proves that `npm start` serves: the page, a WebSocket conversation of today and one of 2010, and a clean end. For
 * CI, after `npm test`; ends with the line `N passed, N failed`.
 */

import { spawn } from 'node:child_process';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { at } from './lib/paths.mjs';
import { Report } from './lib/report.mjs';

/** It may have to install and build first. */
const START_TIMEOUT_MS = 5 * 60_000;
const ANSWER_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 15_000;

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
const report = new Report();
let demo;

await report.step('npm start', async () => {
  demo = await startDemo('npm', ['start']);
  return { note: demo.url };
});
const running = { needs: ['npm start'] };
await report.step('the page', () => within(ANSWER_TIMEOUT_MS, page(demo.url)), running);
await report.step(
  'the page over TLS and HTTP/2',
  () => within(ANSWER_TIMEOUT_MS, pageOverHttp2(demo.httpsUrl)),
  running,
);
await report.step('a chat of today', () => within(ANSWER_TIMEOUT_MS, chat(demo.url)), running);
await report.step('an echo of 2010', () => within(ANSWER_TIMEOUT_MS, hixieEcho(demo.url)), running);
await report.step('SIGTERM to npm frees the port', () => within(STOP_TIMEOUT_MS, stopNpm(demo)), running);
await report.step('SIGTERM in mid-conversation: exit 0', stopInConversation, running);
process.exit(report.finish());

/** Starts it and waits for the addresses in its output. */
function startDemo(command, args) {
  // A process group of its own, so that nothing of it is left when a proof fails.
  const child = spawn(command, args, { cwd: at(), stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  process.once('exit', () => killGroup(child.pid));
  const urls = new Promise((resolve, reject) => {
    let url;
    child.once('error', reject);
    void exited.then((how) => reject(new Error(`it ended at once: ${how}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      console.log(`  | ${line}`);
      const found = /Open (http:\S+)/.exec(line);
      if (found) url = found[1];
      const secure = /HTTP\/2: (https:\S+)/.exec(line);
      if (secure) resolve({ url, httpsUrl: secure[1] });
    });
  });
  return within(START_TIMEOUT_MS, urls).then((urls) => ({ child, exited, ...urls }));
}

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // All of it has ended by itself.
  }
}

async function page(url) {
  const response = await fetch(url);
  const text = await response.text();
  return response.status === 200 && /<html[\s\S]*Tidegate/i.test(text);
}

async function pageOverHttp2(url) {
  const session = connectHttp2(url, { rejectUnauthorized: false });
  const stream = session.request({ ':path': '/' });
  let status;
  stream.once('response', (fields) => (status = fields[':status']));
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) text += chunk;
  session.close();
  return { ok: status === 200 && /<html[\s\S]*Tidegate/i.test(text), note: url };
}

/** Two people; what one says, the other hears. */
async function chat(url) {
  const [one, other] = await Promise.all([join(url, 'Ann'), join(url, 'Ben')]);
  const heard = next(other, (message) => message.type === 'line' && message.text === 'Is it flowing?');
  one.send(JSON.stringify({ type: 'say', text: 'Is it flowing?' }));
  await heard;
  for (const client of [one, other]) client.close(1000);
  return true;
}

async function join(url, nick) {
  const { WebSocket } = await import('ws');
  const client = new WebSocket(new URL('/chat', url));
  const welcomed = next(client, (message) => message.type === 'welcome');
  await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
  client.send(JSON.stringify({ type: 'hello', nick }));
  await welcomed;
  return client;
}

/** The first message that `matches`. */
function next(client, matches) {
  return new Promise((resolve, reject) => {
    client.on('message', (data) => {
      const message = JSON.parse(String(data));
      if (matches(message)) resolve(message);
    });
    client.once('close', (code) => reject(new Error(`the conversation ended: ${code}`)));
  });
}

async function hixieEcho(url) {
  const { hixie76 } = await import('./lib/soak/dialects.mjs');
  const { seeded } = await import('./lib/soak/random.mjs');
  const { Wire } = await import('./lib/soak/wire.mjs');
  const wire = new Wire(Number(new URL(url).port));
  const dialect = hixie76(seeded(2010));
  wire.write(dialect.hello('/hixie'));
  const status = await dialect.readAnswer(wire);
  if (status !== 101) throw new Error(`the answer was ${status}`);
  const greeting = await dialect.readMessage(wire);
  wire.write(dialect.message('Is it flowing?'));
  const echo = await dialect.readMessage(wire);
  await wire.reset();
  return { ok: greeting.startsWith('~m~16~m~') && echo === 'Is it flowing?', note: `${greeting}, ${echo}` };
}

async function stopNpm({ child, exited, url }) {
  child.kill('SIGTERM');
  await exited;
  while (await listens(Number(new URL(url).port))) await pause(100);
  return true;
}

function listens(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => socket.destroy());
    socket.once('error', () => resolve(false));
    socket.once('close', (failed) => failed || resolve(true));
  });
}

/** Without npm between, whose shell would hide the exit code. */
async function stopInConversation() {
  const { child, exited, url } = await startDemo(process.execPath, [at('scripts', 'start.mjs')]);
  const client = await join(url, 'Cat');
  const closed = new Promise((resolve) => client.once('close', resolve));
  child.kill('SIGTERM');
  const [how, closeCode] = await within(STOP_TIMEOUT_MS, Promise.all([exited, closed]));
  return { ok: how === 0, note: `exit ${how}, close code ${closeCode}` };
}

async function within(timeoutMs, promise) {
  const late = new AbortController();
  const tooLate = pause(timeoutMs, undefined, { signal: late.signal }).then(() => {
    throw new Error(`not within ${timeoutMs / 1_000} s`);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    late.abort();
  }
}
