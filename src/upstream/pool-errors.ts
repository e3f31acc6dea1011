import { ProxyError } from '../base/errors.js';
import type { PoolServer } from './pool-server.js';

/** Why an upstream has nobody for a request, a line each. */

export function noneUsable(upstream: string, servers: readonly PoolServer[]): ProxyError {
  const down = servers.filter(({ health }) => health.status === 'down');
  const first = down[0];
  const why =
    first === undefined
      ? servers.length === 0
        ? 'has no server'
        : 'has only servers of weight 0'
      : `has no server that is up; ${first.id} is down: ${first.health.reason}${down.length > 1 ? `; and ${down.length - 1} more` : ''}`;
  return new ProxyError('UPSTREAM_UNAVAILABLE', `upstream ${upstream} ${why}`);
}

export function upstreamClosed(upstream: string): ProxyError {
  return new ProxyError('UPSTREAM_UNAVAILABLE', `upstream ${upstream} was taken out of the configuration`);
}

export function serverGone(upstream: string, server: PoolServer | undefined): ProxyError {
  const why =
    server === undefined || server.isLeaving
      ? 'the server that the client sticks to has left'
      : `${server.id}, which the client sticks to, is ${server.health.status}: ${server.health.reason}`;
  return new ProxyError('UPSTREAM_SERVER_GONE', `upstream ${upstream}: ${why}`);
}

export function queueFull(upstream: string, size: number): ProxyError {
  const line = size === 0 ? 'and nobody may wait (queue.size: 0)' : `and ${size} are waiting already`;
  return new ProxyError(
    'UPSTREAM_FULL',
    `upstream ${upstream}: every server has its maxConnections, ${line}`,
  );
}

export function queueTimeout(upstream: string, afterMs: number): ProxyError {
  const detail = `upstream ${upstream}: every server had its maxConnections for ${afterMs} ms`;
  return new ProxyError('UPSTREAM_QUEUE_TIMEOUT', detail);
}
