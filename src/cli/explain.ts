import { formatDuration, formatSize } from '../base/units.js';
import { formatAdminAddress } from '../config/admin-address.js';
import { backplaneKind } from '../config/backplane.js';
import { http2Defaults } from '../config/http2.js';
import { formatListenAddress } from '../config/listen-address.js';
import { formatDurationOrNever } from '../config/quantities.js';
import type { Limits } from '../config/limits.js';
import { SOCKET_MODE } from '../config/socket-mode.js';
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
    ...explainPublish(config),
    ...explainBackplane(config),
    ...explainChannels(config),
    `access log ${explainAccessLog(config)}, log level ${config.log.level}`,
    `limits ${explainLimits(config.limits)}`,
    `drain ${explainDrain(config)}`,
    `reload on SIGHUP${config.reload.watch ? ' and when the file or one that it names changes' : ''}; open WebSockets of changed routes: ${config.reload.changedRoutes}, of removed servers: ${config.reload.removedServers}`,
  ].join('\n');
}

function explainListener(listener: ListenerConfig): string[] {
  const { address, maxHeaderBytes, headerTimeout, keepAliveTimeout, trustedProxies } = listener;
  const { proxyProtocol } = listener;
  return [
    `  ${formatListenAddress(address)}${explainAddress(listener)}`,
    ...explainTls(listener.tls),
    ...explainHttp2(listener),
    `    request heads up to ${formatSize(maxHeaderBytes)} within ${formatDuration(headerTimeout)}; ` +
      `idle connections kept ${formatDuration(keepAliveTimeout)}`,
    `    X-Forwarded-* believed from ${trustedProxies.length === 0 ? 'nobody' : trustedProxies.join(', ')}`,
    ...(proxyProtocol === undefined ? [] : [`    ${explainProxyProtocol(proxyProtocol, listener)}`]),
    `    limits ${explainLimits(listener.limits)}`,
  ];
}

/** Said where there is any. */
function explainHttp2({ http2, tls }: ListenerConfig): string[] {
  const wanted = http2 === 'auto' ? tls && http2Defaults : http2;
  if (wanted === undefined) return [];
  const how = tls === undefined ? 'by prior knowledge' : 'where the client agrees (ALPN)';
  return [`    HTTP/2 ${how}, ${wanted.maxConcurrentStreams} streams a connection`];
}

function explainAddress({ address, mode }: ListenerConfig): string {
  if ('socketPath' in address) return ` (mode 0${(mode ?? SOCKET_MODE).toString(8)})`;
  return address.host === undefined ? ' (every address)' : '';
}

function explainProxyProtocol(
  { from, timeout, maxBytes }: NonNullable<ListenerConfig['proxyProtocol']>,
  { trustedProxies, headerTimeout }: ListenerConfig,
): string {
  const whom = (from ?? trustedProxies).join(', ');
  const within = formatDuration(timeout ?? headerTimeout);
  return `PROXY headers required from ${whom}, up to ${formatSize(maxBytes)} within ${within}`;
}

type AcmeOrderConfig = NonNullable<ListenerConfig['tls']>['acme'][number];

function explainTls(tls: ListenerConfig['tls']): string[] {
  if (tls === undefined) return [];
  const orders = tls.acme.map(({ domains }) => `one for ${domains.join(', ')}`);
  const files = [...tls.certificates.map(({ cert }) => cert), ...orders].join(', ');
  const { mode, ca } = tls.clientCertificates ?? {};
  const clients = mode === undefined ? '' : `; client certificates ${mode}, from ${ca}`;
  return [`    TLS ${tls.minVersion} and later with ${files}${clients}`, ...tls.acme.map(explainOrder)];
}

function explainOrder({ domains, directory, challenge, storage, renewBefore }: AcmeOrderConfig): string {
  const when =
    renewBefore === undefined
      ? 'when a third of its life is left'
      : `${formatDuration(renewBefore)} before its end`;
  return `    ACME: ${domains.join(', ')} by ${challenge} from ${directory}, kept in ${storage}, renewed ${when}`;
}

function explainAccessLog({ accessLog }: Config): string {
  if (accessLog === undefined) return 'off';
  return accessLog.file === undefined ? accessLog.format : `${accessLog.format} in ${accessLog.file}`;
}

