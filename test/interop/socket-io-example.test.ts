/** examples/socket-io, run as it stands; only the ports of its configuration are others. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { io } from 'socket.io-client';
import { expect, test } from 'vitest';
import { Inbox } from '../fixtures/inbox.js';
import { running } from '../fixtures/running.js';
import { quietPort } from '../fixtures/ports.js';

const example = fileURLToPath(new URL('../../examples/socket-io/', import.meta.url));
const CLIENTS = 9;

test('clients upgrade, outlive their server, and are let go of at the end', async () => {
  const { url, servers, starter } = await running(startExample());
  const page = await (await fetch(url)).text();
  expect(page).toContain('/socket.io/socket.io.js');
  expect((await fetch(`${url}/socket.io/socket.io.js`)).status).toBe(200);

  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => running(connect(url))));
  await Promise.all(clients.map(({ upgrades }) => upgrades.next()));
  const first = await Promise.all(clients.map(({ welcomes }) => welcomes.next()));
  expect(new Set(first)).toEqual(new Set(servers.keys()));
  for (const [i, client] of clients.entries()) {
    client.socket.emit('say', `I am ${i}`);
    expect(await client.said.next((text) => text.endsWith(`I am ${i}`))).toBe(`${first[i]}: I am ${i}`);
  }

  process.kill(servers.get('server-2')!, 'SIGKILL');
  const lost = clients.filter((_, i) => first[i] === 'server-2');
  const kept = clients.filter((_, i) => first[i] !== 'server-2');
  for (const client of lost) {
    expect(await client.gone.next()).toMatch(/^transport (close|error)$/);
    expect(await client.welcomes.next()).toMatch(/^server-[13]$/);
    // On the new server, too, all of it: polling, then the upgrade.
    await client.upgrades.next();
    client.socket.emit('say', 'back again');
    expect(await client.said.next((text) => text.endsWith('back again'))).toMatch(/^server-[13]: /);
  }
  expect(kept.map(({ socket, gone }) => [socket.connected, gone.all])).toEqual(kept.map(() => [true, []]));

  for (const { socket } of clients) socket.io.reconnection(false);
  starter.kill('SIGTERM');
  for (const client of clients) expect(await client.gone.next()).toBe('transport close');
  expect(await starter.exited).toBe(0);
  // Nothing is left behind.
  for (const pid of servers.values()) await gone(pid);
}, 60_000);

interface Example {
  readonly url: string;
  /** Processes by name. */
  readonly servers: ReadonlyMap<string, number>;
  readonly starter: { kill(signal: NodeJS.Signals): void; readonly exited: Promise<number | null> };
  stop(): Promise<void>;
}

async function startExample(): Promise<Example> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-socket-io-'));
  const ports = [await quietPort(), await quietPort(), await quietPort()];
  let text = readFileSync(join(example, 'tidegate.config.yaml'), 'utf8').replace(':8080', ':0');
  for (const [i, port] of ports.entries()) text = text.replace(`:300${i + 1}`, `:${port}`);
  const config = join(folder, 'tidegate.config.yaml');
  writeFileSync(config, text);

  const child = spawn(process.execPath, [join(example, 'start.mjs'), config], { stdio: 'pipe' });
  const lines = new Inbox<string>('the example');
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => lines.push(line));
  }
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => {
      lines.end(`exit ${code}`);
      resolve(code);
    });
  });
  const servers = new Map<string, number>();
  const starter = { kill: (signal: NodeJS.Signals) => void child.kill(signal), exited };
  const stop = async (): Promise<void> => {
    // The first lets it drain, the second cuts.
    child.kill('SIGTERM');
    child.kill('SIGINT');
    await exited;
    rmSync(folder, { recursive: true });
  };
  try {
    for (const port of ports) {
      const line = await lines.next((line) => line.endsWith(`http://127.0.0.1:${port}`));
      const [, name, pid] = /^(\S+) \(process (\d+)\)/.exec(line)!;
      servers.set(name!, Number(pid));
    }
    const listening = '  listening on ';
    const url = (await lines.next((line) => line.startsWith(listening))).slice(listening.length);
    return { url, servers, starter, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A client as a browser is one: with cookies, by polling first. */
async function connect(url: string) {
  const socket = io(url, {
    forceNew: true,
    withCredentials: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 200,
  });
  const welcomes = new Inbox<string>('welcomes');
  const said = new Inbox<string>('what was said');
  const gone = new Inbox<string>('disconnects');
  const upgrades = new Inbox<string>('upgrades');
  socket.on('welcome', (server: string) => welcomes.push(server));
  socket.on('said', (text: string) => said.push(text));
  socket.on('disconnect', (why) => gone.push(why));
  const watch = () => {
    expect(socket.io.engine.transport.name).toBe('polling');
    socket.io.engine.on('upgrade', ({ name }) => upgrades.push(name));
  };
  socket.io.on('open', watch);
  return { socket, welcomes, said, gone, upgrades, stop: async () => void socket.disconnect() };
}

async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
