import { describe, expect, it } from 'vitest';
import { exchange, item, startPublishing, like } from '../../../test/fixtures/publishing.js';
import { MemoryBackplane } from '../../channels/backplane/memory.js';
import type { PublishResult } from '../../channels/types.js';
import type { PublishItem } from '../../protocol/grip/types.js';

describe('POST /publish/', () => {
  it.each(['/publish/', '/publish'])('at %s: in order, to those who listen', async (path) => {
    const { listen, call } = await startPublishing();
    const [room, other] = [listen('room'), listen('other')];
    const items = [item('room', 'one'), item('other', 'two'), item('nobody', 'three'), item('room', 'four')];
    expect(await call({ path, json: { items } })).toMatchObject({
      status: 200,
      text: 'Published\n',
      headers: { 'content-type': 'text/plain', 'content-length': '10' },
    });
    expect([room.texts, other.texts]).toEqual([['one', 'four'], ['two']]);
  });

  it('takes bodies of any type, as curl -d sends them', async () => {
    const { listen, call } = await startPublishing();
    const room = listen('room');
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    expect(await call({ headers, json: { items: [item('room', 'é')] } })).toMatchObject({ status: 200 });
    expect(room.texts).toEqual(['é']);
  });

  it('takes no items, and items of which it knows no format', async () => {
    const { call } = await startPublishing();
    for (const items of [[], [{ channel: 'c', formats: { 'carrier-pigeon': {} } }]]) {
      expect(await call({ json: { items } })).toMatchObject({ status: 200, text: 'Published\n' });
    }
  });

  const text = { type: 'text/plain', text: 'Published\n' };
  const json = { type: 'application/json', text: '{"message":"Published"}\n' };
  it.each([
    ['*/*', text],
    ['text/*', text],
    ['text/plain;q=0.5, application/json', text],
    ['application/json', json],
    ['APPLICATION/JSON; charset=utf-8', json],
    ['application/*', json],
    ['image/png, application/json, text/plain', json],
    ['text/plain;q=0, */*', text],
    ['text/plain; q=0.0, application/json', json],
  ])('answers Accept: %s', async (accept, expected) => {
    const { call } = await startPublishing();
    const { status, headers, text } = await call({ headers: { Accept: accept }, json: { items: [] } });
    expect({ status, type: headers['content-type'], text }).toEqual({ status: 200, ...expected });
  });

  it('refuses to answer in what it cannot, and publishes nothing', async () => {
    const { listen, call } = await startPublishing();
    const room = listen('room');
    expect(
      await call({ headers: { Accept: 'text/html' }, json: { items: [item('room', 'x')] } }),
    ).toMatchObject({
      status: 406,
      text: 'Not Acceptable. Supported formats are text/plain and application/json.\n',
    });
    expect(room.texts).toEqual([]);
  });

  it.each([
    ['{', 'Body is not valid JSON.'],
    ['[]', 'Invalid format.'],
    ['{}', "Invalid format: object does not contain 'items'"],
    ['{"items":7}', "Invalid format: object contains 'items' with wrong type"],
    ['{"items":[{}]}', "Invalid format: publish item object does not contain 'channel'"],
    ['{"items":[{"channel":"c","formats":{}}]}', 'Invalid format: no formats specified'],
    [Buffer.from('{"items":[{"channel":"\xff","formats":{"x":{}}}]}', 'latin1'), 'Body is not valid JSON.'],
  ])('400 for %s', async (body, line) => {
    const { call } = await startPublishing();
    const plain = await call({ body });
    expect([plain.status, plain.headers['content-type']]).toEqual([400, 'text/plain']);
    expect(plain.text.split('\n')[0]).toBe(line);
    const json = await call({ body, headers: { Accept: 'application/json' } });
    expect(json).toMatchObject({ status: 400, body: { error: { code: 'ITEMS_INVALID' } } });
    expect(json.body.error.message).toMatch(/^[^\n]*expected [^\n]+$/);
  });

  it('publishes all of a body or nothing, and tells of every bad item', async () => {
    const { listen, call } = await startPublishing();
    const room = listen('room');
    const items = [item('room', 'good'), { formats: {} }, item('room', 'good'), { channel: 'room' }];
    const { status, body } = await call({ headers: { Accept: 'application/json' }, json: { items } });
    expect(status).toBe(400);
    expect(body.error.problems).toEqual([like(/^items\[1\].channel: /), like(/^items\[3\].formats: /)]);
    expect(body.error.message).toMatch(/; and 1 more$/);
    expect(room.texts).toEqual([]);
  });

  it('has a limit on its body, in either way of saying its length', async () => {
    const { call } = await startPublishing({ plan: { maxBodyBytes: 100 } });
    const fitting = JSON.stringify({ items: [] }).padEnd(100);
    expect((await call({ body: fitting })).status).toBe(200);
    for (const headers of [{}, { 'Transfer-Encoding': 'chunked' }] as Record<string, string>[]) {
      const { status, text } = await call({ body: `${fitting} `, headers });
      expect([status, text]).toEqual([
        413,
        'expected a body of at most 100 bytes (`publish.maxBodyBytes`), found more\n',
      ]);
    }
  });

  it('takes no compressed body, and no other method', async () => {
    const { call } = await startPublishing();
    expect(await call({ headers: { 'Content-Encoding': 'gzip' }, json: { items: [] } })).toMatchObject({
      status: 415,
      headers: { 'accept-encoding': 'identity' },
    });
    for (const method of ['GET', 'PUT', 'OPTIONS']) {
      expect(await call({ method })).toMatchObject({
        status: 405,
        text: `Method not allowed: ${method}.\n`,
        headers: { allow: 'POST' },
      });
    }
  });

  it('publishes nothing of a body that breaks off', async () => {
    const { port, listen } = await startPublishing({ plan: { headerTimeoutMs: 50 } });
    const room = listen('room');
    const half = JSON.stringify({ items: [item('room', 'x')] });
    const head = `POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${half.length + 1}\r\n\r\n`;
    expect(await exchange(port, head + half)).not.toMatch(/ 200 /);
    expect(room.texts).toEqual([]);
  });
});

