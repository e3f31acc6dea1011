import { isIP } from 'node:net';
import { generations } from '../protocol/handshake/types.js';
import { isTranslatable } from '../protocol/translate/generations.js';
import { hostCovers, type HostPattern } from './host-pattern.js';
import { placeFindings, type ConfigIssue, type ConfigSource, type Finding } from './issues.js';
import { UNIX_PEERS } from './networks.js';
import { pathCovers, type PathPattern } from './path-pattern.js';
import { targetOf } from './routes.js';
import type { Config, RouteConfig, UpstreamConfig } from './schema.js';

/** What is allowed but hardly meant: routes that are never reached, upstreams that nobody uses, keys without effect. */
export function findWarnings(config: Config, source?: ConfigSource): ConfigIssue[] {
  return placeFindings(
    [
      ...unixOnly(config),
      ...unreachableRoutes(config.routes),
      ...unusedUpstreams(config),
      ...idleTls(config),
      ...twins(config),
      ...idleOperations(config),
      ...untranslatableGenerations(config.routes),
      ...unansweredChallenges(config),
    ],
    source,
  );
}

/** What only peers of unix sockets, and their files, have. */
function unixOnly({ listeners = [] }: Config): Finding[] {
  return listeners.flatMap(({ address, mode, trustedProxies, proxyProtocol }, at): Finding[] => {
    const findings: Finding[] = [];
    const warn = (path: readonly string[], message: string) =>
      findings.push({ path: ['listeners', at, ...path], message });
    const isUnix = 'socketPath' in address;
    const lists = [
      [['trustedProxies'], trustedProxies],
      [['proxyProtocol', 'from'], proxyProtocol?.from ?? []],
    ] as const;
    for (const [path, networks] of lists) {
      const idle = networks.filter((network) => (network === UNIX_PEERS) !== isUnix);
      if (idle.length === 0) continue;
      const who = isUnix
        ? `everybody who comes by a unix socket is \`${UNIX_PEERS}\``
        : 'nobody comes to a port by a unix socket';
      warn(path, `${idle.join(', ')} has no effect: ${who}`);
    }
    if (mode !== undefined && !isUnix) warn(['mode'], 'has no effect: only a unix socket has a mode');
    return findings;
  });
}

/** An authority asks by plain HTTP at first. */
function unansweredChallenges({ listeners = [] }: Config): Finding[] {
  if (listeners.some(({ tls, address }) => tls === undefined && 'port' in address)) return [];
  return listeners.flatMap(({ tls }, at) =>
    (tls?.acme ?? []).flatMap(({ challenge }, order): Finding[] => {
      if (challenge !== 'http-01') return [];
      const message =
        'http-01 is asked for by plain HTTP at port 80, and there is no listener without TLS; add one, or take tls-alpn-01';
      return [{ path: ['listeners', at, 'tls', 'acme', order, 'challenge'], message }];
    }),
  );
}

function unreachableRoutes(routes: readonly RouteConfig[]): Finding[] {
  return routes.flatMap((route, at): Finding[] => {
    const earlier = routes.slice(0, at).findIndex((other) => routeCovers(other, route));
    if (earlier === -1) return [];
    const name = routes[earlier]!.name;
    const taker = name === undefined ? `routes[${earlier}]` : `routes[${earlier}] (${name})`;
    const message = `never reached: ${taker} comes first and takes every request that fits here`;
    return [{ path: ['routes', at], message }];
  });
}

function routeCovers(a: RouteConfig, b: RouteConfig): boolean {
  // It lets pass what came over TLS.
  if (a.redirect !== undefined && b.redirect === undefined) return false;
  const hosts = b.match.host ?? [undefined];
  const paths = b.match.path ?? [undefined];
  return (
    hosts.every((host) => anyHostCovers(a.match.host, host)) &&
    paths.every((path) => anyPathCovers(a.match.path, path))
  );
}

function anyHostCovers(patterns: readonly HostPattern[] | undefined, host: HostPattern | undefined): boolean {
  if (patterns === undefined) return true;
  return host !== undefined && patterns.some((pattern) => hostCovers(pattern, host));
}

function anyPathCovers(patterns: readonly PathPattern[] | undefined, path: PathPattern | undefined): boolean {
  if (patterns === undefined) return true;
  return patterns.some((pattern) => pathCovers(pattern, path ?? everything));
}

const everything: PathPattern = { text: '/*', segments: [], below: true };

function unusedUpstreams(config: Config): Finding[] {
  const used = new Set(
    config.routes.map((route) => {
      const target = targetOf(route);
      return target !== undefined && 'upstream' in target ? target.upstream : '';
    }),
  );
  return Object.keys(config.upstreams)
    .filter((name) => !used.has(name))
    .map((name) => ({ path: ['upstreams', name], message: 'no route leads to this upstream' }));
}

function idleTls(config: Config): Finding[] {
  return Object.entries(config.upstreams).flatMap(([name, { tls, servers }]): Finding[] => {
    const isSet =
      !tls.verify || tls.ca !== undefined || tls.serverName !== undefined || tls.cert !== undefined;
    if (!isSet || servers.some(({ url }) => url.secure)) return [];
    return [{ path: ['upstreams', name, 'tls'], message: 'has no effect: no server has an https: URL' }];
  });
}

function twins(config: Config): Finding[] {
  return Object.entries(config.upstreams).flatMap(([name, { servers }]) =>
    servers.flatMap(({ url }, at): Finding[] => {
      const first = servers.findIndex((other) => other.url.text === url.text);
      if (first === at) return [];
      return [
        {
          path: ['upstreams', name, 'servers', at],
          message: `${url.text} is listed twice; it gets two turns`,
        },
      ];
    }),
  );
}

/** Keys of an upstream that do nothing without another one. */
function idleOperations(config: Config): Finding[] {
  return Object.entries(config.upstreams).flatMap(([name, upstream]): Finding[] => {
    const { balance, hash, sticky, health, onServerDown } = upstream;
    const findings: Finding[] = [];
    const warn = (key: string, message: string) => findings.push({ path: ['upstreams', name, key], message });
    if (sticky !== undefined && isAlone(upstream)) {
      warn('sticky', 'has no effect: there is only one server to stick to');
    }
    if (balance !== 'hash' && hash.kind !== 'client-address') {
      warn('hash', `has no effect: balance is ${balance}, not hash`);
    }
    if (onServerDown === 'close' && health === undefined) {
      warn('onServerDown', 'has no effect: without health no server is ever found down');
    }
    return findings;
  });
}

/** Whether there is one server and will never be another: a name that is looked up may stand for several. */
function isAlone({ servers, resolve }: UpstreamConfig): boolean {
  return (
    servers.length === 1 &&
    servers.every(({ url: { address }, srv }) => {
      const name = 'host' in address && isIP(address.host) === 0 ? address.host : undefined;
      return name === undefined || (resolve === undefined && !srv && !name.startsWith('_'));
    })
  );
}

/** Named one by one as taken, and yet refused, because the servers are to be spoken to in another. */
function untranslatableGenerations(routes: readonly RouteConfig[]): Finding[] {
  return routes.flatMap(({ websocket }, at): Finding[] => {
    if (websocket === undefined || websocket.upstreamGeneration === 'same') return [];
    const taken = websocket.generations;
    if (generations.every((generation) => taken.includes(generation))) return [];
    const lost = taken.filter((generation) => !isTranslatable(generation));
    if (lost.length === 0) return [];
    const message = `${lost.join(', ')}: answered 426, for there is no translation into ${websocket.upstreamGeneration}`;
    return [{ path: ['routes', at, 'websocket', 'generations'], message }];
  });
}
