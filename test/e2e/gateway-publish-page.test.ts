/** docs/gateway-publish.md: its configurations and commands run as they stand. Only addresses are replaced. */
import { Publisher, WebSocketMessageFormat } from '@fanoutio/grip';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  blocksOf,
  examplePorts,
  exampleText,
  ownFolder,
  runShell,
  startExampleBackend,
  startTidegateIn,
  textOf,
  withPorts,
  withPublish,
} from '../fixtures/gateway-example.js';
import { needCommand } from '../fixtures/need.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const curl = needCommand('curl');
const [byGrip, counted, byTidegate, authorized, ...more] = blocksOf('docs/gateway-publish.md', 'sh');
const [withJwt, withTokens, ...others] = blocksOf('docs/gateway-publish.md', 'yaml');
const CHAT = exampleText('gateway-chat/tidegate.config.yaml');

describe('docs/gateway-publish.md', { timeout: 120_000 }, () => {
  test('has nothing that is not run here', () => {
    expect([...more, ...others]).toEqual([]);
  });

  test.skipIf(curl.missing)(`its commands publish${curl.note}`, async () => {
    const { folder, join: enter, ports } = await startChat(CHAT);
    const [ann, bob] = [await enter('ann'), await enter('bob')];
    expect(await runShell(folder, withPorts(byGrip!, ports))).toBe('Published\n');
    const answer = await runShell(folder, withPorts(counted!, ports));
    expect(JSON.parse(answer)).toMatchObject({ message: 'Published', delivered: 2, dropped: 0 });
    writeFileSync(join(folder, 'report.txt'), 'low water');
    const printed = await runShell(folder, withPorts(byTidegate!, ports));
    expect(printed).toMatch(
      /^room: delivered to 2 subscribers\n\{[^]*"delivered": 2,[^]*\}\nroom: delivered to 2 subscribers\n$/,
    );
    for (const { messages, closed } of [ann, bob]) {
      expect(await closed).toEqual({ code: 4001, reason: 'closing time' });
      expect(messages.all).toEqual(['the tide turns', 'to how many?', 'high water', 'low water']);
    }
  });

  test.skipIf(curl.missing)(`its signed tokens are those of a GRIP_URL${curl.note}`, async () => {
    const { join: enter, ports } = await startChat(withPublish(CHAT, withJwt!));
    const ann = await enter('ann');
    const [, gripUrl] = /`GRIP_URL=(\S+)`/.exec(textOf('docs/gateway-publish.md'))!;
    await new Publisher(withPorts(gripUrl!, ports)).publishFormats('room', new WebSocketMessageFormat('hi'));
    expect(await ann.messages.next()).toBe('hi');
    await expectNobodyElse(ports.publish);
  });

  test.skipIf(curl.missing)(`its tokens and passwords let in${curl.note}`, async () => {
    const { folder, join: enter, ports } = await startChat(withPublish(CHAT, withTokens!));
    const ann = await enter('ann');
    await runShell(folder, withPorts(authorized!, ports));
    for (const text of ['by token', 'by password', 'from afar']) expect(await ann.messages.next()).toBe(text);
    // The token is found in the configuration.
    await runShell(folder, 'tidegate publish room here');
    expect(await ann.messages.next()).toBe('here');
    await expectNobodyElse(ports.publish);
  });
});

async function startChat(config: string) {
  const folder = ownFolder();
  const ports = await examplePorts();
  await running(startExampleBackend('gateway-chat/backend.mjs', 'a chat', ports.backend));
  await running(startTidegateIn(folder, withPorts(config, ports)));
  const url = `ws://127.0.0.1:${ports.listen}/chat`;
  return { folder, ports, join: (name: string) => running(connectWs(`${url}?name=${name}`)) };
}

async function expectNobodyElse(publishPort: number): Promise<void> {
  const url = `http://127.0.0.1:${publishPort}/publish/`;
  for (const Authorization of ['', 'Bearer a-token-that-nobody-knows']) {
    const asking = { method: 'POST', headers: { Authorization }, body: '{"items":[]}' };
    expect((await fetch(url, asking)).status).toBe(401);
  }
}
