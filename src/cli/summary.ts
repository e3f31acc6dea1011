import { formatAdminAddress, type AdminAddress } from '../config/admin-address.js';
import { targetOf } from '../config/routes.js';
import type { Config, RouteConfig } from '../config/schema.js';
import type { ListenerAddress } from '../net/listener.js';

export interface Start {
  readonly config: Config;
  /** The file the configuration came from. */
  readonly from: string | undefined;
  /** Where the proxy really listens. */
  readonly listeners: readonly Omit<ListenerAddress, 'id'>[];
  /** Where the admin API really listens. */
  readonly admin: AdminAddress | undefined;
  /** Where backends really publish. */
  readonly publish: AdminAddress | undefined;
  readonly engine: string;
  /** Why the native engine is not in use although it was wanted. */
  readonly missingEngine: string | undefined;
}

/** What a proxy tells when it has started: where it listens, what goes where, which engine moves the bytes. */
export function describeStart({
  config,
  from,
  listeners,
  admin,
  publish,
  engine,
  missingEngine,
}: Start): string {
  const routes = config.routes.map((route) => [describeMatch(route), describeTarget(route, config)] as const);
  const why = missingEngine === undefined ? '' : ` (no native engine: ${missingEngine})`;
  const width = Math.min(60, Math.max(...routes.map(([match]) => match.length)));
  return [
    `Tidegate is running${from === undefined ? '' : ` as ${from} says`}; relay engine: ${engine}${why}`,
    ...listeners.map((listener) => `  listening on ${describeListening(listener)}`),
    ...(admin === undefined ? [] : [`  admin API on ${formatAdminAddress(admin)}`]),
    ...(publish === undefined ? [] : [`  backends publish to ${formatAdminAddress(publish)}`]),
    ...routes.map(([match, target]) => `  ${match.padEnd(width)}  →  ${target}`),
  ].join('\n');
}

/** `chat.example.com /socket.io/*`; lists with commas. */
export function describeMatch({ match }: RouteConfig): string {
  const hosts = match.host?.map(({ text }) => text).join(', ');
  const paths = match.path?.map(({ text }) => text).join(', ');
  if (hosts === undefined && paths === undefined) return 'everything';
  return [hosts, paths ?? 'every path'].filter((part) => part !== undefined).join(' ');
}

/** `chat (http://127.0.0.1:3001, unix:/run/chat.sock)`, or the URLs alone. */
export function describeTarget(route: RouteConfig, { upstreams }: Config): string {
  const { redirect, gateway } = route;
  const target = targetOf(route);
  if (target === undefined) {
    const port = redirect!.port === 443 ? '' : `, port ${redirect!.port}`;
    return `redirected to https${port} (${redirect!.status}), unless it came over TLS`;
  }
  const how = gateway === undefined ? '' : 'as a gateway, by HTTP, to ';
  if ('servers' in target) return how + target.servers.map(({ text }) => text).join(', ');
  const servers = upstreams[target.upstream]!.servers.map(({ url }) => url.text);
  return `${how}${target.upstream} (${servers.join(', ')})`;
}

/** `http://127.0.0.1:8080`, which port of every address, or `unix:PATH`. */
export function describeListening({ host, port, socketPath, secure }: Omit<ListenerAddress, 'id'>): string {
  if (socketPath !== undefined) return `unix:${socketPath}${secure ? ' with TLS' : ''}`;
  const scheme = secure ? 'https' : 'http';
  if (host === '::' || host === '0.0.0.0') {
    const which = host === '::' ? 'every address' : 'every IPv4 address';
    return `port ${port} on ${which} (${scheme}://localhost:${port})`;
  }
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
