import { expect, it } from 'vitest';
import { parseConfig } from '../config/parse.js';
import { explainConfig } from './explain.js';
import { describeStart } from './summary.js';

const config = parseConfig({
  listeners: [8080, { address: '[::1]:9000', http2: true, trustedProxies: ['10.0.0.0/8', '::1'] }],
  upstreams: {
    chat: ['http://127.0.0.1:3001', 'unix:/run/chat.sock'],
    secure: {
      servers: ['https://a', 'https://b'],
      tls: { verify: false, serverName: 'chat.internal' },
    },
  },
  routes: [
    {
      name: 'rooms',
      match: { host: ['a.example', '*.b.example'], path: ['/socket.io/*', '/live'] },
      to: 'chat',
    },
    {
      match: { host: 'c.example' },
      to: 'secure',
      websocket: { generations: ['hixie-76', 'rfc6455'], idleTimeout: 0 },
    },
    { match: { path: '/plain' }, to: ['http://127.0.0.1:1', 'http://127.0.0.1:2'], websocket: false },
    { to: 'http://127.0.0.1:3000', hostHeader: 'server', forwarded: 'off' },
  ],
});

it('the start: where it listens, what goes where, which engine', () => {
  const listeners = [
    { host: '::', port: 8080 },
    { host: '0.0.0.0', port: 8081 },
    { host: '::1', port: 9000 },
    { host: '127.0.0.1', port: 9001 },
  ];
  const start = {
    config,
    listeners,
    admin: undefined,
    publish: undefined,
    engine: 'stream',
    missingEngine: undefined,
  };
  const text = describeStart({ ...start, from: 'tidegate.config.yaml' });
  expect(text).toBe(`Tidegate is running as tidegate.config.yaml says; relay engine: stream
  listening on port 8080 on every address (http://localhost:8080)
  listening on port 8081 on every IPv4 address (http://localhost:8081)
  listening on http://[::1]:9000
  listening on http://127.0.0.1:9001
  a.example, *.b.example /socket.io/*, /live  →  chat (http://127.0.0.1:3001, unix:/run/chat.sock)
  c.example every path                        →  secure (https://a, https://b)
  /plain                                      →  http://127.0.0.1:1, http://127.0.0.1:2
  everything                                  →  http://127.0.0.1:3000`);
  expect(describeStart({ ...start, from: undefined })).toMatch(
    /^Tidegate is running; relay engine: stream\n/,
  );
  expect(describeStart({ ...start, from: undefined, admin: { host: '127.0.0.1', port: 9090 } })).toContain(
    'http://127.0.0.1:9001\n  admin API on 127.0.0.1:9090\n',
  );
  expect(describeStart({ ...start, from: undefined, publish: { host: '127.0.0.1', port: 5561 } })).toContain(
    '\n  backends publish to 127.0.0.1:5561\n',
  );
  expect(describeStart({ ...start, from: undefined, missingEngine: 'it was not built' })).toMatch(
    /^Tidegate is running; relay engine: stream \(no native engine: it was not built\)\n/,
  );
});

it('the check: everything that was understood', () => {
  expect(explainConfig(config)).toBe(`listeners
  8080 (every address)
    request heads up to 16KiB within 10s; idle connections kept 75s
    X-Forwarded-* believed from nobody
    limits none
  [::1]:9000
    HTTP/2 by prior knowledge, 256 streams a connection
    request heads up to 16KiB within 10s; idle connections kept 75s
    X-Forwarded-* believed from 10.0.0.0/8, ::1
    limits none

upstreams
  chat
    http://127.0.0.1:3001
    unix:/run/chat.sock
    round-robin
    5 failures within 10s eject a server for 10s
    connect within 3s; 2 retries, in all up to 20% of the requests and 10 a second; up to 128 idle connections per server kept 30s; response heads up to 64KiB
  secure
    https://a  (certificate not verified, asked for as chat.internal)
    https://b  (certificate not verified, asked for as chat.internal)
    round-robin
    5 failures within 10s eject a server for 10s
    connect within 3s; 2 retries, in all up to 20% of the requests and 10 a second; up to 128 idle connections per server kept 30s; response heads up to 64KiB

routes, the first that fits takes the request
  1. rooms: a.example, *.b.example /socket.io/*, /live  →  chat (http://127.0.0.1:3001, unix:/run/chat.sock)
     WebSocket: every generation, handshake within 10s, idle 1h, half-closed 30s, age never, close answered within 10s, no pings, up to 64KiB early, frames counted
     limits none
     HTTP: response within 1m, idle 5m, bodies up to any size
     Host is the client’s; forwarded: x-forwarded
  2. c.example every path  →  secure (https://a, https://b)
     WebSocket: hixie-76, rfc6455, handshake within 10s, idle never, half-closed 30s, age never, close answered within 10s, no pings, up to 64KiB early, frames counted
     limits none
     HTTP: response within 1m, idle 5m, bodies up to any size
     Host is the client’s; forwarded: x-forwarded
  3. /plain  →  http://127.0.0.1:1, http://127.0.0.1:2
     WebSocket: not taken
     HTTP: response within 1m, idle 5m, bodies up to any size
     Host is the client’s; forwarded: x-forwarded
  4. everything  →  http://127.0.0.1:3000
     WebSocket: every generation, handshake within 10s, idle 1h, half-closed 30s, age never, close answered within 10s, no pings, up to 64KiB early, frames counted
     limits none
     HTTP: response within 1m, idle 5m, bodies up to any size
     Host is the server’s; forwarded: off

relay auto
admin API off
access log auto, log level info
limits none
drain within 30s, with close code 1001, spread over 10s
reload on SIGHUP; open WebSockets of changed routes: keep, of removed servers: keep`);
});

it('the check: unix sockets and PROXY headers', () => {
  const explained = explainConfig(
    parseConfig({
      listeners: [
        { address: 'unix:/run/tidegate.sock', mode: '0666', trustedProxies: 'unix', proxyProtocol: true },
        { address: 8080, proxyProtocol: { from: ['10.0.0.1', '10.0.0.2'], timeout: '3s', maxBytes: '1KiB' } },
      ],
      upstreams: { a: { servers: 'http://127.0.0.1:3001', proxyProtocol: 'v2' } },
      routes: [{ to: 'a' }],
    }),
  );
  for (const line of [
    '  unix:/run/tidegate.sock (mode 0666)',
    '    PROXY headers required from unix, up to 4KiB within 10s',
    '    PROXY headers required from 10.0.0.1, 10.0.0.2, up to 1KiB within 3s',
    '    each connection begins with a PROXY header, v2',
  ]) {
    expect(explained.split('\n')).toContain(line);
  }
});
