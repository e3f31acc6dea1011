import { expect, it } from 'vitest';
import { Counters } from './counters.js';
import { Events } from './events.js';
import type { AccessRecord, SessionInfo } from './record.js';

const session: SessionInfo = {
  id: 'x',
  openedAt: new Date(0),
  client: '192.0.2.1',
  host: 'a.example',
  path: '/',
  via: 'h1',
  generation: 'rfc6455',
  subprotocol: undefined,
  route: 'chat',
  upstream: 'u',
  server: 's',
};

const request: AccessRecord = {
  time: new Date(0).toISOString(),
  client: '192.0.2.1',
  method: 'GET',
  path: '/',
  status: 200,
  via: 'h1',
  durationMs: 1,
  bytesFromClient: 0,
  bytesFromUpstream: 0,
};

it('counts sessions by route and outcome, and all together', () => {
  const events = new Events();
  const counters = new Counters(events);
  for (const route of ['chat', 'chat', 'chat', 'live']) events.emit('session.opened', { ...session, route });
  events.emit('session.closed', { ...request, outcome: 'client-closed', messagesDropped: 2 }, session);
  events.emit('session.closed', { ...request, outcome: 'client-closed', messagesDropped: 3 }, session);
  events.emit('session.closed', { ...request, outcome: 'drained' }, { ...session, route: 'live' });
  expect(counters.sessionsOf('chat')).toEqual({
    opened: 3,
    outcomes: { 'client-closed': 2 },
    messagesDropped: 5,
  });
  expect(counters.sessionsOf('live')).toEqual({ opened: 1, outcomes: { drained: 1 }, messagesDropped: 0 });
  expect(counters.sessionsOf('none')).toEqual({ opened: 0, outcomes: {}, messagesDropped: 0 });
  expect(counters.sessions).toEqual({
    opened: 4,
    outcomes: { 'client-closed': 2, drained: 1 },
    messagesDropped: 5,
  });
});

it('tells plain requests from handshakes that opened nothing', () => {
  const events = new Events();
  const counters = new Counters(events);
  const finish = (facts: Partial<AccessRecord>) => events.emit('request.finished', { ...request, ...facts });
  finish({ status: 200 });
  finish({ status: 304 });
  finish({ status: 404, outcome: 'failed(ROUTE_NOT_FOUND)' });
  finish({ status: 502, outcome: 'failed(UPSTREAM_SWITCH_INVALID)', generation: 'rfc6455' });
  finish({ status: 404, outcome: 'failed(ROUTE_NOT_FOUND)', generation: 'rfc6455' });
  finish({ status: 400, outcome: 'failed(HANDSHAKE_INVALID)' });
  finish({ status: 403, generation: 'rfc6455' });
  expect(counters.requestStatuses.counts).toEqual({ '2xx': 1, '3xx': 1, '4xx': 1 });
  expect(counters.failedRequests.counts).toEqual({ ROUTE_NOT_FOUND: 1 });
  expect(counters.refusedHandshakes.counts).toEqual({
    UPSTREAM_SWITCH_INVALID: 1,
    ROUTE_NOT_FOUND: 1,
    HANDSHAKE_INVALID: 1,
  });
  expect(counters.answeredHandshakes).toBe(1);
});

it('counts the TLS handshakes that failed, whatever the reason', () => {
  const events = new Events();
  const counters = new Counters(events);
  expect(counters.failedTls).toBe(0);
  for (const reason of ['unknown ca', 'no shared cipher']) {
    events.emit('tls.failed', { listener: 'l', address: '192.0.2.1', reason });
  }
  expect(counters.failedTls).toBe(2);
});

it('counts what it hears of other nodes', () => {
  const events = new Events();
  const { backplane } = new Counters(events);
  events.emit('backplane.link', 'down', 'gone');
  expect(backplane).toMatchObject({ isUp: false, linksLost: 1 });
  events.emit('backplane.link', 'up', 'there');
  events.emit('backplane.gap', 'room', 3);
  events.emit('backplane.gap', undefined, undefined);
  events.emit('node.lost', 'a', 2);
  events.emit('node.lost', 'b', 5);
  events.emit('node.outcast', 4);
  expect(backplane).toEqual({
    isUp: true,
    linksLost: 1,
    gaps: 2,
    messagesMissed: 3,
    nodesLost: 2,
    sessionsTold: 7,
    sessionsOutcast: 4,
  });
});
