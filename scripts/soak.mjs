/**
 * `npm run soak -- --seconds 120`: a churn of clients against the built proxy. They speak RFC 6455, Hixie-76 and plain
 * HTTP, and end in every way there is: politely, with a FIN, with a RST, in mid-handshake, in mid-frame, from either
 * side. Meanwhile the proxy's memory is watched, and afterwards whether it has given everything back.
 *
 *     --seconds N       how long the load lasts, 10 or more (default 120)
 *     --concurrency N   connections at the same time (default 200)
 *     --seed N          draws the same visits again
 *     --relay ENGINE    auto (default), native or stream
 *
 * Exit code 0 if memory is flat, nothing is left over and every visit went as it should.
 */

import './lib/node-version.mjs';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ensureBuilt, ensureInstalled } from './lib/fresh.mjs';

if (!(await ensureInstalled()) || !(await ensureBuilt())) process.exit(1);
const { startBackends } = await import('./lib/soak/backend.mjs');
const { startProxy } = await import('./lib/soak/proxy.mjs');
const { seeded } = await import('./lib/soak/random.mjs');
const { judgeMemory, judgeRest, mib } = await import('./lib/soak/verdict.mjs');
const { drawVisit } = await import('./lib/soak/visits.mjs');

/** A visit that takes this long hangs. The longest of them take a few seconds on a busy machine. */
const VISIT_TIMEOUT_MS = 20_000;
/** How long the proxy may take to come to rest. */
const REST_TIMEOUT_MS = 60_000;
const BACKENDS = 4;
const WARM_UP_VISITS = 300;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    concurrency: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    relay: { type: 'string', default: 'auto' },
  },
});
const seconds = Number(values.seconds);
const concurrency = Number(values.concurrency);
const seed = Number(values.seed);
const random = seeded(seed);

if (!(seconds >= 10 && concurrency >= 1 && Number.isInteger(seed))) {
  console.error(
    'soak: expected --seconds of 10 or more, --concurrency of 1 or more, and a whole number as --seed',
  );
  process.exit(2);
}

const tally = new Map();
const failures = new Map();
let live = 0;
let visits = 0;

const backends = await startBackends(BACKENDS);
const proxy = await startProxy(backends.urls, values.relay);
console.log(`${seconds} s, ${concurrency} connections at a time, --seed ${seed}, engine: ${proxy.engine}\n`);

await load(() => visits < WARM_UP_VISITS);
const before = await comeToRest();
visits = 0;
tally.clear();

const startedMs = performance.now();
const elapsedMs = () => performance.now() - startedMs;
const samples = [];
const watching = watch();
await load(() => elapsedMs() < seconds * 1_000);
const loadMs = elapsedMs();
await watching;
const after = await comeToRest(before);
const exit = await proxy.stop();

report();

/** Keeps `concurrency` visits going for as long as `goOn` says. */
async function load(goOn) {
  const visitor = async () => {
    while (goOn()) await visit();
  };
  await Promise.all(Array.from({ length: concurrency }, visitor));
}

async function visit() {
  const { name, run } = drawVisit(proxy.port, random);
  visits++;
  live++;
  const late = new AbortController();
  try {
    await Promise.race([
      run(),
      pause(VISIT_TIMEOUT_MS, undefined, { signal: late.signal }).then(() => {
        throw new Error(`no end after ${VISIT_TIMEOUT_MS / 1_000} s`);
      }),
    ]);
    tally.set(name, (tally.get(name) ?? 0) + 1);
  } catch (error) {
    const what = `${name}: ${error.message}`;
    failures.set(what, (failures.get(what) ?? 0) + 1);
  } finally {
    late.abort();
    live--;
  }
}

async function watch() {
  const everyMs = Math.max(1_000, (seconds * 1_000) / 40);
  console.log('     s     live   visits       rss      heap   buffers  sockets  descriptors');
  for (let due = everyMs; due < seconds * 1_000; due += everyMs) {
    await pause(Math.max(0, due - elapsedMs()));
    const sample = await proxy.ask('sample');
    samples.push(sample);
    print(sample);
  }
}

/** Waits until the proxy holds no more than `before`, or until it holds the same twice over. */
async function comeToRest(before) {
  const deadlineMs = performance.now() + REST_TIMEOUT_MS;
  let last;
  for (;;) {
    await pause(2_000);
    backends.closeIdle();
    await pause(1_000);
    const sample = await proxy.ask('census');
    const isAtRest =
      before === undefined
        ? last?.descriptors === sample.descriptors
        : judgeRest(before, sample).every(({ ok }) => ok);
    if (isAtRest || performance.now() > deadlineMs) return sample;
    last = sample;
  }
}

function print({ rss, heapUsed, arrayBuffers, resources, descriptors }) {
  const sockets = resources.TCPSocketWrap ?? 0;
  const cells = [(elapsedMs() / 1_000).toFixed(0), live, visits, mib(rss), mib(heapUsed), mib(arrayBuffers)];
  const widths = [6, 9, 9, 10, 10, 10, 9, 13];
  console.log([...cells, sockets, descriptors].map((cell, i) => String(cell).padStart(widths[i])).join(''));
}

function report() {
  console.log(`\n${visits} visits, ${Math.round(visits / (loadMs / 1_000))} per second`);
  for (const [name, count] of [...tally].toSorted(([a], [b]) => a.localeCompare(b)))
    console.log(`${String(count).padStart(8)}  ${name}`);

  const failed = [...failures.values()].reduce((sum, count) => sum + count, 0);
  const findings = [
    { ok: failed === 0, text: `visits: ${failed} did not go as they should` },
    ...judgeMemory(samples),
    ...judgeRest(before, after),
    { ok: exit === 0, text: `SIGTERM: exit ${exit}` },
  ];
  console.log(
    `\nat rest before: ${JSON.stringify(before.resources)}\nat rest after:  ${JSON.stringify(after.resources)}\n`,
  );
  for (const [what, count] of failures) console.log(`${String(count).padStart(8)}  FAILED  ${what}`);
  for (const { ok, text } of findings) console.log(`${ok ? '✓' : '✗'} ${text}`);
  process.exit(findings.every(({ ok }) => ok) ? 0 : 1);
}
