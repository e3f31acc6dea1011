import { Channel, GripInstruct } from '@fanoutio/grip';
import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { GRIP_FEATURE, gripLast } from './features.js';
import { type Hold, isInstructBody, readInstruction } from './hold.js';

const read = (raw: readonly string[], body?: string, status = 200) =>
  readInstruction(
    { status, reason: 'OK', headers: HeaderList.fromRaw(raw) },
    body === undefined ? undefined : Buffer.from(body),
  );

function holdOf(raw: readonly string[], body?: string): Hold {
  const instruction = read(raw, body);
  if (instruction.kind !== 'hold') throw new Error(JSON.stringify(instruction));
  return instruction.hold;
}

const fromObject = (headers: Readonly<Record<string, string>>) => Object.entries(headers).flat();

describe('readInstruction, of headers', () => {
  it('reads the example of a stream', () => {
    const instruction = read([
      'Content-Type',
      'text/event-stream',
      'Grip-Hold',
      'stream',
      'Grip-Channel',
      'room1',
      'Grip-Keep-Alive',
      ':\\n\\n; format=cstring; timeout=20',
      'Content-Length',
      '19',
    ]);
    expect(instruction).toEqual({
      kind: 'hold',
      hold: {
        mode: 'stream',
        channels: [{ name: 'room1', prevId: undefined, filters: [] }],
        timeoutMs: 55_000,
        keepAlive: { content: Buffer.from(':\n\n'), timeoutMs: 20_000, mode: 'idle' },
        meta: new Map(),
        next: undefined,
        goneUrl: undefined,
      },
      response: {
        status: 200,
        reason: 'OK',
        headers: HeaderList.fromRaw(['Content-Type', 'text/event-stream', 'Content-Length', '19']),
        body: undefined,
      },
    });
  });

  it('reads channels of several fields, with their ids and filters', () => {
    const { channels } = holdOf([
      'grip-hold',
      'response',
      'Grip-Channel',
      'a; prev-id=7; filter=skip-self; filter="build-id", b;prev-id="x;\\"y,"',
      'GRIP-CHANNEL',
      'c\xc3\xa9=d',
    ]);
    expect(channels).toEqual([
      { name: 'a', prevId: '7', filters: ['skip-self', 'build-id'] },
      { name: 'b', prevId: 'x;"y,', filters: [] },
      { name: 'cé=d', prevId: undefined, filters: [] },
    ]);
  });

  it.each<[string, number]>([
    ['1', 5000],
    ['5', 5000],
    ['120', 120_000],
    ['99999999999999', 2_147_483_000],
  ])('holds for Grip-Timeout: %s', (timeout, timeoutMs) => {
    expect(holdOf(['Grip-Hold', 'response', 'Grip-Timeout', timeout])).toMatchObject({ timeoutMs });
  });

  it.each<[string, string, number, string]>([
    ['ping', 'ping', 55_000, 'idle'],
    ['ping; timeout=0; mode=interval', 'ping', 1000, 'interval'],
    ['"ping"\\n; format=cstring', '"ping"\n', 55_000, 'idle'],
    ['a\\\\\\r\\n\\t\\x00\\xfF; format="cstring"', 'a\\\r\n\t\0\xff', 55_000, 'idle'],
    ['AP8=; format=base64; timeout=7', '\0\xff', 7000, 'idle'],
    ['event: x; a=b c; y\\n, z; format=cstring; timeout=20', 'event: x; a=b c; y\n, z', 20_000, 'idle'],
    ['x; later=on; timeout=9', 'x', 9000, 'idle'],
  ])('keeps alive with %s', (value, content, timeoutMs, mode) => {
    expect(holdOf(['Grip-Hold', 'stream', 'Grip-Keep-Alive', value]).keepAlive).toEqual({
      content: Buffer.from(content, 'latin1'),
      timeoutMs,
      mode,
    });
  });

  it('reads links, meta and the real status', () => {
    const instruction = read([
      'Grip-Hold',
      'stream',
      'Grip-Set-Meta',
      'user="al\\"i, ce", id_format="%(a)s"',
      'Grip-Set-Meta',
      'plain=x',
      'Grip-Link',
      '</next?a=1,2;3>; rel=next; timeout=30, <https://b.example/gone>; rel="gone"',
      'Grip-Link',
      '<x>; rel=prefetch',
      'Grip-Status',
      '304 Not Today',
    ]);
    expect(instruction).toMatchObject({
      hold: {
        meta: new Map([
          ['user', 'al"i, ce'],
          ['id_format', '%(a)s'],
          ['plain', 'x'],
        ]),
        next: { url: '/next?a=1,2;3', timeoutMs: 30_000 },
        goneUrl: 'https://b.example/gone',
      },
      response: { status: 304, reason: 'Not Today' },
    });
  });

  it('follows a next link where nothing is held, and otherwise lets the response pass', () => {
    expect(read(['Grip-Link', '</n>; rel=next'])).toMatchObject({
      kind: 'hold',
      hold: { mode: 'follow', next: { url: '/n', timeoutMs: 120_000 } },
    });
    const passed = read(['Grip-Channel', 'a', 'X', '1', 'Grip-Whatever', '2', 'Grip-Status', '404']);
    expect(passed).toEqual({
      kind: 'pass',
      response: {
        status: 404,
        reason: 'Not Found',
        headers: HeaderList.fromRaw(['X', '1']),
        body: undefined,
      },
    });
  });

  it('shows the client only what is exposed', () => {
    const { response } = read([
      'A',
      '1',
      'B',
      '2',
      'Grip-Expose-Headers',
      'b, C',
      'Grip-Expose-Headers',
      'D',
      'D',
      '4',
    ]) as {
      response: { headers: HeaderList };
    };
    expect(response.headers.toRaw()).toEqual(['B', '2', 'D', '4']);
  });

  it.each<[readonly string[], string]>([
    [['Grip-Hold', 'forever'], `Grip-Hold must be set to either 'response' or 'stream', not "forever"`],
    [['Grip-Channel', '; prev-id=1'], 'failed to parse Grip-Channel: "; prev-id=1"'],
    [['Grip-Channel', 'a; prev-id="1'], 'failed to parse Grip-Channel: a quote without its end'],
    [['Grip-Channel', 'a; filter=smell'], "no such filter 'smell' for channel 'a'; there are skip-self, "],
    [
      ['Grip-Channel', `a${'; filter=skip-self'.repeat(6)}`],
      "too many filters for channel 'a': 6, at most 5",
    ],
    [['Grip-Timeout', 'x'], 'failed to parse Grip-Timeout: "x" is no number of seconds'],
    [['Grip-Timeout', '-1'], 'Grip-Timeout has invalid value: -1'],
    [['Grip-Keep-Alive', '; timeout=5'], 'Grip-Keep-Alive cannot be empty'],
    [['Grip-Keep-Alive', 'a; mode=x'], 'no such Grip-Keep-Alive mode "x"; there are idle, interval'],
    [
      ['Grip-Keep-Alive', 'a; format=x'],
      'no such Grip-Keep-Alive format "x"; there are raw, cstring, base64',
    ],
    [['Grip-Keep-Alive', 'a\\q; format=cstring'], 'failed to parse Grip-Keep-Alive cstring format: "a\\\\q"'],
    [['Grip-Keep-Alive', '*; format=base64'], 'failed to parse Grip-Keep-Alive base64 format: "*"'],
    [['Grip-Keep-Alive', 'a; timeout=x'], 'failed to parse Grip-Keep-Alive timeout value: "x"'],
    [['Grip-Link', '/next; rel=next'], 'failed to parse Grip-Link value: "/next; rel=next"'],
    [['Grip-Link', '</n>; rel=next; timeout=x'], 'failed to parse Grip-Link timeout value'],
    [['Grip-Status', '99'], 'Grip-Status contains invalid status code: "99", expected 200 to 599'],
    [['Grip-Set-Meta', '="x"'], 'failed to parse Grip-Set-Meta: "=\\"x\\""'],
  ])('says in one line what is wrong with %j', (raw, problem) => {
    const hold = raw[0] === 'Grip-Hold' ? [] : ['Grip-Hold', 'stream'];
    expect(read([...hold, ...raw])).toEqual({
      kind: 'error',
      problem: expect.stringContaining(problem) as string,
    });
  });
});

