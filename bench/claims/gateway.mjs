/** What it costs where WebSockets end at the gateway and the backend is told over HTTP. */

import { setTimeout as pause } from 'node:timers/promises';
import { runClient } from '../lib/load.mjs';
import { runLoaded } from '../lib/loaded-run.mjs';
import { kernelSocketBytes } from '../lib/machine.mjs';
import { cpuNsBetween, sampleCpu, sampleMemory } from '../lib/process-tree.mjs';

const SIZE = 100;
const SUBSCRIBERS = [1_000, 10_000];
const SPEAKERS = 64;
/** What any gateway allocates once, at its first sessions, is no cost of a session. */
const FIRST_SESSIONS = 200;
const SETTLE_MS = 1_500;
const WATCH_MS = 1_000;
/** A round lasts as long as its messages need: opening thousands of sessions takes longer than to publish. */
const MAX_ROUNDS = 3;
const MAX_IDLE_ROUNDS = 2;

export function gatewayCases({ modes, quick, connections, sessions }) {
  const wanted = connections ?? (quick ? SUBSCRIBERS.slice(0, 1) : SUBSCRIBERS);
  const subscribers = [...new Set(wanted.map((count) => Math.min(count, sessions)))];
  return [
    ...(modes.has('fanout') ? subscribers.map(fanout) : []),
    ...(modes.has('events') ? (connections ?? [SPEAKERS]).map(events) : []),
    ...(modes.has('sessions') ? [idle(sessions)] : []),
  ];
}

const common = { serves: 'gateway', base: 'nchan', size: SIZE };
const plural = (count, word) => `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;

function fanout(connections) {
  return {
    ...common,
    id: `fanout-${connections}`,
    claim: 'gateway',
    title: `Fan-out: ${plural(connections, 'subscriber')}, ${SIZE} B`,
    unit: 'delivery',
    mode: 'fanout',
    connections,
    hasLatency: true,
    maxRounds: MAX_ROUNDS,
    run: (context) => runLoaded(context, { ...subscribing(context), connections }),
  };
}

function events(connections) {
  return {
    ...common,
    id: `events-${connections}`,
    claim: 'gateway',
    title: `Events: ${plural(connections, 'connection')}, ${SIZE} B there, over HTTP to the backend and back`,
    unit: 'round trip',
    mode: 'events',
    connections,
    hasLatency: true,
    run: (context) =>
      runLoaded(context, { mode: 'echo', path: 'echo', offer: 'nothing', size: SIZE, connections }),
  };
}

function idle(connections) {
  return {
    ...common,
    id: `sessions-${connections}`,
    claim: 'gateway-idle',
    title: `Idle: ${plural(connections, 'session')} of the gateway`,
    unit: 'session',
    mode: 'sessions',
    connections,
    hasLatency: false,
    needsFreshProxy: true,
    maxRounds: MAX_IDLE_ROUNDS,
    run: (context) => runIdle(context, connections),
  };
}

const subscribing = ({ proxy, subject }) => ({
  mode: 'fanout',
  size: SIZE,
  offer: 'nothing',
  'publish-port': proxy.publishPort,
  'publish-as': subject.publishes,
});

/** Each session has been subscribed, has heard one message or two, and is silent. */
async function runIdle(context, connections) {
  const { load, cores, target, proxy } = context;
  const client = (connections, atRest) =>
    runClient(
      load,
      cores.client,
      { ...target, ...subscribing(context), connections, 'warm-up': 0, messages: 1 },
      atRest,
    );
  await client(FIRST_SESSIONS);
  await pause(SETTLE_MS);

  const kernelBefore = kernelSocketBytes();
  const before = sampleMemory(proxy.pids);
  const figures = {};
  await client(connections, async (when) => {
    if (when === 'after') return;
    await pause(SETTLE_MS);
    const cpu = sampleCpu(proxy.pids);
    await pause(WATCH_MS);
    const after = sampleMemory(proxy.pids);
    figures.kernelBytesPerTunnel = (kernelSocketBytes() - kernelBefore) / connections;
    figures.idleCpuMsPerSecond = cpuNsBetween(cpu, sampleCpu(proxy.pids)) / 1e6 / (WATCH_MS / 1000);
    figures.bytesPerTunnel = (after.privateBytes - before.privateBytes) / connections;
    figures.proportionalBytesPerTunnel = (after.proportionalBytes - before.proportionalBytes) / connections;
    figures.baseBytes = before.privateBytes;
  });
  return figures;
}
