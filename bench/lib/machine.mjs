import { readFileSync } from 'node:fs';
import os from 'node:os';

/**
 * Which cores the proxy, the client and the backend get. By default the proxy has the last core, and the load those
 * that do not share a physical core with it where there are such: two of them if there are, one otherwise.
 *
 * @returns {{ proxy: string, client: string, backend: string, note?: string }} as `load run` takes them; `-` is any
 */
export function chooseCores(wanted) {
  const anywhere = { proxy: '-', client: '-', backend: '-' };
  if (wanted === 'none') return { ...anywhere, note: 'nothing is pinned (--cores none)' };
  if (wanted !== undefined) {
    const [proxy, client = proxy, backend = client] = wanted.map(String);
    return { proxy, client, backend };
  }
  const allowed = allowedCores();
  if (allowed.length < 2)
    return { ...anywhere, note: 'one core for everything: the figures say little about the proxies' };
  const proxy = allowed.at(-1);
  const others = allowed.filter((core) => core !== proxy);
  const apart = others.filter((core) => !siblingsOf(proxy).includes(core));
  const [client, backend = client] = (apart.length > 0 ? apart : others).slice(-2).reverse().map(String);
  return { proxy: String(proxy), client, backend };
}

function allowedCores() {
  const line = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return coreList(line?.[1] ?? '0');
}

function siblingsOf(core) {
  try {
    const file = `/sys/devices/system/cpu/cpu${core}/topology/thread_siblings_list`;
    return coreList(readFileSync(file, 'utf8').trim());
  } catch {
    return [core];
  }
}

/** `0-2,5` → [0, 1, 2, 5] */
function coreList(text) {
  return text.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

/** What a reader needs to know about where figures come from. */
export function describeMachine() {
  const cpu = os.cpus()[0]?.model.trim() ?? 'unknown';
  return { cpu, cores: os.cpus().length, kernel: os.release(), node: process.versions.node };
}

/**
 * Time that a core was busy with anything at all, in ms since the system started; in steps of 10 ms. Undefined for `-`.
 */
export function coreBusyMs(core) {
  if (core === '-') return undefined;
  const line = new RegExp(`^cpu${core} (.*)$`, 'm').exec(readFileSync('/proc/stat', 'utf8'));
  if (line === null) return undefined;
  const [user, nice, system, , , irq, softirq, steal] = line[1].split(' ').map(Number);
  return (user + nice + system + irq + softirq + steal) * 10;
}

/** Memory that the kernel holds for the sockets of the whole system: slabs, and what is in TCP's queues. */
export function kernelSocketBytes() {
  const slabKib = /^Slab:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0;
  const queuePages = /^TCP: .* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1] ?? 0;
  return Number(slabKib) * 1024 + Number(queuePages) * 4096;
}
