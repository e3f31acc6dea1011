import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';
import { listening } from '../../../test/fixtures/listening.js';
import { RawServer } from '../../../test/fixtures/raw-server.js';
import { systemDeps } from '../../base/system.js';
import type { PooledServerPlan } from '../plan.js';
import type { CheckKind } from './check-plan.js';
import { makeProbe } from './probes.js';

const tls = { verify: true, ca: undefined, serverName: undefined };
const http: CheckKind = {
  kind: 'http',
  path: '/healthz?x=1',
  statuses: [{ from: 200, to: 299 }],
  headers: [],
};
const websocket: CheckKind = { kind: 'websocket', path: '/live', headers: [] };
const tcp: CheckKind = { kind: 'tcp' };

describe('an http check', () => {
  it('asks for the path, and leaves nothing open', async () => {
    const server = await RawServer.listen();
    const probing = probe(http, server.port);
    const peer = await server.accept();
    const head = String(await peer.until('\r\n\r\n'));
    expect(head.split('\r\n')).toEqual([
      'GET /healthz?x=1 HTTP/1.1',
      'Host: backend.test',
      'User-Agent: tidegate-health',
      'Connection: close',
      '',
      '',
    ]);
    peer.write('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Con');
    peer.write('tent\r\n\r\n');
    await probing;
    expect(await peer.ended).toBe('end');
    peer.end();
    await peer.closed;
  });

  it('sends headers of the configuration', async () => {
    const seen: (string | undefined)[] = [];
    const port = await backend((req, res) => {
      seen.push(req.headers.host, req.headers.authorization);
      res.end();
    });
    await probe(
      {
        ...http,
        headers: [
          ['Host', 'a.test'],
          ['Authorization', 'Bearer x'],
        ],
      },
      port,
    );
    expect(seen).toEqual(['a.test', 'Bearer x']);
  });

  it('is good only for the statuses that it asks for', async () => {
    const port = await backend((req, res) => {
      res.statusCode = Number(req.url!.slice(1));
      res.end('some body');
    });
    const statuses = [
      { from: 200, to: 200 },
      { from: 404, to: 410 },
    ];
    for (const status of [200, 404, 407, 410]) await probe({ ...http, path: `/${status}`, statuses }, port);
    await expect(probe({ ...http, path: '/503', statuses }, port)).rejects.toThrow(
      'GET /503 was answered 503, not 200, 404-410',
    );
    await expect(probe({ ...http, path: '/201', statuses }, port)).rejects.toThrow('answered 201');
  });

  it.each([
    ['closes', '', 'closed before it had answered'],
    ['closes in the middle', 'HTTP/1.1 200 O', 'closed before it had answered'],
    ['speaks another protocol', 'SSH-2.0-OpenSSH\r\n', 'response does not begin with "HTTP/1."'],
  ])('fails when the server %s', async (_, bytes, message) => {
    const server = await RawServer.listen();
    const probing = probe(http, server.port);
    const peer = await server.accept();
    await peer.until('\r\n\r\n');
    if (bytes !== '') peer.write(bytes);
    peer.end();
    await expect(probing).rejects.toThrow(message);
    await peer.closed;
  });

  it('gives up when it is told to, and cuts the connection', async () => {
    const server = await RawServer.listen();
    const over = new AbortController();
    const probing = probe(http, server.port, over.signal);
    const peer = await server.accept();
    await peer.until('\r\n\r\n');
    over.abort(new Error('no answer within 5 ms'));
    await expect(probing).rejects.toThrow('no answer within 5 ms');
    expect(await peer.ended).toBe('reset');
  });
});

describe('a websocket check', () => {
  it('opens a real WebSocket and closes it with 1000', async () => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/live' });
    onTestFinished(() => server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const closed = new Promise((resolve) => {
      server.on('connection', (socket) => socket.on('close', (code) => resolve(code)));
    });
    const { port } = server.address() as AddressInfo;
    await probe(websocket, port);
    expect(await closed).toBe(1000);
    await expect(probe({ ...websocket, path: '/elsewhere' }, port)).rejects.toThrow(
      'the handshake was answered 400, not 101',
    );
  });

  it('fails on a switch that proves nothing', async () => {
    const server = await RawServer.listen();
    const probing = probe(websocket, server.port);
    const peer = await server.accept();
    await peer.until('\r\n\r\n');
    peer.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: c2hvcnQ=\r\n\r\n',
    );
    await expect(probing).rejects.toThrow(/^the answer is 101, but Sec-WebSocket-Accept is "c2hvcnQ="/);
  });

  it('says when the headers of the configuration spoil the handshake', async () => {
    const server = await RawServer.listen();
    const spoilt: CheckKind = { ...websocket, headers: [['Sec-WebSocket-Key', 'x']] };
    await expect(probe(spoilt, server.port)).rejects.toThrow(
      'health.headers make the check no WebSocket handshake',
    );
  });
});

describe('a tcp check', () => {
  it('connects and ends in order', async () => {
    const server = await RawServer.listen();
    await probe(tcp, server.port);
    expect(await (await server.accept()).ended).toBe('end');
  });

  it('fails where nobody listens', async () => {
    const server = await RawServer.listen();
    const { port } = server;
    await server.stop();
    await expect(probe(tcp, port)).rejects.toThrow('ECONNREFUSED');
  });

  it('with TLS asks for the name that the address came from', async () => {
    const certificate = readFileSync(
      new URL('../../../test/fixtures/tls/localhost.crt', import.meta.url),
      'utf8',
    );
    const key = readFileSync(new URL('../../../test/fixtures/tls/localhost.key', import.meta.url), 'utf8');
    const server = createTlsServer({ cert: certificate, key });
    const asked = new Promise((resolve) => {
      server.on('secureConnection', ({ servername }: { servername?: string }) => resolve(servername));
    });
    const { port, stop } = await listening(server);
    onTestFinished(stop);
    const secure = { ...serverAt(port), secure: true };
    const check = { check: tcp, intervalMs: 1, timeoutMs: 10_000, rise: 1, fall: 1 };
    const ask = makeProbe(check, { deps: systemDeps, tls: { ...tls, ca: certificate } });
    await ask({ ...secure, tlsName: 'localhost' }, new AbortController().signal);
    expect(await asked).toBe('localhost');
    const other = ask({ ...secure, tlsName: 'other.test' }, new AbortController().signal);
    await expect(other).rejects.toMatchObject({ code: 'UPSTREAM_TLS_FAILED' });
  });
});

function probe(check: CheckKind, port: number, signal = new AbortController().signal): Promise<void> {
  const plan = { check, intervalMs: 1000, timeoutMs: 10_000, rise: 1, fall: 1 };
  return makeProbe(plan, { deps: systemDeps, tls })(serverAt(port), signal);
}

function serverAt(port: number): PooledServerPlan {
  const address = { host: '127.0.0.1', port };
  return {
    id: `http://127.0.0.1:${port}`,
    address,
    secure: false,
    host: 'backend.test',
    weight: 1,
    maxConnections: 0,
  };
}

async function backend(listener: RequestListener): Promise<number> {
  const { port, stop } = await listening(createServer(listener));
  onTestFinished(stop);
  return port;
}
