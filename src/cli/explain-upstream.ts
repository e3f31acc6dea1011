import { formatDuration } from '../base/units.js';
import type { UpstreamConfig } from '../config/schema.js';

type ServerConfig = UpstreamConfig['servers'][number];

/** One server: its URL, and what is not as usual. */
export function explainServer({ url, weight, maxConnections, srv }: ServerConfig, upstream: UpstreamConfig) {
  const notes = [
    ...(weight === 1 ? [] : [`weight ${weight}`]),
    ...(maxConnections === 0 ? [] : [`at most ${maxConnections} connections`]),
    ...(srv ? ['by its SRV records'] : []),
    ...(url.secure ? [explainTls(upstream.tls)] : []),
  ];
  return `${url.text}${notes.length === 0 ? '' : `  (${notes.join(', ')})`}`;
}

function explainTls({ verify, ca, serverName }: UpstreamConfig['tls']): string {
  const name = serverName === undefined ? '' : ` as ${serverName}`;
  if (!verify) return `certificate not verified${name === '' ? '' : `, asked for${name}`}`;
  return `certificate verified${ca === undefined ? '' : ` with ${ca}`}${name}`;
}

/** How the servers are chosen, watched and found. */
export function explainOperations(upstream: UpstreamConfig): string[] {
  return [
    [explainBalance(upstream), explainSticky(upstream.sticky), explainQueue(upstream)],
    [explainHealth(upstream), explainPassiveHealth(upstream.passiveHealth)],
    [explainNames(upstream.resolve)],
  ].flatMap((parts) => {
    const said = parts.filter((part) => part !== undefined);
    return said.length === 0 ? [] : [said.join('; ')];
  });
}

function explainBalance({ balance, hash, slowStart }: UpstreamConfig): string {
  const by = balance === 'hash' ? ` of ${'name' in hash ? `${hash.kind} ${hash.name}` : hash.kind}` : '';
  return `${balance}${by}${slowStart === 0 ? '' : `, slow start over ${formatDuration(slowStart)}`}`;
}

function explainSticky(sticky: UpstreamConfig['sticky']): string | undefined {
  if (sticky === undefined) return undefined;
  const key = sticky.key === undefined ? 'a key of this process' : 'a key of its own';
  const gone = sticky.whenGone === 'move' ? 'moved' : 'refused';
  return `clients stick by the cookie ${sticky.cookie}, signed with ${key}, and are ${gone} when their server has gone`;
}

function explainQueue({ queue, servers }: UpstreamConfig): string | undefined {
  if (servers.every(({ maxConnections }) => maxConnections === 0)) return undefined;
  if (queue.size === 0) return 'nobody waits for room';
  return `up to ${queue.size} wait ${formatDuration(queue.timeout)} for room`;
}

function explainHealth({ health, onServerDown }: UpstreamConfig): string | undefined {
  if (health === undefined) return undefined;
  const { type, path, interval, timeout, rise, fall, whenAllDown } = health;
  const what = type === 'tcp' ? 'a TCP connection' : `${type === 'http' ? 'GET' : 'WebSocket'} ${path}`;
  return [
    `checked every ${formatDuration(interval)} by ${what} within ${formatDuration(timeout)}`,
    `${fall} failures take a server down, ${rise} successes bring it up`,
    `its WebSockets are ${onServerDown === 'keep' ? 'kept' : 'closed'}`,
    ...(whenAllDown === 'try' ? ['tried all the same when all are down'] : []),
  ].join(', ');
}

function explainPassiveHealth(passive: UpstreamConfig['passiveHealth']): string {
  if (passive === undefined) return 'nobody is ejected';
  const { failures, window, time } = passive;
  return `${failures} failures within ${formatDuration(window)} eject a server for ${formatDuration(time)}`;
}

function explainNames(resolve: UpstreamConfig['resolve']): string | undefined {
  if (resolve === undefined) return undefined;
  const { family, maxTtl, nameservers } = resolve;
  const asked = nameservers.length === 0 ? '' : ` at ${nameservers.join(', ')}`;
  return `names looked up${asked} (${family}), again at the latest after ${formatDuration(maxTtl)}`;
}

/** `2 retries, which in all may be 20% of the requests and 10 a second more`. */
export function explainRetries(retries: number, { retryBudget }: UpstreamConfig): string {
  if (retries === 0 || retryBudget === undefined) return `${retries} retries`;
  const { share, minPerSecond } = retryBudget;
  return `${retries} retries, in all up to ${Math.round(share * 100)}% of the requests and ${minPerSecond} a second`;
}
