import { once } from 'node:events';
import {
  ApiGatewayManagementApi,
  type GetConnectionCommandOutput,
} from '@aws-sdk/client-apigatewaymanagementapi';
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import type { ConfigInput } from '../../src/config/schema.js';
import { startAwsBackend } from '../fixtures/aws-backend.js';
import { Inbox } from '../fixtures/inbox.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

const KEY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };

const clients: ApiGatewayManagementApi[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});

interface Options {
  readonly publish?: Partial<Extract<NonNullable<ConfigInput['publish']>, object>>;
  readonly gateway?: object;
}

async function setUp({ publish = {}, gateway = {} }: Options = {}) {
  const backend = await running(startAwsBackend());
  const proxy = await running(
    startProxy({
      listeners: ['127.0.0.1:0'],
      routes: [{ gateway: { to: backend.url, dialect: 'aws', ...gateway } }],
      publish: { address: '127.0.0.1:0', ...publish },
    }),
  );
  const ws = new WebSocket(`ws://127.0.0.1:${proxy.port}/`, { headers: { 'User-Agent': 'a client' } });
  const messages = new Inbox<Buffer | string>('the messages at the client');
  ws.on('message', (data: Buffer, isBinary) => messages.push(isBinary ? data : data.toString()));
  await once(ws, 'open');
  const { event } = await backend.requests.next();
  const { port } = proxy.proxy.publish as { port: number };
  return { backend, proxy, ws, messages, port, ConnectionId: event.requestContext.connectionId };
}

function sdk(port: number, credentials: object = KEY, prefix = '/production', more: object = {}) {
  const client = new ApiGatewayManagementApi({
    endpoint: `http://127.0.0.1:${port}${prefix}`,
    region: 'eu-central-1',
    // It writes into them.
    credentials: { ...credentials } as typeof KEY,
    // What is refused here is refused for good.
    maxAttempts: 1,
    ...more,
  });
  clients.push(client);
  return client;
}

const failure = (name: string, status: number) => ({ name, $metadata: { httpStatusCode: status } });

describe.each([
  ['signatures not looked at', undefined],
  ['signatures checked', { auth: { aws: KEY } }],
])('the SDK of AWS, %s', (_, publish) => {
  it('sends to a connection, looks at it and closes it', async () => {
    const { port, ConnectionId, messages, ws, backend } = await setUp({ publish });
    const api = sdk(port);
    await api.postToConnection({ ConnectionId, Data: 'grüße' });
    expect(await messages.next()).toBe('grüße');
    await api.postToConnection({ ConnectionId, Data: Buffer.from([0xff, 0]) });
    expect(await messages.next()).toEqual(Buffer.from([0xff, 0]));
    const found: GetConnectionCommandOutput = await api.getConnection({ ConnectionId });
    expect(found.ConnectedAt).toBeInstanceOf(Date);
    expect(found.LastActiveAt!.getTime()).toBeGreaterThanOrEqual(found.ConnectedAt!.getTime());
    expect(found.Identity).toEqual({ SourceIp: '127.0.0.1', UserAgent: 'a client' });
    const closed = once(ws, 'close');
    expect((await api.deleteConnection({ ConnectionId })).$metadata.httpStatusCode).toBe(204);
    expect(((await closed) as [number])[0]).toBe(1000);
    const { event } = await backend.requests.next();
    expect(event.requestContext).toMatchObject({ routeKey: '$disconnect', disconnectStatusCode: 1000 });
    for (const gone of [
      () => api.postToConnection({ ConnectionId, Data: 'x' }),
      () => api.getConnection({ ConnectionId }),
      () => api.deleteConnection({ ConnectionId }),
    ]) {
      await expect(gone()).rejects.toMatchObject(failure('GoneException', 410));
    }
  });

  it('is told of connections that never were, whatever their id', async () => {
    const { port } = await setUp({ publish });
    for (const ConnectionId of ['L0SM9cOFvHcCIhw=', 'a/b c%?#é', '..']) {
      const asked = sdk(port, KEY, '/a/b').getConnection({ ConnectionId });
      await expect(asked).rejects.toMatchObject(failure('GoneException', 410));
    }
  });

  it('is told of messages that are too large', async () => {
    const { port, ConnectionId } = await setUp({ publish: { ...publish, maxBodyBytes: '1KiB' } });
    const sent = sdk(port).postToConnection({ ConnectionId, Data: 'x'.repeat(1025) });
    await expect(sent).rejects.toMatchObject(failure('PayloadTooLargeException', 413));
  });

  it('is told of clients that do not take what is sent', async () => {
    const gateway = { slowConsumer: { policy: 'drop-newest', maxBytes: '1KiB' } };
    const { port, ConnectionId, ws } = await setUp({ publish, gateway });
    ws.pause();
    const api = sdk(port);
    const Data = 'x'.repeat(512 * 1024);
    const fill = async (): Promise<void> => {
      for (;;) await api.postToConnection({ ConnectionId, Data });
    };
    await expect(fill()).rejects.toMatchObject(failure('LimitExceededException', 429));
    ws.terminate();
  });
});

