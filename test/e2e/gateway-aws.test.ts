import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import type { ConfigInput } from '../../src/config/schema.js';
import type { GatewayTrouble } from '../../src/observe/record.js';
import { type AwsReply, type AwsRequest, startAwsBackend } from '../fixtures/aws-backend.js';
import { Inbox } from '../fixtures/inbox.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

type GatewayInput = NonNullable<ConfigInput['routes'][number]['gateway']>;

async function setUp(
  reply?: (request: AwsRequest) => AwsReply | Promise<AwsReply>,
  gateway: Partial<GatewayInput> = {},
) {
  const backend = await running(startAwsBackend(reply));
  const proxy = await running(
    startProxy({
      listeners: ['127.0.0.1:0'],
      routes: [{ gateway: { to: backend.url, dialect: 'aws', ...gateway } }],
      publish: '127.0.0.1:0',
    }),
  );
  const troubles = new Inbox<GatewayTrouble>('the troubles');
  proxy.proxy.on('gateway.trouble', (trouble) => troubles.push(trouble));
  return { backend, proxy, troubles };
}

type SetUp = Awaited<ReturnType<typeof setUp>>;

/** Its messages are heard from the first on. */
async function connect({ proxy }: SetUp, path = '/', protocols: string[] = [], headers = {}) {
  const ws = new WebSocket(`ws://127.0.0.1:${proxy.port}${path}`, protocols, { headers });
  const messages = new Inbox<Buffer | string>('the messages at the client');
  ws.on('message', (data: Buffer, isBinary) => messages.push(isBinary ? data : data.toString()));
  await once(ws, 'open');
  return { ws, messages };
}

async function refused({ proxy }: SetUp, protocols: string[] = []) {
  const ws = new WebSocket(`ws://127.0.0.1:${proxy.port}/`, protocols);
  ws.on('error', () => {});
  const [, res] = (await once(ws, 'unexpected-response')) as [
    unknown,
    AsyncIterable<Buffer> & { statusCode: number; headers: object },
  ];
  const chunks: Buffer[] = [];
  for await (const chunk of res) chunks.push(chunk);
  return { status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks).toString() };
}

const of = (eventType: string) => (request: AwsRequest) =>
  request.event.requestContext.eventType === eventType;

describe('events', () => {
  it('tell of a connection from its beginning to its end', async () => {
    const all = await setUp();
    const client = await connect(all, '/room?name=a&name=b%20c', [], { 'X-One': 'é', Cookie: 'a=b' });
    const connected = await all.backend.requests.next(of('CONNECT'));
    expect(connected.path).toBe('/room?name=a&name=b%20c');
    expect(connected.fields).toMatchObject({
      'content-type': 'application/json',
      cookie: 'a=b',
      'x-forwarded-for': '127.0.0.1',
    });
    const { connectionId } = connected.event.requestContext;
    expect(connected.event).toMatchObject({
      requestContext: {
        routeKey: '$connect',
        messageDirection: 'IN',
        stage: 'production',
        apiId: 'tidegate',
        domainName: `127.0.0.1:${all.proxy.port}`,
        identity: { sourceIp: '127.0.0.1' },
      },
      headers: { Host: `127.0.0.1:${all.proxy.port}`, 'Sec-WebSocket-Version': '13', Cookie: 'a=b' },
      multiValueHeaders: { 'X-Forwarded-For': ['127.0.0.1'] },
      queryStringParameters: { name: 'b c' },
      multiValueQueryStringParameters: { name: ['a', 'b c'] },
      isBase64Encoded: false,
    });
    expect(connected.event.headers).not.toHaveProperty('Upgrade');
    expect(connected.event.requestContext['connectedAt']).toBeTypeOf('number');

    client.ws.send('{"action":"say","text":"grüße"}');
    const said = await all.backend.requests.next(of('MESSAGE'));
    expect(said.event).toMatchObject({
      requestContext: { routeKey: 'say', connectionId, messageDirection: 'IN' },
      body: '{"action":"say","text":"grüße"}',
      isBase64Encoded: false,
    });
    expect(said.event.headers).toBeUndefined();
    expect(said.event.requestContext['connectedAt']).toBe(connected.event.requestContext['connectedAt']);

    client.ws.close(4001, 'bye');
    const [code] = (await once(client.ws, 'close')) as [number];
    expect(code).toBe(4001);
    const gone = await all.backend.requests.next(of('DISCONNECT'));
    expect(gone.event.requestContext).toMatchObject({
      routeKey: '$disconnect',
      connectionId,
      disconnectStatusCode: 4001,
      disconnectReason: 'bye',
    });
    expect(await all.proxy.nextRecord()).toMatchObject({
      status: 101,
      messagesFromClient: 1,
      closeCodeFromClient: 4001,
      closedBy: 'client',
      outcome: 'client-closed',
    });
  });

  it('tell of clients that are gone without a word', async () => {
    const all = await setUp();
    const client = await connect(all);
    client.ws.terminate();
    const gone = await all.backend.requests.next(of('DISCONNECT'));
    expect(gone.event.requestContext).toMatchObject({ disconnectStatusCode: 1006 });
  });

  it('are routed by a field of the body', async () => {
    const all = await setUp(undefined, {
      aws: { routeSelectionExpression: '$request.body.on.what', routes: ['join', 'leave'] },
    });
    const { ws } = await connect(all);
    const cases = {
      '{"on":{"what":"join"}}': 'join',
      '{"on":{"what":"leave"},"x":1}': 'leave',
      '{"on":{"what":"other"}}': '$default',
      '{"on":{"what":"$connect"}}': '$default',
      '{"on":{"what":7}}': '$default',
      '{"on":null}': '$default',
      '{"what":"join"}': '$default',
      '"join"': '$default',
      'no JSON': '$default',
    };
    for (const [text, routeKey] of Object.entries(cases)) {
      ws.send(text);
      const { event } = await all.backend.requests.next(of('MESSAGE'));
      expect([event.body, event.requestContext.routeKey]).toEqual([text, routeKey]);
    }
    ws.send(Buffer.from([0, 255]));
    const { event } = await all.backend.requests.next(of('MESSAGE'));
    expect(event).toMatchObject({
      requestContext: { routeKey: '$default' },
      body: 'AP8=',
      isBase64Encoded: true,
    });
  });

  it('of one connection go out one after the other', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const all = await setUp(async ({ event }) => {
      if (event.body === '1') await held;
      return {};
    });
    const { ws } = await connect(all);
    for (const text of ['1', '2', '3']) ws.send(text);
    ws.close(1000);
    await all.backend.requests.next(({ event }) => event.body === '1');
    await once(ws, 'close');
    expect(all.backend.requests.all.length).toBe(2);
    release();
    await all.backend.requests.next(of('DISCONNECT'));
    expect(all.backend.requests.all.map(({ event }) => event.body ?? event.requestContext.routeKey)).toEqual([
      ...['$connect', '1', '2', '3', '$disconnect'],
    ]);
  });
});

