import { expect, it } from 'vitest';
import { textItem } from '../../test/fixtures/channels.js';
import { ManualClock } from '../base/manual-clock.js';
import { MemoryBackplane } from '../channels/backplane/memory.js';
import { Hub } from '../channels/hub.js';
import { PreparedItem } from '../channels/prepared.js';
import { GripSocket, type GripSocketActions } from './grip-socket.js';

it('waits with a keep-alive for as long as anything else is sent, published or not', () => {
  const clock = new ManualClock();
  const sent: string[] = [];
  const actions = {
    send: (_, content) => {
      sent.push(content.toString());
      return 'delivered';
    },
    sendPrepared: () => {
      sent.push('published');
      return 'delivered';
    },
    report: (problem) => expect.fail(problem),
  } as Partial<GripSocketActions> as GripSocketActions;
  const hub = new Hub({ clock, backplane: new MemoryBackplane('n1') });
  const plan = { channelPrefix: '', maxSubscriptions: 1, subscribe: [] };
  const socket = new GripSocket({ id: 's', hub, plan, clock, actions });
  const subscription = { channel: 'one', filters: [], meta: () => new Map() };
  socket.turnOn(Buffer.alloc(0));
  socket.take('text', Buffer.from('c:{"type":"keep-alive","content":"alive","timeout":10}'));

  clock.advance(6_000);
  socket.receive(new PreparedItem(textItem('one', 'x'), undefined), subscription);
  clock.advance(6_000);
  socket.take('text', Buffer.from('own'));
  clock.advance(9_000);
  expect(sent).toEqual(['published', 'own']);
  clock.advance(1_000);
  expect(sent).toEqual(['published', 'own', 'alive']);
  socket.end();
});
