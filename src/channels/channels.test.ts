import { expect, it } from 'vitest';
import { Listener, subscription, textItem } from '../../test/fixtures/channels.js';
import { ManualClock } from '../base/manual-clock.js';
import { systemRandom } from '../base/system.js';
import { nodeName, openChannels } from './channels.js';

it('is a hub and a directory on one node by default', async () => {
  const channels = await openChannels({ deps: { clock: new ManualClock(), random: systemRandom } });
  const listener = new Listener(channels.directory.newId());
  await channels.hub.subscribe(listener, subscription('c'));
  expect(await channels.hub.publish(textItem('c', 'x'))).toMatchObject({ delivered: 1 });
  expect(listener.id.split('.')[0]).toBe(channels.backplane.node);
  expect(await channels.directory.ask({ id: 'elsewhere.x', what: 'info' })).toBeUndefined();
  expect(await channels.directory.page(10)).toEqual({ sessions: [], next: undefined, missing: [] });
  await channels.close();
  expect(await channels.hub.publish(textItem('c', 'late'))).toMatchObject({ delivered: 0 });
});

it('names nodes by letters and digits, whatever chance has to offer', () => {
  const random = { float: () => 0, id: (length: number) => '_a-B3'.repeat(2).slice(0, length) };
  expect(nodeName({ clock: new ManualClock(), random })).toMatch(/^[A-Za-z0-9]{8}$/);
});