describe('$connect', () => {
  it('refuses with what the backend says, and no $disconnect follows', async () => {
    const all = await setUp(() => ({ status: 401, headers: { 'X-Why': 'no' }, body: 'who are you?' }));
    expect(await refused(all)).toMatchObject({
      status: 401,
      headers: { 'x-why': 'no' },
      body: 'who are you?',
    });
    await all.proxy.stop();
    expect(all.backend.requests.all.length).toBe(1);
  });

  it('chooses among the subprotocols that the client offers', async () => {
    const all = await setUp(() => ({ headers: { 'Sec-WebSocket-Protocol': 'b' } }));
    const { ws } = await connect(all, '/', ['a', 'b']);
    expect(ws.protocol).toBe('b');
    ws.terminate();
    expect((await refused(all, ['a'])).status).toBe(502);
    expect((await all.troubles.next()).problem).toMatch(/subprotocol "b" was chosen; offered: "a"/);
    // The backend believes to have taken that one.
    await all.backend.requests.next(of('DISCONNECT'));
    await all.backend.requests.next(of('DISCONNECT'));
  });

  it('is refused with 502 where no backend is', async () => {
    const all = await setUp();
    await all.backend.stop();
    expect((await refused(all)).status).toBe(502);
  });
});

describe('$disconnect', () => {
  it('comes too where the client was gone before its answer', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    const all = await setUp(async ({ event }) => {
      if (event.requestContext.eventType === 'CONNECT') await held;
      return {};
    });
    const ws = new WebSocket(`ws://127.0.0.1:${all.proxy.port}/`);
    ws.on('error', () => {});
    const { event } = await all.backend.requests.next();
    ws.terminate();
    const gone = await all.backend.requests.next();
    expect(gone.event.requestContext).toMatchObject({
      routeKey: '$disconnect',
      connectionId: event.requestContext.connectionId,
      disconnectStatusCode: 1006,
    });
    release();
  });

  it('is tried again where the backend is away', async () => {
    let tries = 0;
    const all = await setUp(({ event }) => ({
      status: event.requestContext.eventType === 'DISCONNECT' && ++tries === 1 ? 503 : 200,
    }));
    const { ws } = await connect(all);
    ws.close(1000);
    const first = await all.backend.requests.next(of('DISCONNECT'));
    const second = await all.backend.requests.next(of('DISCONNECT'));
    expect(second.event).toEqual(first.event);
  });

  it('comes when the proxy stops, which waits for it', async () => {
    const all = await setUp();
    const { ws } = await connect(all);
    const closed = once(ws, 'close');
    await all.proxy.proxy.stop();
    const [code] = (await closed) as [number];
    const gone = all.backend.requests.all.at(-1)!;
    expect(gone.event.requestContext).toMatchObject({
      routeKey: '$disconnect',
      disconnectStatusCode: code,
    });
  });
});

