/** examples/gateway-aws and docs/gateway-aws.md as they stand; only ports are replaced. */
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import type { ConfigInput } from '../../src/config/schema.js';
import { type AwsEvent, startAwsBackend } from '../fixtures/aws-backend.js';
import {
  examplePorts,
  blocksOf,
  exampleText,
  runInConsole,
  startExampleBackend,
  withPorts,
  withPublish,
} from '../fixtures/gateway-example.js';
import { Inbox } from '../fixtures/inbox.js';
import { takesPart } from '../fixtures/interop.js';
import { watchGatewaySessions } from '../fixtures/interop-sessions.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';
import { npmSoftware } from '../fixtures/software.js';

const blocks = (language: string) => blocksOf('docs/gateway-aws.md', language);

describe('examples/gateway-aws', { timeout: 120_000 }, () => {
  test('who has no name is refused, with what $connect returned', async () => {
    const { url } = await startChat();
    const socket = new WebSocket(url);
    socket.on('error', () => {});
    const [, response] = (await once(socket, 'unexpected-response')) as [
      unknown,
      AsyncIterable<Buffer> & { statusCode: number },
    ];
    let body = '';
    for await (const chunk of response) body += chunk.toString();
    expect([response.statusCode, body]).toEqual([401, 'Who are you? Come with ?name=…\n']);
  });

  test('messages go by their route: to all, to one, to none; who leaves is missed', async () => {
    const { join } = await startChat();
    const [ann, bob] = [await join('ann'), await join('bob')];
    ann.say({ action: 'say', text: 'is it a tunnel? ⇄' });
    const connection = expect.any(String) as string;
    for (const { heard } of [ann, bob]) {
      expect(await heard.next()).toEqual({ from: 'ann', connection, text: 'is it a tunnel? ⇄' });
    }
    bob.say({ action: 'say', text: 'or a gateway?' });
    const { connection: bobs } = (await ann.heard.next()) as { connection: string };
    await bob.heard.next();
    ann.say({ action: 'say', text: 'for you', to: bobs });
    expect(await bob.heard.next()).toMatchObject({ from: 'ann', text: 'for you' });

    for (const text of ['{"action":"shout"}', 'no JSON']) {
      ann.socket.send(text);
      expect(await ann.heard.next()).toEqual({ error: 'expected {"action": "say", "text": "…"}' });
    }

    bob.socket.close(1000);
    expect(await ann.heard.next()).toEqual({ left: 'bob' });
    // The SDK is told 410.
    ann.say({ action: 'say', text: 'still there?', to: bobs });
    expect(await ann.heard.next()).toEqual({ gone: bobs });
    ann.say({ action: 'say', text: 'alone' });
    expect(await ann.heard.next()).toMatchObject({ text: 'alone' });
    expect(bob.heard.all).toHaveLength(3);
  });

  test('a function that fails is told to its client, which stays', async () => {
    const { join } = await startChat();
    const ann = await join('ann');
    // What it makes of this is too large for the SDK to send (413).
    ann.say({ action: 'say', text: 'x'.repeat(1024 ** 2 - 40) });
    expect(await ann.heard.next()).toMatchObject({ message: 'Internal server error' });
    ann.say({ action: 'say', text: 'here' });
    expect(await ann.heard.next()).toMatchObject({ text: 'here' });
  });

  test('the client in its README hears itself', async () => {
    const { ports } = await startChat();
    const [client] = blocksOf('examples/gateway-aws/README.md', 'js');
    const printed = runInConsole(withPorts(client!, ports));
    expect(await printed.next()).toContain('"from":"ann"');
  });
});

