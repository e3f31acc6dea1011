import { parseAdminAddress } from './admin-address.js';
import type { Finding } from './issues.js';
import { formatListenAddress, overlap, parseListenAddress, type ListenAddress } from './listen-address.js';
import { nearest } from './nearest.js';
import { routeKeys } from './routes.js';
import { NAME } from './upstreams.js';

export interface CrossCheckOptions {
  /** Whether a configuration without listeners is an error. */
  readonly needsListeners?: boolean;
}

/**
 * What no single key can tell: references and duplicates. These read the configuration as written and pass over what
 * has another shape than they expect, so that they report even while the schema has complaints of its own.
 */
export function crossCheck(written: unknown, options: CrossCheckOptions = {}): Finding[] {
  const root = asRecord(written);
  return [
    ...(options.needsListeners ? checkThatListens(written) : []),
    ...checkListeners(asList(root['listeners'])),
    ...checkProxyProtocol(asList(root['listeners'])),
    ...checkApi('admin', root['admin'], asList(root['listeners'])),
    ...checkApi('publish', root['publish'], asList(root['listeners'])),
    ...checkApis(root['admin'], root['publish']),
    ...checkUpstreamNames(asRecord(root['upstreams'])),
    ...checkUpstreamHttp2(asRecord(root['upstreams'])),
    ...checkRoutes(asList(root['routes']), Object.keys(asRecord(root['upstreams']))),
  ];
}

function checkThatListens(written: unknown): Finding[] {
  if (typeof written !== 'object' || written === null || Array.isArray(written)) return [];
  const listeners = asRecord(written)['listeners'];
  const isEmpty = Array.isArray(listeners) && listeners.length === 0;
  if (listeners !== undefined && !isEmpty) return [];
  const message = 'expected at least one listener, such as `- address: 0.0.0.0:8080`; found none';
  return [{ path: ['listeners'], message }];
}

function checkListeners(entries: readonly unknown[]): Finding[] {
  const seen: { readonly at: number; readonly address: ListenAddress }[] = [];
  return entries.flatMap((entry, at): Finding[] => {
    const { text, isShort } = addressOf(entry);
    const parsed = text === undefined ? undefined : parseListenAddress(text);
    if (!parsed?.ok) return [];
    const address = parsed.value;
    const other = seen.find((one) => overlap(one.address, address));
    seen.push({ at, address });
    if (other === undefined) return [];
    const path = isShort ? ['listeners', at] : ['listeners', at, 'address'];
    const taken = formatListenAddress(other.address);
    return [
      { path, message: `${formatListenAddress(address)} is taken by listeners[${other.at}] (${taken})` },
    ];
  });
}

/** A header that anybody may send would let anybody be anybody. */
function checkProxyProtocol(entries: readonly unknown[]): Finding[] {
  return entries.flatMap((entry, at): Finding[] => {
    const { proxyProtocol, trustedProxies } = asRecord(entry);
    const isOn = proxyProtocol === true || (typeof proxyProtocol === 'object' && proxyProtocol !== null);
    const from = asRecord(proxyProtocol)['from'] ?? trustedProxies ?? [];
    if (!isOn || !Array.isArray(from) || from.length > 0) return [];
    const message =
      'expected to be told whose PROXY headers to take: add the addresses of the proxies to `trustedProxies`, or write `proxyProtocol: { from: 10.0.0.0/8 }`';
    return [{ path: ['listeners', at, 'proxyProtocol'], message }];
  });
}

/** The admin API, or where backends publish: not where clients come in. */
function checkApi(key: 'admin' | 'publish', written: unknown, listeners: readonly unknown[]): Finding[] {
  const { text, isShort } = addressOf(written);
  const parsed = text === undefined ? undefined : parseAdminAddress(text);
  if (!parsed?.ok) return [];
  const own = parsed.value;
  return listeners.flatMap((entry, at): Finding[] => {
    const other = addressOf(entry).text;
    const taken = other === undefined ? undefined : parseListenAddress(other);
    if (!taken?.ok || !overlap(own, taken.value)) return [];
    const message = `${formatListenAddress(own)} is taken by listeners[${at}] (${formatListenAddress(taken.value)})`;
    return [{ path: isShort ? [key] : [key, 'address'], message }];
  });
}

/** Nor one where the other is. */
function checkApis(admin: unknown, publish: unknown): Finding[] {
  const [one, other] = [admin, publish].map((written) => {
    const { text } = addressOf(written);
    const parsed = text === undefined ? undefined : parseAdminAddress(text);
    return parsed?.ok ? parsed.value : undefined;
  });
  if (one === undefined || other === undefined || !overlap(one, other)) return [];
  const message = `${formatListenAddress(other)} is taken by \`admin\` (${formatListenAddress(one)})`;
  return [{ path: addressOf(publish).isShort ? ['publish'] : ['publish', 'address'], message }];
}

