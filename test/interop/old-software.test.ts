import { describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import type { Child } from '../fixtures/child.js';
import { Inbox } from '../fixtures/inbox.js';
import { takesPart } from '../fixtures/interop.js';
import { connectDriverClient, startDriverServer } from '../fixtures/peers/driver.js';
import { needPerl, startPerlClient, startPerlServer, type PerlGeneration } from '../fixtures/peers/perl.js';
import { decode, encode, startNodeWebSocketClient, startSocketIo06 } from '../fixtures/peers/socket-io-06.js';
import { running } from '../fixtures/running.js';
import { npmSoftware } from '../fixtures/software.js';
import { ways, type Path } from '../fixtures/ways.js';

/** Software of 2010 and 2011, and today's libraries that still speak its protocols: none of it is ours. */

interface OldClient {
  readonly name: string;
  readonly generation: PerlGeneration;
  readonly note: string;
  readonly missing: boolean;
  /** Whether it says goodbye with `FF 00`, or just ends the connection. */
  readonly closes: boolean;
  start(path: Path): Child;
}

const socketIoPath = '/socket.io/websocket';

const perlClients = (['hixie-75', 'hixie-76'] as const).map((generation): OldClient => ({
  name: `Perl’s Protocol::WebSocket (${generation})`,
  generation,
  note: needPerl.note,
  missing: needPerl.missing,
  closes: generation === 'hixie-76',
  start: ({ host, port }) => startPerlClient({ host, port, path: socketIoPath, generation }),
}));

const oldClients: OldClient[] = [
  ...perlClients,
  {
    name: 'node-websocket-client 0.9.5 of 2010 (hixie-76)',
    generation: 'hixie-76',
    note: '',
    missing: false,
    closes: false,
    start: (path) => startNodeWebSocketClient(path.wsUrl + socketIoPath),
  },
];

describe.each(ways)('$name', ({ to }) => {
  describe.each(['0.6.0', '0.6.18'] as const)('socket.io %s', (version) => {
    for (const { name, generation, missing, note, closes, start } of oldClients) {
      test.skipIf(missing)(`session id, messages and heartbeats with ${name}${note}`, async () => {
        const server = await running(startSocketIo06(version));
        const path = await to(server);
        const client = await running(start(path));
        const { sent, received } = await converse(client, server.child);

        await path.expectSession({
          generation,
          path: socketIoPath,
          closedBy: 'client',
          outcome: 'client-closed',
          messagesFromClient: sent.length,
          messagesFromUpstream: received.length,
          bytesFromClient: hixieBytes(sent) + (closes ? 2 : 0),
          bytesFromUpstream: hixieBytes(received),
          ...(closes ? { closeCodeFromClient: 1005 } : {}),
        });
      });
    }

    test.skipIf(needPerl.missing).each(['hixie-75', 'hixie-76'] as const)(
      `its answer to %s arrives as written${needPerl.note}`,
      async (generation) => {
        const server = await running(startSocketIo06(version, { heartbeatIntervalMs: 60_000 }));
        const path = await to(server);
        const client = await running(startPerlClient({ ...path, path: socketIoPath, generation }));
        expect(await client.lines.next()).toBe(socketIoAnswer(generation, path));
        const id = await nextText(client);
        client.end();
        expect(await client.exited).toBe(0);
        await path.expectSession({
          generation,
          messagesFromClient: 0,
          messagesFromUpstream: 1,
          bytesFromUpstream: hixieBytes([id]),
          outcome: 'client-closed',
        });
      },
    );

    test.skipIf(needPerl.missing)(`one client’s words reach the other${needPerl.note}`, async () => {
      const server = await running(startSocketIo06(version, { heartbeatIntervalMs: 60_000 }));
      const path = await to(server);
      const join = async (generation: PerlGeneration): Promise<{ client: Child; id: string | undefined }> => {
        const client = await running(startPerlClient({ ...path, path: socketIoPath, generation }));
        return { client, id: decode(await nextText(client))[0] };
      };
      const speaker = await join('hixie-75');
      const listener = await join('hixie-76');
      speaker.client.write(encode('is anybody there?'));
      expect(decode(await nextText(listener.client))).toEqual([`${speaker.id} says "is anybody there?"`]);
      expect(decode(await nextText(speaker.client))).toEqual(['is anybody there?']);
      for (const [{ client }, generation, messagesFromClient] of [
        [speaker, 'hixie-75', 1],
        [listener, 'hixie-76', 0],
      ] as const) {
        client.end();
        await path.expectSession({
          generation,
          messagesFromClient,
          messagesFromUpstream: 2,
          closedBy: 'client',
        });
      }
    });

    test('its polling transport and its client file, as plain HTTP', async () => {
      const server = await running(startSocketIo06(version));
      const path = await to(server);
      const polling = `${path.url}/socket.io/xhr-polling`;
      const id = decode(await textOf(await fetch(`${polling}//1`)))[0];
      expect(await server.child.lines.next()).toBe(`connected ${id}`);

      const poll = fetch(`${polling}/${id}/2`).then(textOf);
      const body = new URLSearchParams({ data: encode('by post') });
      expect(await textOf(await fetch(`${polling}/${id}/send`, { method: 'POST', body }))).toBe('ok');
      expect(decode(await poll)).toEqual(['by post']);

      const file = await textOf(await fetch(`${path.url}/socket.io/socket.io.js`));
      expect(file).toContain('Socket.IO');
      await path.expectRequest({ method: 'POST', status: 200, bytesFromClient: body.toString().length });
      await path.expectRequest({
        path: '/socket.io/socket.io.js',
        status: 200,
        bytesFromUpstream: file.length,
      });
    });
  });

  describe.skipIf(needPerl.missing)(`Perl’s Protocol::WebSocket on both sides${needPerl.note}`, () => {
    const generations = ['hixie-75', 'hixie-76', 'hybi-08', 'rfc6455'] as const;

    test.each(generations)('%s, closed by the client', async (generation) => {
      const server = await running(startPerlServer({ subprotocol: 'chat' }));
      const path = await to(server);
      const client = await running(startPerlClientOn(path, generation, 'chat'));
      expectPerlAnswer(await client.lines.next(), generation, path);
      expect(await client.lines.next()).toBe('open chat');
      const hello = await nextText(client);
      for (const text of ['grüße ✓', 'x'.repeat(30_000), 'end']) {
        client.write(text);
        expect(await nextText(client)).toBe(text);
      }
      client.end();
      expect(await client.exited).toBe(0);

      const overhead = { 'hixie-75': 3 * 2, 'hixie-76': 4 * 2, 'hybi-08': 4 * 6 + 2, rfc6455: 4 * 6 + 2 };
      await path.expectSession({
        generation,
        subprotocol: 'chat',
        path: '/chat',
        closedBy: 'client',
        outcome: 'client-closed',
        messagesFromClient: 3,
        messagesFromUpstream: 4,
        bytesFromClient: Buffer.byteLength('grüße ✓') + 30_003 + overhead[generation],
        ...(generation === 'hixie-75' ? {} : { closeCodeFromClient: 1005, closeCodeFromUpstream: 1005 }),
      });
      expect(hello).toContain('hello draft-');
    });

    test.each(generations)('%s, closed by the server', async (generation) => {
      const server = await running(startPerlServer());
      const path = await to(server);
      const client = await running(startPerlClientOn(path, generation));
      await nextText(client);
      client.write('say goodbye');
      const closeCode = { 'hixie-75': undefined, 'hixie-76': 1005, 'hybi-08': 1001, rfc6455: 1001 }[
        generation
      ];
      if (closeCode) await client.lines.next((line) => line === `close ${closeCode}`);
      await client.lines.next((line) => line === 'end');
      await path.expectSession({
        generation,
        closedBy: 'upstream',
        outcome: 'upstream-closed',
        messagesFromClient: 1,
        messagesFromUpstream: 1,
        ...(closeCode ? { closeCodeFromUpstream: closeCode } : {}),
      });
    });

    test.each([8, 13] as const)('ws with version %d before the Perl server', async (protocolVersion) => {
      const server = await running(startPerlServer());
      const path = await to(server);
      takesPart('client', npmSoftware('ws'));
      const client = new WebSocket(`${path.wsUrl}/chat`, { protocolVersion, perMessageDeflate: false });
      const messages = new Inbox<string>('the ws client');
      client.on('message', (data: Buffer) => messages.push(data.toString()));
      expect(await messages.next()).toMatch(/^hello draft-ietf-hybi-1[07]$/);
      client.send('grüße ✓');
      expect(await messages.next()).toBe('grüße ✓');
      const closed = new Promise((resolve) => client.on('close', (code) => resolve(code)));
      client.close(4000, 'enough');
      expect(await closed).toBe(4000);
      await path.expectSession({
        generation: protocolVersion === 8 ? 'hybi-08' : 'rfc6455',
        closedBy: 'client',
        closeCodeFromClient: 4000,
        closeCodeFromUpstream: 4000,
        messagesFromClient: 1,
        messagesFromUpstream: 2,
      });
    });
  });

  describe('Faye’s websocket-driver', () => {
    test.skipIf(needPerl.missing).each(['hixie-75', 'hixie-76'] as const)(
      `%s from Perl’s client${needPerl.note}`,
      async (generation) => {
        const server = await running(startDriverServer());
        const path = await to(server);
        const client = await running(startPerlClientOn(path, generation));
        expect(await server.lines.next()).toBe(`open ${generation}`);
        for (const text of ['grüße ✓', '', 'x'.repeat(30_000)]) {
          client.write(text);
          expect(await nextText(client)).toBe(text);
        }
        client.write('bye');
        if (generation === 'hixie-76') await client.lines.next((line) => line === 'close 1005');
        await client.lines.next((line) => line === 'end');
        await path.expectSession({
          generation,
          closedBy: 'upstream',
          outcome: 'upstream-closed',
          messagesFromClient: 4,
          messagesFromUpstream: 3,
          bytesFromUpstream:
            hixieBytes(['grüße ✓', '', 'x'.repeat(30_000)]) + (generation === 'hixie-76' ? 2 : 0),
        });
      },
    );

    test('version 13 on both sides', async () => {
      const server = await running(startDriverServer({ protocols: ['chat'] }));
      const path = await to(server);
      const client = await running(
        connectDriverClient(`${path.wsUrl}/chat`, { protocols: ['talk', 'chat'] }),
      );
      expect(client.protocol).toBe('chat');
      client.send('grüße ✓');
      expect(await client.messages.next()).toBe('grüße ✓');
      client.send(Buffer.from([0, 0xff, 0x80]));
      expect(Buffer.from((await client.messages.next()) as Buffer)).toEqual(Buffer.from([0, 0xff, 0x80]));
      client.close(4000, 'enough');
      expect(await client.messages.next()).toBe('close 4000 enough');
      await path.expectSession({
        generation: 'rfc6455',
        subprotocol: 'chat',
        closedBy: 'client',
        outcome: 'client-closed',
        closeCodeFromClient: 4000,
        closeCodeFromUpstream: 4000,
        messagesFromClient: 2,
        messagesFromUpstream: 2,
      });
    });

    test.skipIf(needPerl.missing)(`its client before the Perl server${needPerl.note}`, async () => {
      const server = await running(startPerlServer({ subprotocol: 'chat' }));
      const path = await to(server);
      const client = await running(connectDriverClient(`${path.wsUrl}/chat`, { protocols: ['chat'] }));
      expect(client.protocol).toBe('chat');
      expect(await client.messages.next()).toBe('hello draft-ietf-hybi-17');
      client.send('say goodbye');
      expect(await client.messages.next()).toBe('close 1001 ');
      await path.expectSession({ generation: 'rfc6455', closedBy: 'upstream', closeCodeFromUpstream: 1001 });
    });
  });
});

/** A chat with socket.io 0.6 from its session id to the goodbye; gives the payloads of all frames each way. */
async function converse(client: Child, server: Child): Promise<{ sent: string[]; received: string[] }> {
  const sent: string[] = [];
  const received: string[] = [];
  const say = (message: unknown): void => {
    sent.push(encode(message));
    client.write(encode(message));
  };
  const hear = async (matches: (message: string) => boolean): Promise<string> => {
    const payload = await nextText(client, (payload) => matches(decode(payload)[0] ?? ''));
    received.push(payload);
    return decode(payload)[0] ?? '';
  };

  const id = await hear((message) => /^\d{10,}$/.test(message));
  expect(await server.lines.next()).toBe(`connected ${id}`);

  say('grüße ✓');
  expect(await hear((message) => message.startsWith('gr'))).toBe('grüße ✓');
  say({ count: 7, text: 'as JSON' });
  expect(await hear((message) => message.startsWith('~j~'))).toBe('~j~{"count":7,"text":"as JSON"}');

  // The server asks, the client answers, the server asks again: it stops asking when an answer fails to arrive.
  for (const beat of [1, 2]) {
    const heartbeat = await hear((message) => message === `~h~${beat}`);
    say(heartbeat);
    await server.lines.next((line) => line === `heartbeat ${beat}`);
  }
  await hear((message) => message === '~h~3');

  client.end();
  await client.lines.next((line) => line === 'end');
  await server.lines.next((line) => line === `disconnected ${id}`);
  return { sent, received };
}

function startPerlClientOn(path: Path, generation: PerlGeneration, subprotocol?: string): Child {
  const options = subprotocol === undefined ? {} : { subprotocol };
  return startPerlClient({ host: path.host, port: path.port, path: '/chat?room=1', generation, ...options });
}

/** Its phrase, order and case are the server’s own; the location is the one that the client dialled. */
function expectPerlAnswer(line: string, generation: PerlGeneration, path: Path): void {
  const head = line.replace('answer ', '').split('|');
  expect(head.slice(0, 3)).toEqual([
    'HTTP/1.1 101 WebSocket Protocol Handshake',
    'Upgrade: WebSocket',
    'Connection: Upgrade',
  ]);
  const location = `${path.wsUrl}/chat?room=1`;
  if (generation === 'hixie-75') expect(head).toContain(`WebSocket-Location: ${location}`);
  if (generation === 'hixie-76') expect(head).toContain(`Sec-WebSocket-Location: ${location}`);
}

/** The whole head that socket.io 0.6 answers with; a Hixie-75 browser compares its first 85 bytes. */
function socketIoAnswer(generation: 'hixie-75' | 'hixie-76', path: Path): string {
  const [phrase, prefix] =
    generation === 'hixie-75' ? ['Web Socket', 'WebSocket'] : ['WebSocket', 'Sec-WebSocket'];
  return [
    `answer HTTP/1.1 101 ${phrase} Protocol Handshake`,
    'Upgrade: WebSocket',
    'Connection: Upgrade',
    `${prefix}-Origin: ${path.url}`,
    `${prefix}-Location: ${path.wsUrl}${socketIoPath}`,
  ].join('|');
}

async function nextText(client: Child, matches: (payload: string) => boolean = () => true): Promise<string> {
  const line = await client.lines.next((line) => line.startsWith('text ') && matches(line.slice(5)));
  return line.slice(5);
}

async function textOf(response: Response): Promise<string> {
  expect(response.status).toBe(200);
  return await response.text();
}

/** Each frame is its payload between 00 and FF. */
function hixieBytes(payloads: readonly string[]): number {
  return payloads.reduce((sum, payload) => sum + Buffer.byteLength(payload) + 2, 0);
}