describe('docs/gateway-aws.md', { timeout: 120_000 }, () => {
  const [config, keys] = blocks('yaml');
  const [start, startWithKeys] = blocks('sh');

  test('shows the example as it is', () => {
    expect(config).toBe(exampleText('gateway-aws/tidegate.config.yaml'));
    expect(start).toBe('node server.mjs &\ntidegate serve\n');
  });

  test('its event is one', async () => {
    const backend = await running(startAwsBackend(() => ({ body: '{"statusCode":200}' })));
    const { port } = new URL(backend.url);
    const ports = { listen: 0, backend: Number(port), publish: 0 };
    const { url } = await running(startProxy(parse(withPorts(config!, ports)) as ConfigInput));
    const shown = JSON.parse(blocks('json')[0]!) as AwsEvent;
    const { requestContext, body } = shown;
    const socket = await connected(`${url.replace('http:', 'ws:')}/live?name=ann`);
    socket.send(body!);
    const { event } = await backend.requests.next(
      ({ event }) => event.requestContext.eventType === 'MESSAGE',
    );
    const { connectionId, connectedAt } = requestContext;
    expect(typeof event.requestContext['connectedAt']).toBe(typeof connectedAt);
    expect(event.requestContext.connectionId).toHaveLength(connectionId.length);
    const { connectionId: id, connectedAt: at } = event.requestContext;
    expect(event).toMatchObject({
      ...shown,
      requestContext: { ...requestContext, connectionId: id, connectedAt: at },
    });
  });

  test('its keys let in who has them, and nobody else', async () => {
    const env = Object.fromEntries(
      [...startWithKeys!.matchAll(/(AWS_\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]),
    );
    expect(Object.keys(env)).toEqual(['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']);
    const { join, ports } = await startChat(withPublish(config!, keys!), env);
    const ann = await join('ann');
    ann.say({ action: 'say', text: 'signed' });
    expect(await ann.heard.next()).toMatchObject({ text: 'signed' });
    for (const method of ['GET', 'POST']) {
      const unsigned = `http://127.0.0.1:${ports.publish}/@connections/${await idOf(ann)}`;
      expect((await fetch(unsigned, { method })).status).toBe(403);
    }
  });

  test('without them its functions fail, which their clients are told', async () => {
    const { join } = await startChat(withPublish(config!, keys!));
    const ann = await join('ann');
    ann.say({ action: 'say', text: 'unsigned' });
    expect(await ann.heard.next()).toMatchObject({ message: 'Internal server error' });
  });
});

type Member = Awaited<ReturnType<Awaited<ReturnType<typeof startChat>>['join']>>;

/** The functions tell it with each message. */
async function idOf({ say, heard }: Member): Promise<string> {
  say({ action: 'say', text: 'who am I?' });
  return ((await heard.next()) as { connection: string }).connection;
}

async function connected(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url);
  onTestFinished(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

async function startChat(
  config = exampleText('gateway-aws/tidegate.config.yaml'),
  env: Readonly<Record<string, string>> = {},
) {
  const ports = await examplePorts();
  const CONNECTIONS_URL = `http://127.0.0.1:${ports.publish}`;
  const all = { CONNECTIONS_URL, ...env };
  await running(startExampleBackend('gateway-aws/server.mjs', 'a chat', ports.backend, all));
  const { proxy } = await running(startProxy(parse(withPorts(config, ports)) as ConfigInput));
  takesPart('client', npmSoftware('ws'));
  takesPart('server', npmSoftware('@aws-sdk/client-apigatewaymanagementapi', 'the SDK of AWS'));
  watchGatewaySessions(proxy);
  const url = `ws://127.0.0.1:${ports.listen}/live`;
  return {
    ports,
    url,
    async join(name: string) {
      const socket = new WebSocket(`${url}?name=${name}`);
      onTestFinished(() => socket.terminate());
      const heard = new Inbox<unknown>(`what ${name} hears`);
      socket.on('message', (data: Buffer) => heard.push(JSON.parse(data.toString())));
      await once(socket, 'open');
      return { socket, heard, say: (message: object) => socket.send(JSON.stringify(message)) };
    },
  };
}