describe('where signatures are checked', () => {
  const publish = { auth: { aws: [{ ...KEY, accessKeyId: 'OTHER' }, KEY] } };

  it.each<[string, object, object]>([
    ['of a wrong secret', { ...KEY, secretAccessKey: `${KEY.secretAccessKey}x` }, {}],
    ['of an unknown key', { ...KEY, accessKeyId: 'UNKNOWN' }, {}],
  ])('one %s is refused', async (_, credentials, more) => {
    const { port, ConnectionId, messages } = await setUp({ publish });
    const sent = sdk(port, credentials, '', more).postToConnection({ ConnectionId, Data: 'x' });
    await expect(sent).rejects.toMatchObject(failure('ForbiddenException', 403));
    await sdk(port, KEY).postToConnection({ ConnectionId, Data: 'next' });
    expect(await messages.next()).toBe('next');
  });

  it('an SDK whose clock is wrong corrects itself', async () => {
    const { port, ConnectionId, messages } = await setUp({ publish });
    const systemClockOffset = -3_600_000;
    const late = { systemClockOffset, maxAttempts: 1 };
    const sent = sdk(port, KEY, '', late).postToConnection({ ConnectionId, Data: 'x' });
    await expect(sent).rejects.toMatchObject(failure('InvalidSignatureException', 403));
    await sdk(port, KEY, '', { systemClockOffset, maxAttempts: 2 }).postToConnection({
      ConnectionId,
      Data: 'in time',
    });
    expect(await messages.next()).toBe('in time');
  });

  it('nothing is let in without one, nor anywhere else with one', async () => {
    const { port, ConnectionId } = await setUp({ publish });
    const base = `http://127.0.0.1:${port}`;
    const bare = await fetch(`${base}/@connections/${ConnectionId}`, { method: 'POST', body: 'x' });
    expect(bare.status).toBe(403);
    expect(bare.headers.get('x-amzn-errortype')).toBe('ForbiddenException');
    expect((await fetch(`${base}/publish/`, { method: 'POST', body: '{"items":[]}' })).status).toBe(401);
    expect((await fetch(`${base}/v1/sessions`)).status).toBe(401);
  });
});

it('tokens let in as well, and other methods are refused', async () => {
  const { port, ConnectionId, messages } = await setUp({
    publish: { auth: { aws: KEY, tokens: 'a-token-of-16-characters' } },
  });
  const url = `http://127.0.0.1:${port}/any/prefix/%40connections/${ConnectionId}`;
  const headers = { Authorization: 'Bearer a-token-of-16-characters' };
  expect((await fetch(url, { method: 'POST', body: 'x', headers })).status).toBe(200);
  expect(await messages.next()).toBe('x');
  const put = await fetch(url, { method: 'PUT', body: 'x', headers });
  expect([put.status, put.headers.get('allow')]).toEqual([405, 'POST, GET, DELETE']);
});