describe('answers to messages', () => {
  const echo = ({ event }: AwsRequest): AwsReply => ({ body: event.body ?? '' });

  it('go nowhere by default', async () => {
    const all = await setUp(echo);
    const client = await connect(all);
    client.ws.send('x');
    await all.backend.requests.next(of('MESSAGE'));
    client.ws.close();
    await once(client.ws, 'close');
    expect(client.messages.all).toEqual([]);
  });

  it('go to the client where that is wanted', async () => {
    const all = await setUp(
      ({ event }) =>
        event.isBase64Encoded
          ? {
              headers: { 'Content-Type': 'application/octet-stream' },
              body: Buffer.from(event.body ?? '', 'base64'),
            }
          : {
              status: event.body === 'bad' ? 400 : 200,
              body: event.body === 'quiet' ? '' : (event.body ?? ''),
            },
      { aws: { twoWay: true } },
    );
    const { ws, messages } = await connect(all);
    for (const said of ['one', 'quiet', 'bad', Buffer.from('bytes')]) ws.send(said);
    expect(await messages.next()).toBe('one');
    expect(await messages.next()).toBe('bad');
    expect(await messages.next()).toEqual(Buffer.from('bytes'));
  });

  it('may be what a Lambda function returns', async () => {
    const answers: Record<string, unknown> = {
      $connect: { statusCode: 200, headers: { 'Sec-WebSocket-Protocol': 'chat' } },
      ok: { statusCode: 200, body: 'done' },
      base64: { statusCode: '200', body: 'AP8=', isBase64Encoded: true },
      failed: { errorMessage: 'boom', errorType: 'Error' },
      null: null,
      own: { statusCode: 500, body: 'my own error' },
    };
    const all = await setUp(
      ({ event }) => ({ body: JSON.stringify(answers[event.body ?? event.requestContext.routeKey] ?? {}) }),
      { aws: { twoWay: true, answers: 'lambda', path: '/2015-03-31/functions/function/invocations' } },
    );
    const { ws, messages } = await connect(all, '/x', ['chat']);
    expect(ws.protocol).toBe('chat');
    for (const said of ['ok', 'base64', 'own', 'failed', 'null']) ws.send(said);
    expect(await messages.next()).toBe('done');
    expect(await messages.next()).toEqual(Buffer.from([0, 255]));
    expect(await messages.next()).toBe('my own error');
    expect(JSON.parse((await messages.next()) as string)).toMatchObject({ message: 'Internal server error' });
    const { problem } = await all.troubles.next((trouble) => trouble.problem.includes('lost'));
    expect(problem).toMatch(/the function failed: "boom"/);
    expect(await messages.next()).toMatch(/Internal server error/);
    expect(all.backend.requests.all[0]!.path).toBe('/2015-03-31/functions/function/invocations');
  });

  it('that fail are told to the client, and the connection goes on', async () => {
    const all = await setUp(
      ({ event }) => ({ status: event.body === 'bad' ? 500 : 200, body: event.body ?? '' }),
      {
        aws: { twoWay: true },
      },
    );
    const { ws, messages } = await connect(all);
    ws.send('bad');
    ws.send('good');
    const { event } = await all.backend.requests.next(of('MESSAGE'));
    const { connectionId, requestId } = event.requestContext;
    expect(JSON.parse((await messages.next()) as string)).toEqual({
      message: 'Internal server error',
      connectionId,
      requestId,
    });
    expect(await messages.next()).toBe('good');
    expect((await all.troubles.next()).problem).toMatch(
      /\$default: a message is lost: the backend answered 500/,
    );
  });

  it('that say the backend is away are asked for again, with the same event', async () => {
    let tries = 0;
    const all = await setUp(
      ({ event }) => {
        if (event.requestContext.eventType === 'CONNECT') return {};
        return { status: ++tries === 1 ? 503 : 200, body: 'at last' };
      },
      { aws: { twoWay: true } },
    );
    const { ws, messages } = await connect(all);
    ws.send('x');
    expect(await messages.next()).toBe('at last');
    const [, first, second] = all.backend.requests.all;
    expect(second!.event).toEqual(first!.event);
  });
});

it('has channels too, which the configuration names', async () => {
  const all = await setUp(undefined, { subscribe: 'all' });
  const { messages } = await connect(all);
  const { host, port } = all.proxy.proxy.publish as { host: string; port: number };
  const items = [{ channel: 'all', formats: { 'ws-message': { content: 'to everybody' } } }];
  const answer = await fetch(`http://${host}:${port}/publish/`, {
    method: 'POST',
    body: JSON.stringify({ items }),
  });
  expect(answer.status).toBe(200);
  expect(await messages.next()).toBe('to everybody');
});
