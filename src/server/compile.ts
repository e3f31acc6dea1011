import { availableParallelism } from 'node:os';
import {
  ConfigError,
  type ConfigIssue,
  placeFindings,
  type ConfigPath,
  type ConfigSource,
} from '../config/issues.js';
import { http2Defaults } from '../config/http2.js';
import { formatListenAddress } from '../config/listen-address.js';
import type { PublishPlan } from '../gateway/publish-plan.js';
import type { Limits } from '../config/limits.js';
import type { LogLevel } from '../config/logging.js';
import { targetOf } from '../config/routes.js';
import type { Target } from '../config/target.js';
import { SOCKET_MODE } from '../config/socket-mode.js';
import type {
  AdminConfig,
  BackplaneConfig,
  ChannelsConfig,
  Config,
  ListenerConfig,
  RouteConfig,
  UpstreamConfig,
} from '../config/schema.js';
import { configSchema } from '../config/schema.js';
import type { ServerUrl } from '../config/server-url.js';
import type { AdminPlan } from '../admin/server.js';
import type { Http2Plan, ListenerPlan } from '../net/plan.js';
import type { ProxyProtocolPlan } from '../net/proxy-stage.js';
import { compileMatch } from '../route/match.js';
import type { PingPlan, RoutePlan, SidePlan, WebSocketPlan } from '../route/plan.js';
import type { DrainPlan } from '../session/drain.js';
import { operationsPlan, pooledServer } from '../upstream/operations-from-config.js';
import type { ServerPlan, UpstreamPlan, UpstreamTls } from '../upstream/plan.js';
import { compileGateway, compilePublish } from './compile-gateway.js';
import { compileNetworks } from './compile-networks.js';
import { checkOrders, compileIdentity, compileTls, reservedHeaders } from './compile-tls.js';
import { Files } from './files.js';

/** A configuration, compiled and frozen: everything that can be decided before the first client comes. */
export interface Plan {
  readonly listeners: readonly ListenerPlan[];
  readonly upstreams: readonly UpstreamPlan[];
  readonly routes: readonly RoutePlan[];
  /** Undefined: no admin API. */
  readonly admin: AdminPlan | undefined;
  /** Undefined: nobody publishes. */
  readonly publish: PublishPlan | undefined;
  /** Undefined: this node is alone. */
  readonly backplane: BackplaneConfig | undefined;
  readonly channels: ChannelsConfig;
  readonly relay: Config['relay'];
  readonly relayThreads: number;
  /** Undefined: no access log. */
  readonly accessLog: Config['accessLog'];
  readonly logLevel: LogLevel;
  readonly drain: DrainPlan;
  /** Of the whole proxy. */
  readonly limits: Limits;
  readonly reload: Config['reload'];
  /** What is hardly meant about the files that the configuration names: certificates that have expired, and such. */
  readonly warnings: readonly ConfigIssue[];
  /** Those files: absolute names. */
  readonly files: readonly string[];
  /** What it was compiled from, and where that came from: for the next configuration to be compared with. */
  readonly config: Config;
  readonly source: ConfigSource | undefined;
}

/**
 * @param config what `parseConfig` returned
 * @param baseDir the folder that relative file names start from, default the working directory
 * @param source where the configuration came from, so that errors can say so
 * @throws ConfigError with every file that the configuration names and that cannot be used
 */
export function compile(config: Config, baseDir: string = process.cwd(), source?: ConfigSource): Plan {
  const files = new Files(baseDir);
  const upstreams = new Map<string, UpstreamPlan>();
  for (const [id, upstream] of Object.entries(config.upstreams)) {
    upstreams.set(id, compileUpstream(id, upstream, files));
  }
  for (const route of config.routes) {
    const target = targetOf(route);
    if (target !== undefined && 'servers' in target)
      upstreams.set(upstreamId(target), compileOwnUpstream(target.servers, files));
  }
  const listeners = (config.listeners ?? []).map((listener, at) => compileListener(listener, at, files));
  checkOrders(
    listeners.map(({ tls }) => tls),
    files,
  );
  const admin = config.admin && compileAdmin(config.admin, files);
  const publish = config.publish && compilePublish(config.publish, files);
  const reserved = reservedHeaders(config);
  const routes = config.routes.map((route, at) => compileRoute(route, at, reserved, files));
  if (files.findings.length > 0) throw new ConfigError(placeFindings(files.findings, source));
  return Object.freeze({
    listeners: Object.freeze(listeners),
    upstreams: Object.freeze([...upstreams.values()]),
    routes: Object.freeze(routes),
    admin,
    publish,
    backplane: config.backplane && Object.freeze({ ...config.backplane }),
    channels: Object.freeze(config.channels),
    relay: config.relay,
    relayThreads: config.relayThreads === 'auto' ? availableParallelism() : config.relayThreads,
    accessLog: config.accessLog && Object.freeze({ ...config.accessLog }),
    logLevel: config.log.level,
    drain: compileDrain(config.drain),
    limits: Object.freeze({ ...config.limits }),
    reload: Object.freeze({ ...config.reload }),
    warnings: Object.freeze(placeFindings(files.warnings, source)),
    files: Object.freeze(files.names),
    config: freezeAll(config),
    source,
  });
}