describe('what GRIP’s own library asks', () => {
  it('is read', () => {
    const instruct = new GripInstruct([new Channel('a', 'id-1'), new Channel('b')]);
    instruct.setHoldStream();
    instruct.setKeepAlive('event: keep;\n\tdata: "x"\\\n\n', 20);
    instruct.setNextLink('/next?since=1', 30);
    instruct.setStatus(201);
    instruct.meta = { user: 'al"ice', group: 'a, b; c' };
    expect(read(fromObject(instruct.toHeaders({ 'Content-Type': 'text/plain' })))).toMatchObject({
      kind: 'hold',
      hold: {
        mode: 'stream',
        channels: [
          { name: 'a', prevId: 'id-1' },
          { name: 'b', prevId: undefined },
        ],
        keepAlive: { content: Buffer.from('event: keep;\n\tdata: "x"\\\n\n'), timeoutMs: 20_000 },
        next: { url: '/next?since=1', timeoutMs: 30_000 },
        meta: new Map([
          ['user', 'al"ice'],
          ['group', 'a, b; c'],
        ]),
      },
      response: {
        status: 201,
        reason: 'Created',
        headers: HeaderList.fromRaw(['Content-Type', 'text/plain']),
      },
    });
  });

  it('is read where it waits, with binary data too', () => {
    const instruct = new GripInstruct('a');
    instruct.setHoldLongPoll(20);
    expect(holdOf(fromObject(instruct.toHeaders()))).toMatchObject({ mode: 'response', timeoutMs: 20_000 });
    instruct.setKeepAlive(Buffer.from([0, 255]), 3);
    expect(holdOf(fromObject(instruct.toHeaders())).keepAlive).toMatchObject({
      content: Buffer.from([0, 255]),
      timeoutMs: 3000,
    });
  });
});

