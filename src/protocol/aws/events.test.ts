import { expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { type AwsOccasion, writeAwsEvent } from './events.js';

const facts = {
  connectionId: 'n.1',
  stage: 'production',
  apiId: 'api',
  domainName: 'chat.example',
  connectedAtMs: Date.UTC(2026, 0, 18, 17, 59, 5, 7),
  sourceIp: '192.0.2.1',
  userAgent: 'a client',
};
const atMs = Date.UTC(2026, 11, 1, 2, 3, 4, 5);

function event(occasion: AwsOccasion, of = facts): Record<string, unknown> {
  return JSON.parse(writeAwsEvent(of, occasion, { requestId: 'r1', atMs }).toString()) as Record<
    string,
    unknown
  >;
}

const common = {
  extendedRequestId: 'r1',
  requestTime: '01/Dec/2026:02:03:04 +0000',
  messageDirection: 'IN',
  stage: 'production',
  connectedAt: facts.connectedAtMs,
  requestTimeEpoch: atMs,
  identity: { userAgent: 'a client', sourceIp: '192.0.2.1' },
  requestId: 'r1',
  domainName: 'chat.example',
  connectionId: 'n.1',
  apiId: 'api',
};

it('$connect has the handshake', () => {
  const headers = HeaderList.fromRaw([
    ...['Host', 'chat.example', 'X-A', '1', 'x-a', '2'],
    ...['X-Name', Buffer.from('é').toString('latin1'), 'X-Old', 'caf\xe9', '__proto__', 'x'],
  ]);
  expect(event({ kind: 'connect', headers, target: '/?a=1&a=2&b=&%C3%A9=+' })).toEqual({
    headers: { Host: 'chat.example', 'X-A': '2', 'X-Name': 'é', 'X-Old': 'café', ['__proto__']: 'x' },
    multiValueHeaders: {
      Host: ['chat.example'],
      'X-A': ['1', '2'],
      'X-Name': ['é'],
      'X-Old': ['café'],
      ['__proto__']: ['x'],
    },
    queryStringParameters: { a: '2', b: '', é: ' ' },
    multiValueQueryStringParameters: { a: ['1', '2'], b: [''], é: [' '] },
    requestContext: { routeKey: '$connect', eventType: 'CONNECT', ...common },
    isBase64Encoded: false,
  });
});

it.each(['/', '/?'])('$connect has no query where there is none: %s', (target) => {
  expect(event({ kind: 'connect', headers: new HeaderList(), target })).not.toHaveProperty(
    'queryStringParameters',
  );
});

it('a message has its body, and no header', () => {
  const message = { kind: 'message', routeKey: 'say', messageId: 'm1' } as const;
  expect(event({ ...message, type: 'text', content: Buffer.from('grüße') })).toEqual({
    requestContext: { routeKey: 'say', messageId: 'm1', eventType: 'MESSAGE', ...common },
    body: 'grüße',
    isBase64Encoded: false,
  });
  expect(event({ ...message, type: 'binary', content: Buffer.from([0, 255]) })).toEqual({
    requestContext: { routeKey: '$default', messageId: 'm1', eventType: 'MESSAGE', ...common },
    body: 'AP8=',
    isBase64Encoded: true,
  });
});

it('$disconnect says how it ended', () => {
  const headers = HeaderList.fromRaw(['Host', 'chat.example']);
  expect(event({ kind: 'disconnect', code: 1001, reason: 'away', headers })).toEqual({
    headers: { Host: 'chat.example' },
    multiValueHeaders: { Host: ['chat.example'] },
    requestContext: {
      routeKey: '$disconnect',
      disconnectStatusCode: 1001,
      disconnectReason: 'away',
      eventType: 'DISCONNECT',
      ...common,
    },
    isBase64Encoded: false,
  });
});