/** Of an object with `address`, or of the address alone. */
function addressOf(entry: unknown): {
  readonly text: string | number | undefined;
  readonly isShort: boolean;
} {
  const isShort = typeof entry === 'string' || typeof entry === 'number';
  const text = isShort ? entry : asRecord(entry)['address'];
  return { text: typeof text === 'string' || typeof text === 'number' ? text : undefined, isShort };
}

function checkUpstreamNames(upstreams: Readonly<Record<string, unknown>>): Finding[] {
  // Records pass over this one key without a word.
  if (!Object.hasOwn(upstreams, '__proto__')) return [];
  return [{ path: ['upstreams', '__proto__'], message: 'this name cannot be used' }];
}

/** A PROXY header speaks for one client, and a connection of HTTP/2 carries many. */
function checkUpstreamHttp2(upstreams: Readonly<Record<string, unknown>>): Finding[] {
  return Object.entries(upstreams).flatMap(([name, upstream]): Finding[] => {
    const { http2, proxyProtocol } = asRecord(upstream);
    if ((http2 !== true && http2 !== 'auto') || typeof proxyProtocol !== 'string') return [];
    const message =
      'cannot go together with `proxyProtocol`: a connection of HTTP/2 carries many clients; leave one of them out';
    return [{ path: ['upstreams', name, 'http2'], message }];
  });
}

function checkRoutes(routes: readonly unknown[], upstreams: readonly string[]): Finding[] {
  const names = new Map<string, number>();
  return routes.flatMap((entry, at) => {
    const { name, to, gateway } = asRecord(entry);
    const findings: Finding[] = [];
    if (typeof name === 'string') {
      const first = names.get(name);
      if (first === undefined) names.set(name, at);
      else {
        const message = `the name ${JSON.stringify(name)} is taken by routes[${first}]`;
        findings.push({ path: ['routes', at, 'name'], message });
      }
    }
    findings.push(...checkRedirect(asRecord(entry), at), ...checkGateway(asRecord(entry), at));
    const targets = [
      [to, ['to']],
      [asRecord(gateway)['to'], ['gateway', 'to']],
    ] as const;
    for (const [written, path] of targets) {
      const target: unknown = Array.isArray(written) && written.length === 1 ? written[0] : written;
      if (typeof target === 'string' && NAME.test(target) && !upstreams.includes(target)) {
        findings.push({ path: ['routes', at, ...path], ...noUpstream(target, upstreams) });
      }
    }
    return findings;
  });
}

/** Requests that are sent away need no more than to be told apart. `to` and keys unknown are for the schema to say. */
function checkRedirect(route: Readonly<Record<string, unknown>>, at: number): Finding[] {
  if (route['redirect'] === undefined) return [];
  const message = 'has no effect beside `redirect`, which takes only `name` and `match`; leave it out';
  return routeKeys
    .filter((key) => !BESIDE_REDIRECT.has(key) && route[key] !== undefined)
    .map((key) => ({ path: ['routes', at, key], message }));
}

/** A WebSocket that ends here is not relayed, nor translated for its backend; the gateway has a size of its own. */
function checkGateway({ gateway, websocket }: Readonly<Record<string, unknown>>, at: number): Finding[] {
  if (gateway === undefined) return [];
  return Object.keys(asRecord(websocket))
    .filter((key) => NOT_OF_GATEWAYS.has(key))
    .map((key) => {
      const instead = key === 'maxMessageBytes' ? '`gateway.maxMessageBytes` is what counts; ' : '';
      return {
        path: ['routes', at, 'websocket', key],
        message: `has no effect beside \`gateway\`: ${instead}leave it out`,
      };
    });
}

const NOT_OF_GATEWAYS: ReadonlySet<string> = new Set([
  'upstreamGeneration',
  'maxTranslatedBytes',
  'maxMessageBytes',
  'maxMessagesPerSecond',
  'maxBytesPerSecond',
  'observe',
]);

const BESIDE_REDIRECT: ReadonlySet<string> = new Set(['name', 'match', 'to', 'redirect']);

function noUpstream(name: string, upstreams: readonly string[]): Omit<Finding, 'path'> {
  const suggestion = nearest(name, upstreams);
  if (suggestion !== undefined) return { message: `no upstream named ${JSON.stringify(name)}`, suggestion };
  const there = upstreams.length === 0 ? 'there are none' : `there are ${upstreams.join(', ')}`;
  return {
    message: `no upstream named ${JSON.stringify(name)}; ${there}, or write a URL such as http://127.0.0.1:3001`,
  };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
