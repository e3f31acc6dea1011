/** docs/gateway-nodes.md: its configurations as they stand, each on two nodes. Only addresses are replaced. */
import { describe, expect, test } from 'vitest';
import {
  blocksOf,
  examplePorts,
  ownFolder,
  startExampleBackend,
  startTidegateIn,
  withPorts,
} from '../fixtures/gateway-example.js';
import { needNats, startNats } from '../fixtures/peers/nats.js';
import { needRedis, startRedis } from '../fixtures/peers/redis.js';
import { connectWs, type WsEnd } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const [byRedis, natsLine, ...more] = blocksOf('docs/gateway-nodes.md', 'yaml');
const byNats = byRedis!.replace(/^backplane:.*\n/m, natsLine!);

describe('docs/gateway-nodes.md', { timeout: 120_000 }, () => {
  test('has nothing that is not run here', () => {
    expect(more).toEqual([]);
    expect(byNats).toContain('nats://127.0.0.1:4222');
  });

  test.skipIf(needRedis.missing)(`two nodes are one chat by Redis${needRedis.note}`, async () => {
    await expectOneChat(byRedis!, (await running(startRedis())).url);
  });

  test.skipIf(needNats.missing)(`two nodes are one chat by NATS${needNats.note}`, async () => {
    await expectOneChat(byNats, (await running(startNats())).url);
  });
});

async function expectOneChat(config: string, meeting: string): Promise<void> {
  const { backend, publish, listen } = await examplePorts();
  const other = { ...(await examplePorts()), backend };
  const env = { PUBLISH_URL: `http://127.0.0.1:${publish}/publish/` };
  await running(startExampleBackend('gateway-chat/backend.mjs', 'a chat', backend, env));
  const members: WsEnd[] = [];
  for (const ports of [{ listen, backend, publish }, other]) {
    const own = withPorts(config, ports).replace(/(?<=^backplane: ).*/m, meeting);
    const { address } = await running(startTidegateIn(ownFolder(), own));
    const url = `${address.replace('http:', 'ws:')}/chat?name=${members.length === 0 ? 'ann' : 'bob'}`;
    members.push(await running(connectWs(url)));
  }
  const [ann, bob] = members;
  for (const [name, member] of Object.entries({ ann, bob })) {
    member!.socket.send('is it a tunnel?');
    for (const { messages } of members) expect(await messages.next()).toBe(`${name}: is it a tunnel?`);
  }
  // Any node knows all sessions, once it has heard of all nodes, and finds each wherever it lives.
  let sessions: { id: string }[] = [];
  while (sessions.length < members.length) {
    const listed = await fetch(`http://127.0.0.1:${publish}/v1/sessions`);
    ({ sessions } = (await listed.json()) as { sessions: { id: string }[] });
  }
  for (const { id } of sessions) {
    const closing = `http://127.0.0.1:${other.publish}/v1/sessions/${encodeURIComponent(id)}?code=4001`;
    expect((await fetch(closing, { method: 'DELETE' })).ok).toBe(true);
  }
  for (const { closed } of members) expect((await closed).code).toBe(4001);
}
