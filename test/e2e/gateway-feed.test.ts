/** examples/gateway-feed as it stands, in a real browser; only ports are replaced. */
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Child } from '../fixtures/child.js';
import {
  examplePorts,
  exampleText,
  ownFolder,
  type RunningTidegate,
  startExampleBackend,
  startTidegateIn,
  withPorts,
} from '../fixtures/gateway-example.js';
import { needCommand } from '../fixtures/need.js';
import { needChromium, useBrowser } from '../fixtures/peers/browser.js';
import { quietPort } from '../fixtures/ports.js';

const python = needCommand('python3');
const note = python.note || needChromium.note;

describe.skipIf(note !== '')(`examples/gateway-feed${note}`, { timeout: 120_000 }, () => {
  const browser = useBrowser();

  test('what is said in one window is read in all, by who comes later too', async () => {
    const feed = await startFeed();
    const [ann, bob] = [await feed.open(), await feed.open()];
    await ann.say('is it a tunnel? ⇄');
    await feed.say('or a\ngateway?');
    const all = ['1 is it a tunnel? ⇄', '2 or a\ngateway?'];
    for (const window of [ann, bob, await feed.open()]) await window.shows(all);
  });

  test('a backend that is away is not missed, nor what it could not publish', async () => {
    const feed = await startFeed();
    const window = await feed.open();
    await window.say('one');
    await window.shows(['1 one']);
    await feed.backend.restart({ PUBLISH_URL: `http://127.0.0.1:${await quietPort()}/publish/` });
    await window.say('two, which nobody hears');
    expect(await feed.backend.child.lines.next()).toMatch(/^item 2 was not published: /);
    await feed.backend.restart();
    await window.say('three');
    await window.shows(['1 one', '2 two, which nobody hears', '3 three']);
    expect(await window.breaks()).toBe(0);
  });

  test('Tidegate is stopped and killed: windows come again, and go on where they were', async () => {
    const feed = await startFeed();
    const [ann, bob] = [await feed.open(), await feed.open()];
    await ann.say('one');
    const said = ['1 one'];
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const window of [ann, bob]) await window.shows(said);
      feed.tidegate.running.cli.signal(signal);
      await feed.tidegate.running.cli.exited;
      const text = `said after ${signal}`;
      await feed.say(text);
      said.push(`${said.length + 1} ${text}`);
      await feed.tidegate.start();
    }
    for (const window of [ann, bob]) await window.shows(said);
    await bob.say('and on');
    for (const window of [ann, bob]) await window.shows([...said, '4 and on']);
    expect(await ann.breaks()).toBeGreaterThanOrEqual(2);
  });

  async function startFeed() {
    const folder = ownFolder();
    const ports = await examplePorts();
    const config = withPorts(exampleText('gateway-feed/tidegate.config.yaml'), ports);
    const env = {
      FEED_FILE: join(folder, 'feed.sqlite'),
      PUBLISH_URL: `http://127.0.0.1:${ports.publish}/publish/`,
    };
    const backend = {
      url: `http://127.0.0.1:${ports.backend}`,
      child: undefined as unknown as Child,
      async start(other: object = {}) {
        const file = 'gateway-feed/backend.py';
        backend.child = await startExampleBackend(file, 'a feed', ports.backend, { ...env, ...other });
      },
      async restart(other: object = {}) {
        await backend.child.stop();
        await backend.start(other);
      },
    };
    const tidegate = {
      running: undefined as unknown as RunningTidegate,
      async start() {
        tidegate.running = await startTidegateIn(folder, config);
      },
    };
    await backend.start();
    onTestFinished(() => backend.child.stop());
    await tidegate.start();
    onTestFinished(() => tidegate.running.stop());
    /** To the backend itself. */
    const say = async (text: string) => {
      const { status } = await fetch(`${backend.url}/feed`, { method: 'POST', body: text });
      expect(status).toBe(204);
    };
    return { backend, tidegate, say, open: () => openWindow(`http://127.0.0.1:${ports.listen}/`) };
  }

  /** A page that is connected. */
  async function openWindow(url: string) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.addInitScript(countBreaks);
    await page.goto(url);
    await page.waitForFunction('document.getElementById("state").textContent === "connected"');
    return {
      async say(text: string) {
        await page.fill('input', text);
        await page.press('input', 'Enter');
        await page.waitForFunction('document.querySelector("input").value === ""');
      },
      shows: (items: readonly string[]) => shows(page, items),
      breaks: () => page.evaluate<number>('breaks'),
    };
  }
});

const countBreaks = `
  window.breaks = 0;
  window.EventSource = class extends EventSource {
    constructor(url) {
      super(url);
      this.addEventListener('error', () => breaks++);
    }
  };
`;

/** Waits until there are as many items, and compares them. */
async function shows(page: Page, items: readonly string[]): Promise<void> {
  await page.waitForFunction(`document.querySelectorAll("li").length >= ${items.length}`);
  const shown = await page.evaluate(
    '[...document.querySelectorAll("li")].map((item) => `${item.value} ${item.textContent}`)',
  );
  expect(shown).toEqual(items);
}
