import { describe, expect, it } from 'vitest';
import { FieldLines } from '../http/field-lines.js';
import { HeaderList } from '../http/header-list.js';
import { encodeEvents } from './events.js';
import { replayedFields, requestFields, type Sender } from './request-fields.js';
import type { EventsRequest } from './types.js';

const names = (raw: string[]) => [...replayedFields(HeaderList.fromRaw(raw))].map(([name]) => name);

const open: EventsRequest = {
  kind: 'open',
  seq: 1,
  body: encodeEvents([{ type: 'OPEN' }]),
  replayedBytes: 0,
  meta: [],
};

describe('replayedFields', () => {
  it('keeps what the backend judges the client by, in order, duplicates too', () => {
    const raw = [
      ...[
        'Host',
        'app.example',
        'Cookie',
        'sid=42',
        'Authorization',
        'Bearer x',
        'Origin',
        'https://app.example',
      ],
      ...['User-Agent', 'a', 'Sec-WebSocket-Key', 'k', 'Sec-WebSocket-Version', '13'],
      ...[
        'Sec-WebSocket-Protocol',
        'a',
        'X-Custom',
        '1',
        'sec-websocket-protocol',
        'b',
        'Accept-Language',
        'de',
      ],
    ];
    expect(replayedFields(HeaderList.fromRaw(raw)).toRaw()).toEqual(raw);
  });

  it.each([
    ...['Connection', 'Keep-Alive', 'Upgrade', 'TE', 'Trailer', 'Transfer-Encoding', 'Proxy-Connection'],
    ...['HTTP2-Settings', 'Proxy-Authorization', 'Accept', 'Accept-Encoding', 'Expect'],
    ...['Content-Length', 'Content-Type', 'Content-Encoding', 'Content-Bytes-Replayed'],
    ...['Sec-WebSocket-Extensions', 'Connection-Id', 'Meta-User', 'Grip-Sig', 'Grip-Feature', 'Grip-Last'],
    ...['Tidegate-Request-Seq', 'META-USER', 'grip-sig'],
    // As CGI would read them.
    ...['Meta_User', 'meta.user', 'Grip_Sig', 'Connection_Id', 'Content_Length', 'Content_Bytes_Replayed'],
    ...['Sec_WebSocket_Extensions', 'Tidegate_Request_Seq', 'Transfer_Encoding'],
  ])('takes %s away', (name) => {
    expect(names(['A', '1', name, 'trailers', 'B', '2'])).toEqual(['A', 'B']);
  });

  it('takes away what Connection names, but no name of the handshake', () => {
    expect(names(['Connection', 'Upgrade, X-Hop, Cookie', 'X-Hop', '1', 'Cookie', 'a'])).toEqual(['Cookie']);
  });

  it('leaves names that only look alike', () => {
    expect(
      names(['Metadata', '1', 'X-Meta-User', '1', 'Gripper', '1', 'Accept-Language', 'de']),
    ).toHaveLength(4);
  });

  it('leaves the handshake itself as it was', () => {
    const handshake = HeaderList.fromRaw(['Connection', 'Upgrade', 'Meta-A', '1']);
    replayedFields(handshake);
    expect(handshake.size).toBe(2);
  });
});

const fieldsOf = (replayed: string[], request: EventsRequest, sender: Sender) =>
  requestFields(FieldLines.of(HeaderList.fromRaw(replayed)), request, sender).toList();

describe('requestFields', () => {
  const sender = {
    connectionId: '7e3b0f97-d72e-4f6a-96bc-c86ddc246e1f',
    grip: { signature: 'eyJ0.eyJl.AdHU', features: 'status, session' },
  };

  it('says all of one POST in the order of the protocol', () => {
    const request: EventsRequest = {
      ...open,
      kind: 'events',
      seq: 7,
      body: Buffer.from('TEXT 6\r\n[hello\r\nTEXT 7\r\n world]\r\n'),
      replayedBytes: 6,
      meta: new Map([
        ['User', 'alice'],
        ['room', '1'],
      ]),
    };
    expect(fieldsOf(['Host', 'app.example'], request, sender).toRaw()).toEqual([
      ...['Host', 'app.example'],
      ...[
        'Sec-WebSocket-Extensions',
        'grip',
        'Grip-Sig',
        'eyJ0.eyJl.AdHU',
        'Grip-Feature',
        'status, session',
      ],
      ...['Accept', 'application/websocket-events', 'Connection-Id', sender.connectionId],
      ...['Content-Type', 'application/websocket-events', 'Content-Length', '33'],
      ...['Content-Bytes-Replayed', '6', 'Tidegate-Request-Seq', '7', 'Meta-User', 'alice', 'Meta-room', '1'],
    ]);
  });

  it('says nothing of GRIP where it is not offered, and has no signature without a key', () => {
    const without = fieldsOf([], open, { ...sender, grip: undefined });
    expect([...without].filter(([name]) => /grip|extensions/i.test(name))).toEqual([]);
    expect(without.has('Content-Bytes-Replayed')).toBe(false);
    const unsigned = { ...sender, grip: { signature: undefined, features: 'x' } };
    const fields = fieldsOf([], open, unsigned);
    expect(fields.has('Grip-Sig')).toBe(false);
    expect(fields.get('Sec-WebSocket-Extensions')).toBe('grip');
  });

  it('lets nothing out that would begin a line of its own', () => {
    const said = { ...open, meta: [['User', 'a\r\nX-Evil: 1']] as const };
    expect(() => fieldsOf([], said, sender)).toThrow('header Meta-User has a control character in its value');
    expect(() => fieldsOf([], open, { ...sender, connectionId: 'a\nb' })).toThrow('Connection-Id');
  });
});
