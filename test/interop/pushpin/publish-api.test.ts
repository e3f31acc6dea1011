/** Beside Pushpin: the publish API itself. */
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { createProxy } from '../../../src/server/proxy.js';
import { besidePushpin, type Comparison, type Run } from '../../fixtures/beside-pushpin.js';
import { startProxy } from '../../fixtures/proxy.js';
import { running } from '../../fixtures/running.js';

interface ApiCase extends Comparison {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** What comes after the first line counts, too. */
  readonly whole?: boolean;
}

const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern);
const item = { channel: 'a', formats: { 'ws-message': { content: 'x' } } };

const cases: Readonly<Record<string, ApiCase>> = {
  'an item': { body: { items: [item] } },
  'an item, answered in JSON': { headers: { accept: 'application/json' }, body: { items: [item] } },
  'no slash at the end': { path: '/publish', body: { items: [item] } },
  'no items': { body: { items: [] } },
  'formats that nobody knows': { body: { items: [{ channel: 'a', formats: { 'x-y': {} } }] } },
  'a format on the item itself': { body: { items: [{ channel: 'a', 'ws-message': { content: 'x' } }] } },
  'as js-grip writes a close': {
    body: { items: [{ channel: 'a', formats: { 'ws-message': { action: 'close', code: '4001' } } }] },
  },
  'no JSON': { body: 'items' },
  'no list of items': { body: {} },
  'an item without a channel': { body: { items: [item, { formats: item.formats }] } },
  'an item without formats': { body: { items: [{ channel: 'a' }] } },
  'another method': { method: 'PUT', body: { items: [item] } },
  'another path': {
    path: '/elsewhere',
    body: { items: [item] },
    differs: {
      pushpin: { status: 404, first: 'Not Found' },
      tidegate: { status: 404, first: matching(/^nothing here; there are /) },
    },
  },
  'another type of answer': { headers: { accept: 'image/png' }, body: { items: [item] } },
  'the root': {
    method: 'GET',
    path: '/',
    differs: {
      pushpin: { status: 200, first: 'Pushpin API' },
      tidegate: { status: 200, first: matching(/^Tidegate publish API/) },
    },
  },
  'where an item is wrong': {
    body: { items: [item, { formats: item.formats }] },
    whole: true,
    differs: {
      pushpin: { status: 400, more: [] },
      tidegate: { status: 400, more: [expect.stringMatching(/^items\[1\]\.channel: /)] },
    },
  },
  'publishers who are not who they say they are': {
    headers: { authorization: 'Bearer forged' },
    body: { items: [item] },
  },
  'to how many': {
    path: '/v1/publish',
    body: { items: [item] },
    differs: {
      pushpin: { status: 404 },
      tidegate: { status: 200, first: matching(/"delivered":0/) },
    },
  },
  'one client by its id': {
    method: 'DELETE',
    path: '/v1/sessions/node.nobody',
    differs: {
      pushpin: { status: 404, type: 'text/plain' },
      tidegate: { status: 404, type: 'application/json' },
    },
  },
};

async function ask(
  { method = 'POST', path = '/publish/', headers = {}, body, whole = false }: ApiCase,
  { door }: Run,
) {
  const req = request({ port: door.publishPort, host: '127.0.0.1', method, path, headers, agent: false });
  const answered = new Promise<object>((resolve, reject) => {
    req.once('error', reject);
    req.once('response', (res) => {
      const { 'content-type': type, allow } = res.headers;
      text(res).then((body) => {
        const [first, ...more] = body.trimEnd().split('\n');
        resolve({ status: res.statusCode, type, allow, first, ...(whole && { more }) });
      }, reject);
    });
  });
  req.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  return answered;
}

besidePushpin('the publish API', cases, ask);

// Pushpin has no such setting: it takes what anybody says, as above.
describe('publishing from another machine', () => {
  const routes = [{ gateway: { to: 'http://127.0.0.1:9' } }];

  test('is not possible without credentials', () => {
    const open = { listeners: ['127.0.0.1:0'], routes, publish: '0.0.0.0:0' };
    expect(() => createProxy(open)).toThrow(/auth/);
  });

  test('needs the right ones', async () => {
    const auth = { tokens: ['a-token-that-publishers-know'] };
    const publish = { address: '127.0.0.1:0', auth };
    const { proxy } = await running(startProxy({ listeners: ['127.0.0.1:0'], routes, publish }));
    const { port } = proxy.publish as { port: number };
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}/publish/`, { method: 'POST', headers, body: '{"items":[]}' }))
        .status;
    expect(await status({})).toBe(401);
    expect(await status({ authorization: 'Bearer forged' })).toBe(401);
    expect(await status({ authorization: 'Bearer a-token-that-publishers-know' })).toBe(200);
  });
});