function explainLimits({
  connections,
  connectionsPerAddress,
  handshakesPerSecondPerAddress,
}: Limits): string {
  const parts = [
    connections === 0 ? undefined : `${connections} connections`,
    connectionsPerAddress === 0 ? undefined : `${connectionsPerAddress} per address`,
    handshakesPerSecondPerAddress === 0
      ? undefined
      : `${handshakesPerSecondPerAddress} handshakes a second per address`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? 'none' : parts.join(', ');
}

function explainDrain({ drain: { timeout, spread, closeCode } }: Config): string {
  if (timeout === 0) return 'at once';
  const spreading = spread === 0 ? '' : `, spread over ${formatDuration(spread)}`;
  return `within ${formatDuration(timeout)}, with close code ${closeCode}${spreading}`;
}

function explainAdmin({ admin }: Config): string {
  if (admin === undefined) return 'off';
  const isGuarded = admin.token !== undefined || admin.tokenFile !== undefined;
  return `on ${formatAdminAddress(admin.address)}${isGuarded ? ', for those who have the token' : ''}`;
}

function explainPublish({ publish }: Config): string[] {
  if (publish === undefined) return [];
  const { tokens, tokenFile, jwt, basic, aws } = publish.auth;
  const ways = [
    tokens.length > 0 || tokenFile !== undefined ? 'a token' : undefined,
    jwt.length > 0 ? 'a signed token (JWT)' : undefined,
    basic.length > 0 ? 'a name and password' : undefined,
    aws.length > 0 ? 'a key of AWS (for `@connections`)' : undefined,
  ].filter((way) => way !== undefined);
  const who = ways.length === 0 ? 'everybody on this machine' : `those who have ${ways.join(' or ')}`;
  return [`publish on ${formatAdminAddress(publish.address)}, for ${who}`];
}

/** Without names and passwords. */
function explainBackplane({ backplane }: Config): string[] {
  if (backplane === undefined) return [];
  const hosts = backplane.url.map((url) => new URL(url).host);
  const kind =
    backplaneKind(backplane.url) === 'nats' ? 'NATS' : backplane.cluster ? 'a Redis cluster' : 'Redis';
  return [`backplane ${kind} at ${hosts.join(', ')}, under ${backplane.prefix}`];
}

function explainChannels({ channels: { rules } }: Config): string[] {
  return rules.map(({ match, history, presence }) => {
    const kept =
      history === undefined
        ? 'no history'
        : `the last ${history.maxMessages} messages, for ${formatDuration(history.maxAge)}, up to ${formatSize(history.maxBytes)}`;
    return `channels ${match}: ${kept}${presence ? ', and who listens' : ''}`;
  });
}

function explainUpstream([name, upstream]: readonly [string, UpstreamConfig]): string[] {
  const { connectTimeout, retries, maxIdleConnections, keepAliveTimeout } = upstream;
  return [
    `  ${name}`,
    ...upstream.servers.map((server) => `    ${explainServer(server, upstream)}`),
    ...explainOperations(upstream).map((line) => `    ${line}`),
    ...(upstream.proxyProtocol === undefined
      ? []
      : [`    each connection begins with a PROXY header, ${upstream.proxyProtocol}`]),
    `    connect within ${formatDuration(connectTimeout)}; ${explainRetries(retries, upstream)}; ` +
      `up to ${maxIdleConnections} idle connections per server kept ${formatDuration(keepAliveTimeout)}; ` +
      `response heads up to ${formatSize(upstream.maxHeaderBytes)}`,
  ];
}

function explainRoute(route: RouteConfig, index: number, config: Config): string[] {
  const name = route.name === undefined ? '' : `${route.name}: `;
  if (route.redirect !== undefined) {
    return [`  ${index + 1}. ${name}${describeMatch(route)}  →  ${describeTarget(route, config)}`];
  }
  const host = route.hostHeader === 'client' ? 'the client’s' : 'the server’s';
  return [
    `  ${index + 1}. ${name}${describeMatch(route)}  →  ${describeTarget(route, config)}`,
    `     WebSocket: ${explainWebSocket(route.websocket)}`,
    ...(route.websocket === undefined ? [] : [`     limits ${explainLimits(route.limits)}`]),
    `     HTTP: response within ${formatDuration(route.responseTimeout)}, ` +
      `idle ${formatDurationOrNever(route.idleTimeout)}, ` +
      `bodies up to ${route.maxBodyBytes === 0 ? 'any size' : formatSize(route.maxBodyBytes)}`,
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
    ...explainTranslation(websocket),
    `handshake within ${formatDuration(websocket.handshakeTimeout)}`,
    `idle ${formatDurationOrNever(websocket.idleTimeout)}`,
    `half-closed ${formatDurationOrNever(websocket.halfCloseTimeout)}`,
    `age ${formatDurationOrNever(websocket.maxAge)}`,
    `close answered within ${formatDurationOrNever(websocket.closeTimeout)}`,
    explainPing(websocket.ping),
    ...explainSide('client', websocket),
    ...explainSide('upstream', websocket),
    `up to ${formatSize(websocket.maxEarlyBytes)} early`,
    websocket.observe ? 'frames counted' : 'frames not looked at',
  ].join(', ');
}

type WebSocketConfig = NonNullable<RouteConfig['websocket']>;

function explainTranslation(websocket: WebSocketConfig): string[] {
  const { upstreamGeneration, maxTranslatedBytes, maxTranslatedFragments } = websocket;
  if (upstreamGeneration === 'same') return [];
  const fragments = maxTranslatedFragments === 0 ? '' : ` in ${maxTranslatedFragments} fragments`;
  return [
    `servers spoken to in ${upstreamGeneration}, messages up to ${formatSize(maxTranslatedBytes)}${fragments}`,
  ];
}

function explainPing(ping: WebSocketConfig['ping']): string {
  if (ping === undefined) return 'no pings';
  const { interval, timeout, sides } = ping;
  const whom = sides === 'both' ? 'both sides' : `the ${sides}`;
  return `${whom} pinged after ${formatDuration(interval)}, lost ${formatDuration(timeout)} later`;
}

function explainSide(side: 'client' | 'upstream', websocket: WebSocketConfig): string[] {
  const { maxMessageBytes, maxMessagesPerSecond, maxBytesPerSecond } = websocket;
  return [
    ...(maxMessageBytes[side] === 0 ? [] : [`${side} messages up to ${formatSize(maxMessageBytes[side])}`]),
    ...(maxMessagesPerSecond[side] === 0 ? [] : [`${maxMessagesPerSecond[side]} ${side} messages a second`]),
    ...(maxBytesPerSecond[side] === 0
      ? []
      : [`${formatSize(maxBytesPerSecond[side])} a second from the ${side}`]),
  ];
}
