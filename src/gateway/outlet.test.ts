import { describe, expect, it } from 'vitest';
import { PreparedItem } from '../channels/prepared.js';
import type { Prepared } from '../channels/types.js';
import { textItem } from '../../test/fixtures/channels.js';
import { Outlet } from './outlet.js';
import type { ClientEndpoint } from './types.js';

/** A connection that takes `room` bytes, and then no more until it is drained. */
function connection(room: number) {
  const sent: string[] = [];
  let waiting = 0;
  let isOpen = true;
  const take = (content: Buffer) => {
    sent.push(content.toString());
    waiting += content.length;
  };
  const endpoint = {
    get bufferedBytes() {
      return waiting;
    },
    get isBlocked() {
      return waiting >= room;
    },
    get isOpen() {
      return isOpen;
    },
    send(_: string, content: Buffer) {
      take(content);
    },
    sendPrepared({ item: { wsMessage } }: Prepared) {
      if (wsMessage?.action === 'send') take(wsMessage.content);
    },
  } as unknown as ClientEndpoint;
  return { endpoint, sent, drain: () => (waiting = 0), shut: () => (isOpen = false) };
}

const message = Buffer.from('12345');

describe('a client that takes what it is sent', () => {
  it.each(['close', 'drop-oldest', 'drop-newest'] as const)(
    'gets everything, whatever the policy (%s)',
    (policy) => {
      const { endpoint, sent, drain } = connection(100);
      const outlet = new Outlet(endpoint, { policy, maxBytes: 10 }, () => expect.unreachable());
      for (let i = 0; i < 20; i++) {
        expect(outlet.send('text', message)).toBe('delivered');
        drain();
      }
      expect(sent).toHaveLength(20);
      expect([outlet.messages, outlet.bytes, outlet.dropped]).toEqual([20, 100, 0]);
    },
  );

  it('gets a message that is larger than all that may wait', () => {
    const { endpoint, sent } = connection(100);
    const outlet = new Outlet(endpoint, { policy: 'close', maxBytes: 3 }, () => expect.unreachable());
    expect(outlet.send('text', message)).toBe('delivered');
    expect(sent).toEqual(['12345']);
  });
});

describe('a client that is too slow', () => {
  it('is closed when more would wait than may', () => {
    const { endpoint, sent, shut } = connection(1);
    let closed = 0;
    const outlet = new Outlet(endpoint, { policy: 'close', maxBytes: 10 }, () => {
      closed++;
      shut();
    });
    const outcomes = [1, 2, 3, 4].map(() => outlet.send('text', message));
    expect(outcomes).toEqual(['delivered', 'delivered', 'dropped', 'skipped']);
    expect([closed, sent.length, outlet.dropped]).toEqual([1, 2, 1]);
  });

  it('loses the newest', () => {
    const { endpoint, sent, drain } = connection(1);
    const outlet = new Outlet(endpoint, { policy: 'drop-newest', maxBytes: 10 }, () => expect.unreachable());
    for (const text of ['11111', '22222', '33333']) outlet.send('text', Buffer.from(text));
    drain();
    outlet.send('text', Buffer.from('44444'));
    expect(sent).toEqual(['11111', '22222', '44444']);
    expect(outlet.dropped).toBe(1);
  });

  it('loses the oldest that its connection has not taken yet', () => {
    const { endpoint, sent, drain } = connection(1);
    const outlet = new Outlet(endpoint, { policy: 'drop-oldest', maxBytes: 10 }, () => expect.unreachable());
    for (const text of ['11111', '22222', '33333', '44444']) outlet.send('text', Buffer.from(text));
    expect(sent).toEqual(['11111']);
    expect([outlet.dropped, outlet.waitingBytes]).toEqual([1, 15]);
    drain();
    outlet.onDrain();
    drain();
    outlet.onDrain();
    expect(sent).toEqual(['11111', '33333', '44444']);
    expect(outlet.messages).toBe(3);
  });

  it('gets new messages behind those that wait', () => {
    const { endpoint, sent, drain } = connection(1);
    const outlet = new Outlet(endpoint, { policy: 'drop-oldest', maxBytes: 100 }, () => expect.unreachable());
    for (const text of ['11111', '22222']) outlet.send('text', Buffer.from(text));
    drain();
    // The connection has room, but the second is first.
    outlet.send('text', Buffer.from('33333'));
    outlet.onDrain();
    drain();
    outlet.onDrain();
    expect(sent).toEqual(['11111', '22222', '33333']);
  });
});

describe('what is published', () => {
  const published = new PreparedItem(textItem('one', '12345'), undefined);

  it.each([
    ['close', ['delivered', 'delivered', 'dropped'], 2],
    ['drop-newest', ['delivered', 'delivered', 'dropped'], 2],
    ['drop-oldest', ['delivered', 'delivered', 'delivered'], 1],
  ] as const)('is held to the policy as all else is (%s)', (policy, outcomes, given) => {
    const { endpoint, sent } = connection(1);
    let closed = 0;
    const outlet = new Outlet(endpoint, { policy, maxBytes: 10 }, () => closed++);
    expect(outcomes.map(() => outlet.sendPrepared(published))).toEqual(outcomes);
    expect(sent).toHaveLength(given);
    expect([outlet.messages, outlet.bytes]).toEqual([given, 5 * given]);
    expect(closed).toBe(policy === 'close' ? 1 : 0);
  });

  it('does not reach who has closed', () => {
    const { endpoint, sent, shut } = connection(1);
    const outlet = new Outlet(endpoint, { policy: 'close', maxBytes: 10 }, () => expect.unreachable());
    shut();
    expect(outlet.sendPrepared(published)).toBe('skipped');
    expect([sent, outlet.messages]).toEqual([[], 0]);
  });
});
