import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { systemDeps } from '../base/system.js';
import type { Prepared } from '../channels/types.js';
import { writeFrame } from '../protocol/frames/writer.js';
import { acceptFor } from '../protocol/handshake/hybi.js';
import { Endpoint, type EndpointOptions } from './endpoint.js';
import type { ClientHandler } from './types.js';
import { PerMessageDeflate } from './ws-parts.js';

type Told = [what: string, ...rest: unknown[]];

/** What an endpoint tells, in order, and a way to wait for it. */
class Listener implements ClientHandler {
  readonly told: Told[] = [];
  #waiters: (() => void)[] = [];

  onMessage(type: 'text' | 'binary', content: Buffer): void {
    this.#tell(type, content.toString());
  }
  onPing(content: Buffer): void {
    this.#tell('ping', content.toString());
  }
  onPong(content: Buffer): void {
    this.#tell('pong', content.toString());
  }
  onDrain(): void {}
  onClose(code: number | undefined, reason: Buffer): void {
    this.#tell('close', code, reason.toString());
  }
  onEnd(end: unknown): void {
    this.#tell('end', end);
  }

  async until(what: string): Promise<Told> {
    for (;;) {
      const found = this.told.find(([name]) => name === what);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  #tell(...told: Told): void {
    this.told.push(told);
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

const plain: EndpointOptions = {
  generation: 'rfc6455',
  subprotocol: undefined,
  deflate: undefined,
  deflateThresholdBytes: 0,
  maxMessageBytes: 1000,
  maxFragments: 10,
  answersPings: true,
  closeTimeoutMs: 5000,
  clock: systemDeps.clock,
};

let server: Server | undefined;
const clients: WebSocket[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.terminate();
  server?.close();
});

/** A client of `ws`, and the endpoint at the other end of its connection. */
async function connect(options: Partial<EndpointOptions> = {}, extensions = '') {
  const accepted = new Promise<Socket>((resolve) => {
    server = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (head: Buffer) => {
        socket.pause();
        const key = /sec-websocket-key: (.*)\r\n/i.exec(head.toString())![1]!;
        const fields = [
          'Upgrade: websocket',
          'Connection: Upgrade',
          `Sec-WebSocket-Accept: ${acceptFor(key)}`,
        ];
        if (extensions !== '') fields.push(`Sec-WebSocket-Extensions: ${extensions}`);
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join('\r\n')}\r\n\r\n`);
        resolve(socket);
      });
    }).listen(0, '127.0.0.1');
  });
  await once(server!, 'listening');
  const { port } = server!.address() as { port: number };
  const client = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: extensions !== '' });
  clients.push(client);
  client.on('error', () => {});
  const opened = once(client, 'open');
  const socket = await accepted;
  const listener = new Listener();
  const endpoint = new Endpoint(socket, Buffer.alloc(0), listener, { ...plain, ...options });
  await opened;
  return { client, endpoint, listener, socket };
}

describe('an endpoint, with ws as its client', () => {
  it('takes messages and sends messages', async () => {
    const { client, endpoint, listener } = await connect();
    const heard = once(client, 'message');
    client.send('häl');
    client.send(Buffer.from([65]));
    expect(await listener.until('binary')).toEqual(['binary', 'A']);
    expect(listener.told[0]).toEqual(['text', 'häl']);
    endpoint.send('text', Buffer.from('there'));
    const [data, isBinary] = (await heard) as [Buffer, boolean];
    expect([data.toString(), isBinary]).toEqual(['there', false]);
  });

  it('joins the fragments of a message', async () => {
    const { client, listener } = await connect();
    client.send('one ', { fin: false });
    client.send('message');
    expect(await listener.until('text')).toEqual(['text', 'one message']);
  });

  it('answers pings where it is told to, and only then', async () => {
    const one = await connect();
    one.client.ping('k');
    expect(((await once(one.client, 'pong')) as [Buffer])[0].toString()).toBe('k');
    const other = await connect({ answersPings: false });
    other.client.on('pong', (data) => expect(data.toString()).toBe('mine'));
    other.client.ping('k');
    await other.listener.until('ping');
    other.endpoint.pong(Buffer.from('mine'));
    await once(other.client, 'pong');
  });

  it('leaves the answer to a Close to its listener', async () => {
    const { client, endpoint, listener } = await connect();
    client.close(4001, 'bye');
    expect(await listener.until('close')).toEqual(['close', 4001, 'bye']);
    expect(client.readyState).toBe(WebSocket.CLOSING);
    endpoint.close(4002, 'so long');
    const [code, reason] = (await once(client, 'close')) as [number, Buffer];
    expect([code, reason.toString()]).toEqual([4002, 'so long']);
    expect(await listener.until('end')).toEqual(['end', { how: 'closed' }]);
  });

  it('closes, and hears no message any more', async () => {
    const { client, endpoint, listener, socket } = await connect();
    endpoint.close(1000, 'enough');
    expect(endpoint.isOpen).toBe(false);
    endpoint.send('text', Buffer.from('too late'));
    client.send('still here');
    const [code] = (await once(client, 'close')) as [number];
    expect(code).toBe(1000);
    await listener.until('end');
    expect(listener.told).toEqual([['end', { how: 'closed' }]]);
    expect(socket.destroyed).toBe(true);
  });

  it('cuts a client that never answers its Close', async () => {
    const { client, endpoint, listener } = await connect({ closeTimeoutMs: 20 });
    (client as unknown as { _receiver: { removeAllListeners(): void } })['_receiver'].removeAllListeners();
    endpoint.close(1000, '');
    expect(await listener.until('end')).toEqual(['end', { how: 'lost' }]);
  });

  it('says that a client was lost', async () => {
    const { client, listener } = await connect();
    client.terminate();
    expect(await listener.until('end')).toEqual(['end', { how: 'lost' }]);
  });

  it.each([
    ['a message that is too large', 1009, (ws: WebSocket) => ws.send('x'.repeat(1001))],
    [
      'too many fragments',
      1008,
      (ws: WebSocket) => {
        for (let i = 0; i < 11; i++) ws.send('x', { fin: false });
      },
    ],
    ['text that is not UTF-8', 1007, (ws: WebSocket) => ws.send(Buffer.from([0xff]), { binary: false })],
  ])('ends %s with %i', async (_, code, send) => {
    const { client, listener } = await connect();
    send(client);
    expect(await once(client, 'close')).toEqual([code, expect.anything()]);
    const [, end] = await listener.until('end');
    expect(end).toMatchObject({ fault: { code } });
    expect(listener.told.map(([what]) => what)).toEqual(['end']);
  });

  it('stops reading, so that the client has to wait', async () => {
    const { client, endpoint, listener } = await connect();
    endpoint.pause();
    client.send('later');
    client.ping();
    await new Promise((resolve) => setImmediate(resolve));
    expect(listener.told).toEqual([]);
    endpoint.resume();
    expect(await listener.until('text')).toEqual(['text', 'later']);
  });

  it('sends what was framed once as it is', async () => {
    const { client, endpoint } = await connect();
    let framed = 0;
    const content = Buffer.from('for all');
    const item = { wsMessage: { action: 'send', type: 'text', content, contentFilters: [] } };
    const message = {
      item,
      offset: undefined,
      wsFrame: () => {
        framed++;
        return writeFrame({ opcode: 1, payload: content });
      },
    } as unknown as Prepared;
    const heard = once(client, 'message');
    endpoint.sendPrepared(message);
    expect(String(((await heard) as [Buffer])[0])).toBe('for all');
    expect(framed).toBe(1);
  });

  it('compresses where that was agreed on', async () => {
    const deflate = new PerMessageDeflate({ isServer: true, threshold: 0, maxPayload: 1000 });
    deflate.accept([{}]);
    const { client, endpoint, listener, socket } = await connect({ deflate }, 'permessage-deflate');
    client.send('a'.repeat(900));
    expect(await listener.until('text')).toEqual(['text', 'a'.repeat(900)]);
    const before = socket.bytesWritten;
    const heard = once(client, 'message');
    endpoint.send('text', Buffer.from('b'.repeat(900)));
    expect(String(((await heard) as [Buffer])[0])).toBe('b'.repeat(900));
    expect(socket.bytesWritten - before).toBeLessThan(100);
  });

  it('holds compressed messages to the size that they have decompressed', async () => {
    const deflate = new PerMessageDeflate({ isServer: true, threshold: 0, maxPayload: 1000 });
    deflate.accept([{}]);
    const { client } = await connect({ deflate }, 'permessage-deflate');
    client.send('a'.repeat(100_000));
    expect(await once(client, 'close')).toEqual([1009, expect.anything()]);
  });
});