describe('counts', () => {
  it('are told on request: delivered, dropped, and the place in the sequence', async () => {
    const { listen, call } = await startPublishing();
    const [, slow, deaf] = [listen('room'), listen('room'), listen('room')];
    slow.onReceive = () => 'dropped';
    deaf.onReceive = () => 'skipped';
    const items = [
      item('room', '1', { id: 'a' }),
      item('room', '3', { id: 'c', 'prev-id': 'b' }),
      item('room', '1', { id: 'a' }),
      item('nobody', 'x'),
    ];
    const { status, body } = await call({ path: '/publish/?delivered=true', json: { items } });
    expect(status).toBe(200);
    expect(body).toEqual({
      message: 'Published',
      delivered: 1,
      dropped: 1,
      items: [
        { channel: 'room', id: 'a', delivered: 1, dropped: 1, sequence: 'in-order' },
        { channel: 'room', id: 'c', delivered: 0, dropped: 0, sequence: 'parked' },
        { channel: 'room', id: 'a', delivered: 0, dropped: 0, sequence: 'duplicate' },
        { channel: 'nobody', delivered: 0, dropped: 0, sequence: 'in-order' },
      ],
    });
  });

  it('are always told at /v1/publish', async () => {
    const { listen, call } = await startPublishing();
    listen('room');
    const json = { items: [item('room', 'x')] };
    const answer = await call({ path: '/v1/publish', json });
    expect(answer.body).toMatchObject({ message: 'Published', delivered: 1, dropped: 0 });
    expect(answer.body).toEqual((await call({ path: '/publish/?delivered=true', json })).body);
  });

  it('are JSON, and asked for in one way', async () => {
    const { call } = await startPublishing();
    const path = '/publish/?delivered=true';
    const ask = (accept: string) => call({ path, headers: { Accept: accept }, json: { items: [] } });
    expect((await ask('text/plain, */*')).body).toMatchObject({ delivered: 0 });
    expect((await ask('text/plain')).status).toBe(406);
    expect((await call({ path: '/publish/?delivered=yes', json: { items: [] } })).status).toBe(400);
    expect((await call({ path: '/publish/?delivred=true', json: { items: [] } })).text).toBe(
      'unknown parameter "delivred"; known here: delivered\n',
    );
  });
});

describe('a backplane that does not take it', () => {
  class Broken extends MemoryBackplane {
    override publish(item: PublishItem): Promise<PublishResult> {
      if (item.channel === 'room') return super.publish(item);
      return Promise.reject(new Error('the backplane is away'));
    }
  }

  it('is a 503 that says what was published', async () => {
    const { listen, call, faults } = await startPublishing({ backplane: new Broken('node1') });
    const room = listen('room');
    const json = { items: [item('lost', 'x'), item('room', 'y')] };
    const plain = await call({ json });
    expect(plain).toMatchObject({
      status: 503,
      text: 'items[0], channel "lost": the backplane is away; 1 of 2 items were published\n',
      headers: { 'retry-after': '1' },
    });
    const { body } = await call({ json, path: '/v1/publish' });
    expect(body.error).toMatchObject({
      code: 'BACKPLANE_UNAVAILABLE',
      published: 1,
      items: [
        { channel: 'lost', error: 'the backplane is away' },
        { channel: 'room', delivered: 1 },
      ],
    });
    expect(room.texts).toEqual(['y', 'y']);
    expect(faults).toEqual([]);
  });
});
