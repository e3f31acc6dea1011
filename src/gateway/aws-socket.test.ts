import { expect, it } from 'vitest';
import { ProxyError } from '../base/errors.js';
import { ManualClock } from '../base/manual-clock.js';
import { MemoryBackplane } from '../channels/backplane/memory.js';
import { Hub } from '../channels/hub.js';
import { HeaderList } from '../protocol/http/header-list.js';
import { AwsSocket, type AwsSocketOptions } from './aws-socket.js';
import type { Question } from './backend.js';

it('tells its backend of the end where the client was gone in the moment it was taken', async () => {
  const asked: string[] = [];
  let overs = 0;
  let ids = 0;
  const clock = new ManualClock();
  const options = {
    id: 's',
    plan: {
      channelPrefix: '',
      maxSubscriptions: 1,
      subscribe: [],
      retries: { attempts: 0, statuses: [] },
      requestTimeoutMs: 1000,
      maxResponseBytes: 1000,
    },
    aws: { stage: '', apiId: '', answers: 'http' },
    backend: {
      ask: ({ body }: Question) => {
        asked.push(
          (JSON.parse(body.toString()) as { requestContext: { routeKey: string } }).requestContext.routeKey,
        );
        return Promise.resolve({ status: 200, fields: new HeaderList(), body: Buffer.alloc(0) });
      },
    },
    path: '/',
    replayed: new HeaderList(),
    handshake: new HeaderList(),
    offeredSubprotocols: [],
    hub: new Hub({ clock, backplane: new MemoryBackplane('n1') }),
    clock,
    random: () => 0,
    report: (problem: string) => expect.fail(problem),
    newId: () => String(++ids),
    onOver: () => void overs++,
  } as unknown as AwsSocketOptions;
  const socket = new AwsSocket(options);
  expect((await socket.open()).kind).toBe('accepted');
  socket.giveUp(new ProxyError('CLIENT_GONE', 'gone'));
  await expect.poll(() => overs).toBe(1);
  expect(asked).toEqual(['$connect', '$disconnect']);
});
