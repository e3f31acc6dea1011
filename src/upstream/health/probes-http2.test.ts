import { describe, expect, it } from 'vitest';
import { Http2Backend } from '../../../test/fixtures/http2-backend.js';
import { Http2WsServer } from '../../../test/fixtures/peers/http2-ws.js';
import { tlsIdentity } from '../../../test/fixtures/http-backend.js';
import { listening } from '../../../test/fixtures/listening.js';
import { running } from '../../../test/fixtures/running.js';
import { createServer } from 'node:http';
import { systemDeps } from '../../base/system.js';
import type { CheckKind } from './check-plan.js';
import { makeProbe } from './probes.js';

const http: CheckKind = {
  kind: 'http',
  path: '/healthz?x=1',
  statuses: [{ from: 200, to: 299 }],
  headers: [['Authorization', 'Bearer x']],
};
const websocket: CheckKind = { kind: 'websocket', path: '/live', headers: [] };

function probe(check: CheckKind, url: string, signal = new AbortController().signal): Promise<void> {
  const { hostname, port, protocol } = new URL(url);
  const tls = { verify: true, ca: tlsIdentity.cert, serverName: 'localhost' };
  const plan = { check, intervalMs: 1000, timeoutMs: 10_000, rise: 1, fall: 1 };
  const address = { host: hostname, port: Number(port) };
  const secure = protocol === 'https:';
  const server = { id: url, address, secure, host: 'backend.test', weight: 1, maxConnections: 0 };
  return makeProbe(plan, { deps: systemDeps, tls, http2: true })(server, signal);
}

describe('an http check of a server that speaks HTTP/2 only', () => {
  it.each([false, true])('asks for the path, and leaves nothing open (TLS: %s)', async (secure) => {
    const backend = await Http2Backend.start(
      (stream) => {
        stream.respond({ ':status': 200 });
        stream.end('well');
      },
      { secure },
    );
    await probe(http, backend.url);
    const { fields, stream } = await backend.asked.next();
    expect(fields).toMatchObject({
      ':method': 'GET',
      ':path': '/healthz?x=1',
      ':authority': 'backend.test',
      authorization: 'Bearer x',
      'user-agent': 'tidegate-health',
    });
    const session = await backend.sessions.next();
    if (!session.destroyed) await new Promise((resolve) => session.once('close', resolve));
    expect(stream.rstCode).toBe(0);
  });

  it('rejects another status, a server that ends, and one of HTTP/1.1', async () => {
    const ill = await Http2Backend.start((stream) => stream.respond({ ':status': 503 }, { endStream: true }));
    await expect(probe(http, ill.url)).rejects.toThrow('GET /healthz?x=1 was answered 503, not 200-299');
    const dying = await Http2Backend.start((stream) => stream.session!.destroy());
    await expect(probe(http, dying.url)).rejects.toThrow('closed the connection before it had answered');
    const old = await running(listening(createServer((_req, res) => res.end())));
    await expect(probe(http, old.url)).rejects.toThrow('does not speak HTTP/2');
  });

  it('is given up with its signal', async () => {
    const mute = await Http2Backend.start();
    const over = new AbortController();
    const probing = probe(http, mute.url, over.signal);
    await mute.asked.next();
    over.abort(new Error('late'));
    await expect(probing).rejects.toThrow();
    const session = await mute.sessions.next();
    if (!session.destroyed) await new Promise((resolve) => session.once('close', resolve));
  });

  it('does not wait for an answer without end', async () => {
    const backend = await Http2Backend.start((stream) => {
      stream.respond({ ':status': 200 });
      stream.write('and so on');
    });
    await probe(http, backend.url);
    const session = await backend.sessions.next();
    if (!session.destroyed) await new Promise((resolve) => session.once('close', resolve));
  });
});

describe('a websocket check of a server that speaks HTTP/2 only', () => {
  it('opens one, and closes it with 1000', async () => {
    const server = await Http2WsServer.start();
    await probe(websocket, server.url);
    const end = await server.ends.next();
    expect(end.fields).toMatchObject({ ':protocol': 'websocket', ':path': '/live' });
    expect((await end.closed).code).toBe(1000);
    const session = await server.sessions.next();
    if (!session.destroyed) await new Promise((resolve) => session.once('close', resolve));
  });

  it('rejects a server that takes none so', async () => {
    const server = await Http2WsServer.start({ enableConnectProtocol: false });
    await expect(probe(websocket, server.url)).rejects.toThrow('announces no WebSockets over HTTP/2');
    const refusing = await Http2WsServer.start({
      onConnect: (stream) => stream.respond({ ':status': 403 }, { endStream: true }),
    });
    await expect(probe(websocket, refusing.url)).rejects.toThrow('the handshake was answered 403');
  });
});

it('a tcp check offers h2 in TLS', async () => {
  const backend = await Http2Backend.start(undefined, { secure: true });
  await probe({ kind: 'tcp' }, backend.url);
});
