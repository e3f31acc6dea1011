/** WebSockets over HTTP/2 from a client in Python (h2, wsproto), to a server of `ws`. */
import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { certificateFile } from '../fixtures/certificates.js';
import type { Child } from '../fixtures/child.js';
import { startBackend } from '../fixtures/http-backend.js';
import { needPythonH2, startPythonH2 } from '../fixtures/peers/python-h2.js';
import { startWsServer } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

const pem = certificateFile('chat');
const secured = { tls: { certificates: [{ cert: pem, key: pem }] } };

describe.skipIf(needPythonH2.missing).each([
  ['by prior knowledge', 'plain', {}],
  ['over TLS', 'tls', secured],
] as const)(`python3-h2 and python3-wsproto, %s${needPythonH2.note}`, (_, how, tls) => {
  async function start(options: Parameters<typeof startWsServer>[0] = {}, page?: string) {
    const server = await running(startWsServer(options));
    const listeners = [{ address: '127.0.0.1:0', http2: true, ...tls }];
    const routes = [...(page ? [{ match: { path: '/page' }, to: page }] : []), { to: server.url }];
    const proxy = await running(startProxy({ listeners, routes }));
    const client = await running(startPythonH2(proxy.port, how));
    expect(await says(client, 'announced')).toBe('announced 1');
    return { server, proxy, client };
  }

  test('text, binary, fragments, pings; closed by the client', async () => {
    const { server, proxy, client } = await start();
    client.write('open a /chat');
    expect(await says(client, 'open')).toBe('open a - -');
    const end = await server.ends.next();
    client.write('text a grüße ✓');
    expect(await says(client, 'text')).toBe('text a grüße ✓');
    client.write('fragments a one two three');
    expect(await says(client, 'text')).toBe('text a onetwothree');
    client.write('binary a 1000000');
    expect(await says(client, 'binary')).toBe('binary a 1000000 true');
    client.write('ping a hello');
    expect(await says(client, 'pong')).toBe('pong a hello');
    end.socket.ping('and you');
    expect(await says(client, 'ping')).toBe('ping a and you');
    expect(await end.controls.next((told) => told.startsWith('pong'))).toBe('pong and you');

    client.write('close a 4000 enough');
    expect(await says(client, 'close')).toBe('close a 4000 enough');
    expect(await end.closed).toEqual({ code: 4000, reason: 'enough' });
    expect(await says(client, 'end')).toBe('end a');
    expect(await proxy.nextRecord()).toMatchObject({
      via: 'h2',
      generation: 'rfc6455',
      path: '/chat',
      messagesFromClient: 3,
      messagesFromUpstream: 3,
      closeCodeFromClient: 4000,
      closeCodeFromUpstream: 4000,
      outcome: 'client-closed',
    });
  });

  test('a subprotocol and compression; closed by the server', async () => {
    const { server, proxy, client } = await start({
      perMessageDeflate: { threshold: 0 },
      handleProtocols: (offered) => [...offered][1] ?? false,
    });
    client.write('open a /chat v2.chat,v1.chat deflate');
    expect(await says(client, 'open')).toMatch(/^open a v1\.chat permessage-deflate/);
    const end = await server.ends.next();
    const text = 'the same words again and again, '.repeat(1000).trim();
    client.write(`text a ${text}`);
    expect(await says(client, 'text')).toBe(`text a ${text}`);
    end.socket.close(4001, 'go away');
    expect(await says(client, 'close')).toBe('close a 4001 go away');
    expect(await end.closed).toEqual({ code: 4001, reason: 'go away' });
    const isSmall = expect.toSatisfy((bytes: number) => bytes < text.length / 20) as number;
    expect(await proxy.nextRecord()).toMatchObject({
      subprotocol: 'v1.chat',
      bytesFromClient: isSmall,
      bytesFromUpstream: isSmall,
      closeCodeFromUpstream: 4001,
      outcome: 'upstream-closed',
    });
  });

  test('RST_STREAM, an end without a Close, and a server that is lost', async () => {
    const { server, proxy, client } = await start();
    client.write('open a /chat');
    await says(client, 'open');
    const first = await server.ends.next();
    client.write('rst a');
    expect(await first.closed).toEqual({ code: 1006, reason: '' });
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'client-lost', closedBy: 'client' });

    client.write('open b /chat');
    await says(client, 'open');
    const second = await server.ends.next();
    client.write('end b');
    expect(await second.closed).toEqual({ code: 1006, reason: '' });
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'client-lost', closedBy: 'client' });

    client.write('open c /chat');
    await says(client, 'open');
    (await server.ends.next()).socket.terminate();
    expect(await client.lines.next((line) => / c( |$)/.test(line))).toMatch(/^(?:end c|reset c \d+)$/);
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'upstream-lost', closedBy: 'upstream' });
  });

  test('one that is not read holds up none of its siblings', async () => {
    const { server, proxy, client } = await start();
    for (const name of ['stalled', 'a', 'b', 'c']) {
      client.write(`open ${name} /chat`);
      await says(client, `open ${name}`);
    }
    client.write('stall stalled');
    client.write('binary stalled 3000000');
    for (let round = 1; round <= 20; round++) {
      for (const name of ['a', 'b', 'c']) client.write(`text ${name} ${round}`);
      for (const name of ['a', 'b', 'c']) {
        expect(await says(client, `text ${name}`)).toBe(`text ${name} ${round}`);
      }
    }
    client.write('binary a 500000');
    expect(await says(client, 'binary a')).toBe('binary a 500000 true');
    expect(client.lines.all.filter((line) => line.startsWith('binary stalled'))).toEqual([]);
    expect(proxy.proxy.sessions.map(({ via }) => via)).toEqual(['h2', 'h2', 'h2', 'h2']);
    expect(server.ends.all).toHaveLength(4);

    client.write('resume stalled');
    expect(await says(client, 'binary stalled')).toBe('binary stalled 3000000 true');
  });

  test('a refusal, an ordinary request, and a WebSocket behind both', async () => {
    const page = await startBackend((_, response) => response.end('a page'));
    const { proxy, client } = await start(
      { verifyClient: ({ req }: { req: IncomingMessage }) => req.url !== '/private' },
      page.url,
    );
    client.write('open a /private');
    expect(await says(client, 'refused')).toBe('refused a 401');
    client.write('get r /page');
    expect(await says(client, 'status')).toBe('status r 200 a page');
    client.write('open b /chat');
    expect(await says(client, 'open')).toBe('open b - -');
    expect(await proxy.nextRecord(({ path }) => path === '/page')).toMatchObject({ via: 'h2', status: 200 });
  });

  test('a drain: the Close first, GOAWAY behind it', async () => {
    const { proxy, client } = await start();
    client.write('open a /chat');
    await says(client, 'open');
    const stopped = proxy.proxy.stop({ timeoutMs: 10_000 });
    expect(await says(client, 'close')).toMatch(/^close a 1001/);
    expect(await says(client, 'goaway')).toBe('goaway 0');
    await stopped;
    const told = client.lines.all.map((line) => line.split(' ')[0]);
    expect(told.indexOf('close')).toBeLessThan(told.indexOf('goaway'));
  });
});

function says(client: Child, beginning: string): Promise<string> {
  return client.lines.next((line) => line === beginning || line.startsWith(`${beginning} `));
}
