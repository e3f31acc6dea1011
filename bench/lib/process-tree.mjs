/** What a process and everything below it has used, from /proc. */

import { readdirSync, readFileSync } from 'node:fs';

/** The process and its descendants. */
export function treeOf(pid) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(name);
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const tree = [pid];
  for (const member of tree) tree.push(...(children.get(member) ?? []));
  return tree;
}

/**
 * CPU time of all threads of `pids`. The scheduler's own count, in nanoseconds, has no history of threads that are
 * gone: those are compared with an earlier sample in cpuNsBetween.
 */
export function sampleCpu(pids) {
  const threads = new Map();
  let ticksNs = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      threads.set(`${pid}/${thread}`, threadNs(pid, thread));
    }
    // Fields 14 and 15, utime and stime, in hundredths of a second; counted behind the name, which may hold anything.
    const fields = statOf(pid).split(' ');
    ticksNs += (Number(fields[11]) + Number(fields[12])) * 10_000_000;
  }
  return { threads, ticksNs };
}

/** From one sample of the same processes to a later one, in nanoseconds. */
export function cpuNsBetween(before, after) {
  // A thread that ended took its nanoseconds with it; the process's ticks still have them.
  const isComplete = [...before.threads.keys()].every((thread) => after.threads.has(thread));
  if (!isComplete) return after.ticksNs - before.ticksNs;
  let sum = 0;
  for (const [thread, ns] of after.threads) sum += ns - (before.threads.get(thread) ?? 0);
  return sum;
}

/** User-space memory of the processes that nobody else shares (`private`), and with their part of what is shared. */
export function sampleMemory(pids) {
  const sum = { privateBytes: 0, proportionalBytes: 0 };
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    const kib = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0);
    sum.privateBytes += (kib('Private_Dirty') + kib('Swap')) * 1024;
    sum.proportionalBytes += (kib('Pss') + kib('SwapPss')) * 1024;
  }
  return sum;
}

function threadNs(pid, thread) {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  } catch (error) {
    // It ended since the folder was read.
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return 0;
    throw error;
  }
}

function parentOf(pid) {
  try {
    return Number(statOf(pid).split(' ')[1]);
  } catch {
    return undefined;
  }
}

/** Without the number and the name: state first. */
function statOf(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).trimEnd();
}