describe('readInstruction, of a body', () => {
  const type = ['Content-Type', 'application/grip-instruct; charset=utf-8'];
  const json = (value: unknown) => JSON.stringify(value);

  it('reads all of it', () => {
    const body = json({
      hold: {
        mode: 'stream',
        channels: [{ name: 'b', 'prev-id': '7', filters: ['skip-self'] }],
        timeout: '90',
        'keep-alive': { 'content-bin': 'Cg==', timeout: 30 },
        meta: { user: 'alice' },
      },
      response: { code: 201, headers: { A: 'ü', 'Content-Length': '99' }, body: 'héllo' },
    });
    const raw = [...type, 'X', '1', 'Grip-Channel', 'a', 'Grip-Set-Meta', 'x="y"'];
    expect(isInstructBody(HeaderList.fromRaw(raw))).toBe(true);
    expect(read(raw, body)).toEqual({
      kind: 'hold',
      hold: {
        mode: 'stream',
        channels: [
          { name: 'a', prevId: undefined, filters: [] },
          { name: 'b', prevId: '7', filters: ['skip-self'] },
        ],
        timeoutMs: 90_000,
        keepAlive: { content: Buffer.from('\n'), timeoutMs: 30_000, mode: 'interval' },
        meta: new Map([
          ['x', 'y'],
          ['user', 'alice'],
        ]),
        next: undefined,
        goneUrl: undefined,
      },
      response: {
        status: 201,
        reason: 'Created',
        headers: HeaderList.fromRaw(['A', '\xc3\xbc']),
        body: Buffer.from('héllo'),
      },
    });
  });

  it('waits where no mode is said, and passes the response where there is no hold', () => {
    expect(holdOf(type, json({ hold: { channels: [] } }))).toMatchObject({
      mode: 'response',
      timeoutMs: 55_000,
    });
    expect(
      read(
        type,
        json({
          response: {
            headers: [
              ['A', '1'],
              ['A', '2'],
            ],
            'body-bin': 'AP8=',
          },
        }),
      ),
    ).toEqual({
      kind: 'pass',
      response: {
        status: 200,
        reason: 'OK',
        headers: HeaderList.fromRaw(['A', '1', 'A', '2']),
        body: Buffer.from([0, 255]),
      },
    });
  });

  it.each<[string, string]>([
    ['{', 'failed to parse application/grip-instruct content as JSON: "{"'],
    ['[]', 'instruct is not an object'],
    [json({ hold: 7 }), "instruct contains 'hold' with wrong type (instruct.hold: expected an object)"],
    [json({ hold: {} }), "hold does not contain 'channels' (instruct.hold.channels"],
    [
      json({ hold: { mode: 'x', channels: [] } }),
      "hold contains 'mode' with unknown value (instruct.hold.mode: expected response, stream)",
    ],
    [json({ hold: { channels: [{}] } }), "channel does not contain 'name' (instruct.hold.channels[0].name"],
    [json({ hold: { channels: [{ name: 'a', filters: ['x'] }] } }), "no such filter 'x' for channel 'a'"],
    [json({ hold: { channels: [], timeout: -1 } }), "hold contains 'timeout' with invalid value"],
    [
      json({ hold: { channels: [], meta: { a: 1 } } }),
      "'meta' contains 'a' with wrong type (instruct.hold.meta.a",
    ],
    [
      json({ response: { code: 101 } }),
      "response contains 'code' with invalid value (instruct.response.code: expected a whole number from 200 to 599)",
    ],
    [json({ response: { headers: { a: 'b\n' } } }), "headers contains 'a' with invalid value"],
  ])('says in one line what is wrong with %s', (body, problem) => {
    expect(read(type, body)).toEqual({ kind: 'error', problem: expect.stringContaining(problem) as string });
  });

  it('is believed only with a 200', () => {
    expect(read(type, '{}', 404)).toEqual({
      kind: 'error',
      problem: 'response code for application/grip-instruct content must be 200, not 404',
    });
  });
});

describe('what is said to a backend', () => {
  it('names the features that are here', () => {
    expect(GRIP_FEATURE).toBe(
      'status, link:next, link:gone, filter:skip-self, filter:skip-users, filter:require-sub, filter:build-id, filter:var-subst',
    );
  });

  it('tells the last id, unless no header can', () => {
    expect(gripLast('q1', '1')).toBe('q1; last-id=1');
    expect(gripLast('é', 'a;b"')).toBe('\xc3\xa9; last-id="a;b\\""');
    expect(gripLast('a\r\nX: y', '1')).toBeUndefined();
  });
});