function freezeAll<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(freezeAll);
  return value;
}

function compileListener(listener: ListenerConfig, index: number, files: Files): ListenerPlan {
  const { address } = listener;
  const isAnyPort = 'port' in address && address.port === 0;
  return Object.freeze({
    // Several listeners may ask for any free port.
    id: isAnyPort ? `listeners[${index}]` : formatListenAddress(address),
    ...compileAddress(listener, files),
    isTrusted: compileNetworks(listener.trustedProxies),
    proxyProtocol: compileProxyProtocol(listener),
    tls: compileTls(listener.tls, ['listeners', index, 'tls'], files),
    maxHeaderBytes: listener.maxHeaderBytes,
    headerTimeoutMs: listener.headerTimeout,
    keepAliveTimeoutMs: listener.keepAliveTimeout,
    limits: Object.freeze({ ...listener.limits }),
    http2: compileHttp2(listener),
  });
}

/** `auto`: where both sides can agree on it. */
function compileHttp2({ http2, tls }: ListenerConfig): Http2Plan | undefined {
  const wanted = http2 === 'auto' ? tls && http2Defaults : http2;
  return wanted && Object.freeze({ ...wanted });
}

/** Where it listens: the two kinds exclude each other. */
function compileAddress({ address, mode }: ListenerConfig, files: Files) {
  if (!('socketPath' in address)) return { host: address.host, port: address.port, unix: undefined };
  const unix = Object.freeze({ socketPath: files.resolve(address.socketPath), mode: mode ?? SOCKET_MODE });
  return { host: undefined, port: 0, unix };
}

function compileProxyProtocol(listener: ListenerConfig): ProxyProtocolPlan | undefined {
  const { proxyProtocol, trustedProxies, headerTimeout } = listener;
  if (proxyProtocol === undefined) return undefined;
  return Object.freeze({
    isFrom: compileNetworks(proxyProtocol.from ?? trustedProxies),
    timeoutMs: proxyProtocol.timeout ?? headerTimeout,
    maxHeaderBytes: proxyProtocol.maxBytes,
  });
}

function compileUpstream(id: string, upstream: UpstreamConfig, files: Files): UpstreamPlan {
  const servers = upstream.servers.map((server) => pooledServer(compileServer(server.url, files), server));
  const basics = {
    id,
    servers: Object.freeze(servers),
    retries: upstream.retries,
    connectTimeoutMs: upstream.connectTimeout,
    maxIdleConnections: upstream.maxIdleConnections,
    keepAliveTimeoutMs: upstream.keepAliveTimeout,
    maxHeaderBytes: upstream.maxHeaderBytes,
    http2: upstream.http2,
    proxyProtocol: upstream.proxyProtocol,
    tls: compileUpstreamTls(upstream.tls, ['upstreams', id, 'tls'], files),
  };
  return operationsPlan(basics, upstream);
}

/** The upstream of a route that names URLs instead: all defaults. */
function compileOwnUpstream(servers: readonly ServerUrl[], files: Files): UpstreamPlan {
  const id = upstreamId({ servers });
  const urls = servers.map(({ text }) => text);
  const { upstreams } = configSchema.parse({ upstreams: { own: urls }, routes: [{ to: 'own' }] });
  return compileUpstream(id, upstreams['own']!, files);
}

function upstreamId(to: Target): string {
  return 'upstream' in to ? to.upstream : to.servers.map(({ text }) => text).join(',');
}

