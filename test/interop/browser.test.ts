import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { takesPart } from '../fixtures/interop.js';
import { needChromium, startSite, useBrowser } from '../fixtures/peers/browser.js';
import { running } from '../fixtures/running.js';
import { software } from '../fixtures/software.js';
import { overHttp2, overTls, ways, type Path } from '../fixtures/ways.js';

/** A page in a real browser, served and spoken to on one address. */
describe.skipIf(needChromium.missing)(`Chromium${needChromium.note}`, () => {
  const browser = useBrowser();

  async function openPage({ url }: Path): Promise<Page> {
    takesPart('client', software('Chromium', browser.version()));
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await page.goto(url);
    return page;
  }

  describe.each([...ways, overTls, overHttp2])('$name', ({ name, to }) => {
    test('text, binary, subprotocol; closed by the page', async () => {
      const site = await running(startSite());
      const path = await to(site);
      const page = await openPage(path);
      expect(await page.title()).toBe('Tidegate');
      expect(await page.evaluate('live.open(["v2.chat", "v1.chat"])')).toMatchObject({ protocol: 'v1.chat' });
      expect(await page.evaluate('live.echo("grüße ✓")')).toBe('grüße ✓');
      expect(await page.evaluate('live.echoBytes(1_000_000)')).toBe(true);
      const end = await site.ends.next();
      const closed = { code: 4000, reason: 'enough' };
      expect(await page.evaluate('live.close(4000, "enough")')).toEqual({ ...closed, wasClean: true });
      expect(await end.closed).toEqual(closed);
      await path.expectRequest({ path: '/', method: 'GET', status: 200 });
      await path.expectSession({
        path: '/live',
        host: `127.0.0.1:${path.port}`,
        generation: 'rfc6455',
        subprotocol: 'v1.chat',
        messagesFromClient: 2,
        messagesFromUpstream: 2,
        closeCodeFromClient: 4000,
        closeCodeFromUpstream: 4000,
        closedBy: 'client',
        outcome: 'client-closed',
      });
    });

    test('permessage-deflate in use', async () => {
      const site = await running(startSite());
      const path = await to(site);
      const page = await openPage(path);
      expect(await page.evaluate('live.open([])')).toMatchObject({
        extensions: expect.stringContaining('permessage-deflate') as string,
      });
      const { request, socket } = await site.ends.next();
      const bytesBefore = request?.socket.bytesRead ?? NaN;
      const text = 'the same words again and again, '.repeat(4_000);
      expect(await page.evaluate('live.echo("the same words again and again, ".repeat(4_000))')).toBe(text);
      expect((request?.socket.bytesRead ?? NaN) - bytesBefore).toBeLessThan(text.length / 50);
      expect(socket.extensions).toBe('permessage-deflate');
      await page.evaluate('live.close(1000)');
      const isSmall = expect.toSatisfy((bytes: number) => bytes < text.length / 50) as number;
      await path.expectSession({
        messagesFromClient: 1,
        messagesFromUpstream: 1,
        bytesFromClient: isSmall,
        bytesFromUpstream: isSmall,
        closeCodeFromClient: 1000,
      });
    });

    test.each([1000, 1001, 1011, 4000])('the page sees the server close with %d', async (code) => {
      const site = await running(startSite());
      const path = await to(site);
      const page = await openPage(path);
      await page.evaluate('live.open([])');
      (await site.ends.next()).socket.close(code, 'because');
      expect(await page.evaluate('live.closed')).toEqual({ code, reason: 'because', wasClean: true });
      await path.expectSession({
        closeCodeFromUpstream: code,
        closeCodeFromClient: code,
        closedBy: 'upstream',
        outcome: 'upstream-closed',
      });
    });

    test('the page sees 1006 when the server drops the connection', async () => {
      const site = await running(startSite());
      const path = await to(site);
      const page = await openPage(path);
      await page.evaluate('live.open([])');
      (await site.ends.next()).socket.terminate();
      expect(await page.evaluate('live.closed')).toEqual({ code: 1006, reason: '', wasClean: false });
      await path.expectSession({ closedBy: 'upstream', outcome: 'upstream-lost' });
    });

    test('the page goes away: 1001', async () => {
      const site = await running(startSite());
      const path = await to(site);
      const page = await openPage(path);
      await page.evaluate('live.open([])');
      const end = await site.ends.next();
      await page.goto('about:blank');
      if (name === overHttp2.name) {
        // Over HTTP/2 Chromium cancels the stream, and its Close never leaves it.
        expect(await end.closed).toEqual({ code: 1006, reason: '' });
        await path.expectSession({ closedBy: 'client', outcome: 'client-lost' });
        return;
      }
      expect(await end.closed).toEqual({ code: 1001, reason: '' });
      await path.expectSession({ closeCodeFromClient: 1001, closedBy: 'client', outcome: 'client-closed' });
    });

    test('socket.io 4 in the page: its file, polling, the upgrade', async () => {
      const site = await running(startSite());
      const path = await to(site);
      const page = await openPage(path);
      expect(await page.evaluate('chat()')).toEqual({ reply: 'grüße ✓', transport: 'websocket' });
      await path.expectRequest({ path: '/socket.io/socket.io.js', status: 200 });
      await path.expectRequest({ path: '/socket.io/', method: 'GET', status: 200 });
      await path.expectSession({ path: '/socket.io/', generation: 'rfc6455', closedBy: 'client' });
    });
  });
});
