/**
 * The table “Coming from nginx, HAProxy or Caddy” of docs/operations.md: every piece in it is taken by the program it is
 * for, in the place that the table names, and what is said below it is so.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { checkers, type Pieces } from '../fixtures/peers/nginx-rivals.js';
import { startCaddy, startHaproxy } from '../fixtures/peers/nginx-rivals-running.js';
import { connectWs, startWsServer, type WsEnd } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const operations = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
const [, section = ''] = operations.split('\n## Coming from nginx, HAProxy or Caddy\n');
const products = ['nginx', 'HAProxy', 'Caddy', 'Tidegate'] as const;
type Product = (typeof products)[number];

/** A piece of a cell: its place, whether it is newer than what is tried here, the piece. */
const piece = /(\w+)(†?) `([^`]+)`/g;
/** What a cell may say instead. */
const words = [
  '',
  '—',
  '— (NGINX Plus)',
  'by itself',
  'syslog’s',
  'the old workers keep them',
  'the old process keeps them',
];

interface Row {
  readonly purpose: string;
  readonly cells: Readonly<Record<Product, string>>;
}

const rows = readTable();

test('every cell has pieces with their places, or words that are known', () => {
  expect(rows.length).toBeGreaterThan(30);
  const unknown = rows.flatMap(({ purpose, cells }) =>
    products
      .map((product) => ({ purpose, product, rest: cells[product].replaceAll(piece, '').trim() }))
      .filter(({ rest }) => !words.includes(rest)),
  );
  expect(unknown).toEqual([]);
});

test.each(products)('%s: most rows have something to be tried', (product) => {
  expect(tried(product).length).toBeGreaterThan(product === 'Caddy' ? 18 : 24);
});

describe.each(products)('%s', (product) => {
  const { need, places, check } = checkers[product];

  test.skipIf(need.missing).each(tried(product))(`takes: $purpose${need.note}`, async ({ pieces }) => {
    expect(Object.keys(pieces).filter((place) => !places.includes(place))).toEqual([]);
    expect(await check(pieces)).toBe('');
  });

  // Or a piece could stand in a place that nobody reads.
  test.skipIf(need.missing).each(places)(`refuses nonsense: %s${need.note}`, async (place) => {
    expect(await check({ [place]: [nonsense[product]] })).not.toBe('');
  });
});

describe('the defaults that bite', () => {
  const haproxy = checkers.HAProxy.need;
  test.skipIf(haproxy.missing)(`HAProxy without timeout tunnel${haproxy.note}`, async () => {
    const app = await running(startWsServer());
    const through = async (more: string): Promise<WsEnd> => {
      const { port } = await running(startHaproxy(haproxy.path!, app.port, more));
      return await running(connectWs(`ws://127.0.0.1:${port}/`));
    };
    const lasting = await through('timeout tunnel 1h');
    const cut = await through('');
    expect((await cut.closed).code).toBe(1006);
    lasting.socket.send('still here');
    expect(await lasting.messages.next()).toBe('still here');
  });

  test.skipIf(haproxy.missing)(`HAProxy at a reload${haproxy.note}`, async () => {
    const app = await running(startWsServer());
    const rival = await running(startHaproxy(haproxy.path!, app.port, 'timeout tunnel 1h'));
    const open = await running(connectWs(`ws://127.0.0.1:${rival.port}/`));
    rival.reload();
    await rival.log.next((line) => line.includes('stopped (cumulated'));
    open.socket.send('still here');
    expect(await open.messages.next()).toBe('still here');
    open.socket.close();
    await rival.log.next((line) => line.includes('Former worker') && line.includes('exited with code 0'));
  });

  const caddy = checkers.Caddy.need;
  test.skipIf(caddy.missing)(`Caddy at a reload${caddy.note}`, async () => {
    const app = await running(startWsServer());
    const rival = await running(startCaddy(caddy.path!, app.port));
    const open = await running(connectWs(`ws://127.0.0.1:${rival.port}/`));
    open.socket.send('here');
    expect(await open.messages.next()).toBe('here');
    await rival.reload();
    expect((await open.closed).code).toBe(1001);
  });
});

const nonsense = { nginx: 'nonsense 1;', HAProxy: 'nonsense', Caddy: 'nonsense', Tidegate: 'nonsense: 1' };

/** What the table has for a product, without commands, and without what is too new to be tried. */
function tried(product: Product): { purpose: string; pieces: Pieces }[] {
  return rows
    .map(({ purpose, cells }) => {
      const pieces: Record<string, string[]> = {};
      for (const [, place, newer, text] of cells[product].matchAll(piece)) {
        if (newer === '' && place !== 'run') (pieces[place!] ??= []).push(text!);
      }
      return { purpose, pieces };
    })
    .filter(({ pieces }) => Object.keys(pieces).length > 0);
}

function readTable(): Row[] {
  const lines = section.split('\n').filter((line) => line.startsWith('| '));
  const [head, , ...body] = lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  expect(head).toEqual(['purpose', ...products]);
  return body.map(([purpose = '', nginx = '', HAProxy = '', Caddy = '', Tidegate = '', ...more]) => {
    expect(more).toEqual([]);
    return { purpose, cells: { nginx, HAProxy, Caddy, Tidegate } };
  });
}
