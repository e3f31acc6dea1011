/** docs/channels.md: its configuration and commands run as they stand, with its own subscription. Only ports are replaced. */
import { describe, expect, test } from 'vitest';
import { EventsBackend, obliging, text } from '../fixtures/events-backend.js';
import {
  blocksOf,
  examplePorts,
  ownFolder,
  runShell,
  startTidegateIn,
  withPorts,
} from '../fixtures/gateway-example.js';
import { needCommand } from '../fixtures/need.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const curl = needCommand('curl');
const PAGE = 'docs/channels.md';
const [config, ...configs] = blocksOf(PAGE, 'yaml');
const [publish, history, presence, ...commands] = blocksOf(PAGE, 'sh');
const [subscription, ...messages] = blocksOf(PAGE, 'json');

describe('docs/channels.md', { timeout: 120_000 }, () => {
  test('has nothing that is not run here', () => {
    expect([...configs, ...commands, ...messages]).toEqual([]);
  });

  test.skipIf(curl.missing)(`what it says of a client that comes back${curl.note}`, async () => {
    const backend = await EventsBackend.start((post) => {
      if (post.events[0] !== 'OPEN') return obliging(post);
      const meta = '{"type":"set-meta","name":"user","value":"ann"}';
      return {
        fields: { 'sec-websocket-extensions': 'grip' },
        events: ['OPEN', text(`c:${meta}`), text(`c:${subscription}`)],
      };
    });
    const ports = { ...(await examplePorts()), backend: Number(new URL(backend.url).port) };
    const folder = ownFolder();
    await running(startTidegateIn(folder, withPorts(config!, ports)));
    expect(await runShell(folder, withPorts(publish!, ports))).toBe('Published\n'.repeat(3));
    const client = await running(connectWs(`ws://127.0.0.1:${ports.listen}/chat?since=41`));
    await client.messages.next((line) => line === '43 the tide turns');
    expect(client.messages.all).toEqual(['you are up to date', '42 slack', '43 the tide turns']);

    const shown = (await runShell(folder, withPorts(history!, ports))).trim().split('\n');
    const [last, behind] = shown.map((line) => JSON.parse(line) as { messages: { id: string }[] });
    expect(last!.messages.map(({ id }) => id)).toEqual(['42', '43']);
    expect(behind).toMatchObject({ recovered: true, messages: last!.messages });
    expect(JSON.parse(await runShell(folder, withPorts(presence!, ports)))).toMatchObject({
      subscribers: 1,
      members: [{ user: 'ann' }],
    });
  });
});