function compileServer(url: ServerUrl, files: Files): ServerPlan {
  const { text, address, secure, host } = url;
  return Object.freeze({
    id: text,
    address: Object.freeze(
      'socketPath' in address ? { socketPath: files.resolve(address.socketPath) } : { ...address },
    ),
    secure,
    host,
  });
}

function compileUpstreamTls(tls: UpstreamConfig['tls'], path: ConfigPath, files: Files): UpstreamTls {
  return Object.freeze({
    verify: tls.verify,
    ca: tls.ca === undefined ? undefined : files.readCertificates(tls.ca, [...path, 'ca']),
    serverName: tls.serverName,
    identity: compileIdentity(tls, path, files),
  });
}

function compileRoute(
  route: RouteConfig,
  index: number,
  reserved: ReadonlySet<string> | undefined,
  files: Files,
): RoutePlan {
  const target = targetOf(route);
  return Object.freeze({
    id: route.name ?? `routes[${index}]`,
    key: routeKey(route),
    matches: compileMatch(route.match),
    upstream: target === undefined ? '' : upstreamId(target),
    redirect: route.redirect && Object.freeze({ ...route.redirect }),
    gateway: compileGateway(route.gateway, ['routes', index, 'gateway'], files),
    // A handshake gets the same answer as any other request.
    websocket: route.redirect === undefined ? compileWebSocket(route.websocket) : undefined,
    limits: Object.freeze({ ...route.limits }),
    responseTimeoutMs: route.responseTimeout,
    maxBodyBytes: route.maxBodyBytes,
    httpIdleTimeoutMs: route.idleTimeout,
    hostHeader: route.hostHeader,
    forwarded: route.forwarded,
    reservedHeaders: reserved,
  });
}

/** No name begins with a brace. */
function routeKey({ name, match }: RouteConfig): string {
  return name ?? JSON.stringify(match);
}

function compileWebSocket(websocket: RouteConfig['websocket']): WebSocketPlan | undefined {
  if (websocket === undefined) return undefined;
  return Object.freeze({
    generations: new Set(websocket.generations),
    upstreamGeneration: websocket.upstreamGeneration,
    translationBounds: Object.freeze({
      maxMessageBytes: websocket.maxTranslatedBytes,
      maxFragments: websocket.maxTranslatedFragments || Infinity,
    }),
    handshakeTimeoutMs: websocket.handshakeTimeout,
    idleTimeoutMs: websocket.idleTimeout,
    halfCloseTimeoutMs: websocket.halfCloseTimeout,
    maxAgeMs: websocket.maxAge,
    maxAgeJitter: websocket.maxAgeJitter,
    closeTimeoutMs: websocket.closeTimeout,
    fromClient: compileSide(websocket, 'client'),
    fromUpstream: compileSide(websocket, 'upstream'),
    ping: compilePing(websocket.ping),
    maxEarlyBytes: websocket.maxEarlyBytes,
    observe: websocket.observe,
  });
}

type WebSocketConfig = NonNullable<RouteConfig['websocket']>;

function compileSide(websocket: WebSocketConfig, side: 'client' | 'upstream'): SidePlan {
  return Object.freeze({
    maxMessageBytes: websocket.maxMessageBytes[side],
    maxMessagesPerSecond: websocket.maxMessagesPerSecond[side],
    maxBytesPerSecond: websocket.maxBytesPerSecond[side],
  });
}

function compilePing(ping: WebSocketConfig['ping']): PingPlan | undefined {
  if (ping === undefined) return undefined;
  const { interval, timeout, sides } = ping;
  return Object.freeze({
    intervalMs: interval,
    timeoutMs: timeout,
    sides: Object.freeze(sides === 'both' ? (['client', 'upstream'] as const) : [sides]),
  });
}

function compileDrain({ timeout, spread, closeCode, reason }: Config['drain']): DrainPlan {
  return Object.freeze({ timeoutMs: timeout, spreadMs: spread, code: closeCode, reason });
}

function compileAdmin(admin: AdminConfig, files: Files): AdminPlan {
  const { address, token, tokenFile, hosts, headerTimeout, idleTimeout } = admin;
  return Object.freeze({
    address:
      'socketPath' in address
        ? { socketPath: files.resolve(address.socketPath) }
        : Object.freeze({ ...address }),
    token: tokenFile === undefined ? token : files.readToken(tokenFile, ['admin', 'tokenFile']),
    hosts: Object.freeze([...hosts]),
    headerTimeoutMs: headerTimeout,
    idleTimeoutMs: idleTimeout,
  });
}
