import type { z } from 'zod';
import type { serverOperations, upstreamOperations } from '../config/upstream-operations.js';
import type { CheckPlan } from './health/check-plan.js';
import type { PooledServerPlan, ServerPlan, UpstreamPlan } from './plan.js';

export type ServerOperations = {
  [K in keyof typeof serverOperations]: z.output<(typeof serverOperations)[K]>;
};
export type UpstreamOperations = {
  [K in keyof typeof upstreamOperations]: z.output<(typeof upstreamOperations)[K]>;
};

/** A server and the operations keys of its entry, as one plan. */
export function pooledServer(
  server: ServerPlan,
  { weight, maxConnections, srv }: ServerOperations,
): PooledServerPlan {
  return Object.freeze({ ...server, weight, maxConnections, srv });
}

/** The rest of an upstream’s plan that operations need. */
export type UpstreamBasics = Pick<
  UpstreamPlan,
  | 'id'
  | 'servers'
  | 'retries'
  | 'connectTimeoutMs'
  | 'maxIdleConnections'
  | 'keepAliveTimeoutMs'
  | 'maxHeaderBytes'
  | 'proxyProtocol'
  | 'http2'
  | 'tls'
>;

/** An upstream’s plan: what is given, and its operations keys, compiled and frozen. */
export function operationsPlan(basics: UpstreamBasics, config: UpstreamOperations): UpstreamPlan {
  const { hash, sticky, queue, retryBudget, passiveHealth, health, resolve } = config;
  return Object.freeze({
    ...basics,
    balance: config.balance,
    hash: Object.freeze({ ...hash }),
    sticky:
      sticky &&
      Object.freeze({
        cookie: sticky.cookie,
        key: sticky.key,
        path: sticky.path,
        secure: sticky.secure,
        httpOnly: sticky.httpOnly,
        sameSite: sticky.sameSite,
        maxAgeMs: sticky.maxAge,
      }),
    whenGone: sticky?.whenGone ?? 'move',
    slowStartMs: config.slowStart,
    queue: Object.freeze({ size: queue.size, timeoutMs: queue.timeout }),
    retryBudget: retryBudget && Object.freeze({ ...retryBudget }),
    ejection:
      passiveHealth &&
      Object.freeze({
        failures: passiveHealth.failures,
        windowMs: passiveHealth.window,
        baseMs: passiveHealth.time,
        maxMs: Math.max(passiveHealth.time, passiveHealth.maxTime),
        maxShare: passiveHealth.maxShare,
      }),
    check: health && checkPlan(health),
    whenAllDown: health?.whenAllDown ?? 'refuse',
    resolve:
      resolve &&
      Object.freeze({
        family: resolve.family,
        minTtlMs: resolve.minTtl,
        maxTtlMs: Math.max(resolve.minTtl, resolve.maxTtl),
        nameservers: Object.freeze(resolve.nameservers),
      }),
    onServerDown: config.onServerDown,
  });
}

function checkPlan(health: NonNullable<UpstreamOperations['health']>): CheckPlan {
  const { type, path, interval, timeout, rise, fall } = health;
  const headers = Object.freeze(Object.entries(health.headers).map((field) => Object.freeze(field)));
  const statuses = Object.freeze(health.statuses.map((range) => Object.freeze(range)));
  const check = {
    tcp: { kind: 'tcp' },
    http: { kind: 'http', path, statuses, headers },
    websocket: { kind: 'websocket', path, headers },
  } as const;
  return Object.freeze({
    check: Object.freeze(check[type]),
    intervalMs: interval,
    timeoutMs: timeout,
    rise,
    fall,
  });
}
