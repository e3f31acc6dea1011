import { formatDuration, formatSize } from '../base/units.js';
import { formatAdminAddress } from '../config/admin-address.js';
import { formatListenAddress } from '../config/listen-address.js';
import { formatDurationOrNever } from '../config/quantities.js';
import type { Config, ListenerConfig, RouteConfig, UpstreamConfig } from '../config/schema.js';
import { generations } from '../protocol/handshake/types.js';
import { explainOperations, explainRetries, explainServer } from './explain-upstream.js';
import { describeMatch, describeTarget } from './summary.js';

/** Everything that was understood, defaults included, for a person to compare with what was meant. */
export function explainConfig(config: Config): string {
  return [
    'listeners',
    ...(config.listeners ?? []).flatMap(explainListener),
    ...(Object.keys(config.upstreams).length === 0 ? [] : ['', 'upstreams']),
    ...Object.entries(config.upstreams).flatMap(explainUpstream),
    '',
    'routes, the first that fits takes the request',
    ...config.routes.flatMap((route, index) => explainRoute(route, index, config)),
    '',
    `relay ${config.relay}`,
    `admin API ${explainAdmin(config)}`,
    `access log ${config.accessLog?.format ?? 'off'}, log level ${config.log.level}`,
    `drain ${config.drain.timeout === 0 ? 'at once' : `within ${formatDuration(config.drain.timeout)}`}`,
  ].join('\n');
}

function explainListener(listener: ListenerConfig): string[] {
  const { address, maxHeaderBytes, headerTimeout, keepAliveTimeout, trustedProxies } = listener;
  return [
    `  ${formatListenAddress(address)}${address.host === undefined ? ' (every address)' : ''}`,
    `    request heads up to ${formatSize(maxHeaderBytes)} within ${formatDuration(headerTimeout)}; ` +
      `idle connections kept ${formatDuration(keepAliveTimeout)}`,
    `    X-Forwarded-* believed from ${trustedProxies.length === 0 ? 'nobody' : trustedProxies.join(', ')}`,
  ];
}

function explainAdmin({ admin }: Config): string {
  if (admin === undefined) return 'off';
  const isGuarded = admin.token !== undefined || admin.tokenFile !== undefined;
  return `on ${formatAdminAddress(admin.address)}${isGuarded ? ', for those who have the token' : ''}`;
}

function explainUpstream([name, upstream]: readonly [string, UpstreamConfig]): string[] {
  const { connectTimeout, retries, maxIdleConnections, keepAliveTimeout } = upstream;
  return [
    `  ${name}`,
    ...upstream.servers.map((server) => `    ${explainServer(server, upstream)}`),
    ...explainOperations(upstream).map((line) => `    ${line}`),
    `    connect within ${formatDuration(connectTimeout)}; ${explainRetries(retries, upstream)}; ` +
      `up to ${maxIdleConnections} idle connections per server kept ${formatDuration(keepAliveTimeout)}; ` +
      `response heads up to ${formatSize(upstream.maxHeaderBytes)}`,
  ];
}

function explainRoute(route: RouteConfig, index: number, config: Config): string[] {
  const name = route.name === undefined ? '' : `${route.name}: `;
  const host = route.hostHeader === 'client' ? 'the client’s' : 'the server’s';
  return [
    `  ${index + 1}. ${name}${describeMatch(route)}  →  ${describeTarget(route.to, config)}`,
    `     WebSocket: ${explainWebSocket(route.websocket)}`,
    `     HTTP: response within ${formatDuration(route.responseTimeout)}, ` +
      `idle ${formatDurationOrNever(route.idleTimeout)}`,
    `     Host is ${host}; forwarded: ${route.forwarded}`,
  ];
}

function explainWebSocket(websocket: RouteConfig['websocket']): string {
  if (websocket === undefined) return 'not taken';
  const taken = generations.every((generation) => websocket.generations.includes(generation))
    ? 'every generation'
    : websocket.generations.join(', ');
  return [
    taken,
    `handshake within ${formatDuration(websocket.handshakeTimeout)}`,
    `idle ${formatDurationOrNever(websocket.idleTimeout)}`,
    `half-closed ${formatDurationOrNever(websocket.halfCloseTimeout)}`,
    `age ${formatDurationOrNever(websocket.maxAge)}`,
    `up to ${formatSize(websocket.maxEarlyBytes)} early`,
    websocket.observe ? 'frames counted' : 'frames not looked at',
  ].join(', ');
}
