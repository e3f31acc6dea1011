import { parseArgs } from 'node:util';
import { at } from '../../scripts/lib/paths.mjs';

export const usage = `npm run bench -- [options]

  --quick              fewer cases, shorter runs: 4 to 5 minutes instead of 20 to 25, and the gateway
  --only LIST          tunnel, handshake, idle, gateway; or parts of tunnel: echo, paced, down, up,
                       or of gateway: fanout, events, sessions;
                       wss (the same over TLS), or parts of it: wss-tunnel, wss-handshake, wss-idle, wss-echo …
  --against LIST       rivals: nginx, haproxy, caddy, http-proxy-3, httpxy; of the gateway: nchan, pushpin; none
  --engines LIST       Tidegate's relay engines: native, stream
  --connections LIST   instead of the chosen cases, every combination of these numbers of connections …
  --sizes LIST         … and these payload sizes: 64,1KiB,64KiB,1MiB
  --repeat N           rounds (default 5; --quick 3)
  --seconds N          measured part of one run (default 0.6; --quick 0.3)
  --messages N         measured part of one run, by count instead of by time
  --idle N             idle tunnels, and sessions of the gateway (default 10000; --quick 2000)
  --cores P,C[,B]      cores of the proxy, the client, the backend; "none" pins nothing
  --save FILE          where the JSON goes (default bench/results/latest.json); docs/performance.json also
                       brings the tables of docs/performance.md and the chart up to date
  --help`;

const CLAIMS = ['tunnel', 'handshake', 'idle'];
const TUNNEL_MODES = ['echo', 'paced', 'down', 'up'];
const GATEWAY = 'gateway';
const GATEWAY_MODES = ['fanout', 'events', 'sessions'];
const WSS = 'wss';
const WSS_PART = `${WSS}-`;
const RIVALS = ['nginx', 'haproxy', 'caddy', 'http-proxy-3', 'httpxy', 'nchan', 'pushpin'];
const ENGINES = ['native', 'stream'];

export class UsageError extends Error {}

/** What the command line asks for, with every default filled in. Throws UsageError with one clear line. */
export function readOptions(args) {
  const values = parse(args);
  const { quick = false } = values;
  const parts = [...CLAIMS, ...TUNNEL_MODES];
  const names = [...parts, GATEWAY, ...GATEWAY_MODES, WSS, ...parts.map((name) => WSS_PART + name)];
  const only = list('--only', values.only, names) ?? [...CLAIMS, GATEWAY, WSS];
  const overTls = only.flatMap((name) => {
    if (name === WSS) return CLAIMS;
    return name.startsWith(WSS_PART) ? [name.slice(WSS_PART.length)] : [];
  });
  return {
    help: values.help ?? false,
    quick,
    modes: modesOf(only),
    wssModes: modesOf(overTls),
    rivals: values.against === 'none' ? [] : (list('--against', values.against, RIVALS) ?? RIVALS),
    engines: list('--engines', values.engines, ENGINES) ?? ENGINES,
    connections: list('--connections', values.connections)?.map((text) => whole('--connections', text)),
    sizes: list('--sizes', values.sizes)?.map(size),
    repeat: whole('--repeat', values.repeat ?? (quick ? '3' : '5')),
    seconds: positive('--seconds', values.seconds ?? (quick ? '0.3' : '0.6')),
    messages: values.messages === undefined ? undefined : whole('--messages', values.messages),
    idle: whole('--idle', values.idle ?? (quick ? '2000' : '10000')),
    cores: values.cores === 'none' ? 'none' : list('--cores', values.cores)?.map(core),
    save: values.save ?? at('bench', 'results', 'latest.json'),
  };
}

const partsOf = { tunnel: TUNNEL_MODES, [GATEWAY]: GATEWAY_MODES };

function modesOf(names) {
  return new Set(names.flatMap((name) => partsOf[name] ?? [name]));
}

function parse(args) {
  const text = { type: 'string' };
  const flag = { type: 'boolean' };
  const options = { quick: flag, help: flag };
  for (const name of 'only against engines connections sizes repeat seconds messages idle cores save'.split(
    ' ',
  ))
    options[name] = text;
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new UsageError(error.message);
  }
}

function list(option, text, allowed) {
  if (text === undefined) return undefined;
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
  const wrong = names.find((name) => allowed !== undefined && !allowed.includes(name));
  if (wrong !== undefined) throw new UsageError(`${option}: ${wrong} is none of ${allowed.join(', ')}`);
  if (names.length === 0) throw new UsageError(`${option}: the list is empty`);
  return names;
}

function whole(option, text) {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`${option}: ${text} is no whole number above 0`);
  return Number(text);
}

function positive(option, text) {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw new UsageError(`${option}: ${text} is no number above 0`);
  return value;
}

function core(text) {
  if (!/^\d{1,4}$/.test(text)) throw new UsageError(`--cores: ${text} is no core`);
  return Number(text);
}

const UNITS = { '': 1, B: 1, KiB: 1024, MiB: 1024 ** 2 };
const MIN_BYTES = 8;
const MAX_BYTES = 64 * 1024 ** 2;

function size(text) {
  const match = /^(\d{1,9})\s*(B|KiB|MiB|)$/.exec(text);
  const bytes = match ? Number(match[1]) * UNITS[match[2]] : Number.NaN;
  if (!(bytes >= MIN_BYTES && bytes <= MAX_BYTES)) {
    throw new UsageError(`--sizes: ${text} is no size from ${MIN_BYTES} B to 64 MiB, such as 64 or 64KiB`);
  }
  return bytes;
}
