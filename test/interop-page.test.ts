/** How docs/interop.md comes from what tests have shown (scripts/lib/interop), and how it is held against it. */
import { describe, expect, test } from 'vitest';
import type { Part, ProvenSession } from './fixtures/interop.js';

interface Evidence {
  readonly rows: { client: string; via: string; server: string; engines: string[]; files: string[] }[];
  readonly versions: [string, string][];
  readonly problems: string[];
}

const load = (file: string): Promise<unknown> =>
  import(new URL(`../scripts/lib/interop/${file}`, import.meta.url).href);
const { readEvidence } = (await load('rows.mjs')) as { readEvidence(reports: object[]): Evidence };
const { pageWith, comparePages } = (await load('page.mjs')) as {
  pageWith(page: string, evidence: Evidence): Promise<string>;
  comparePages(
    page: string,
    fresh: string,
    nodeMajors: number[],
  ): { gone: string[]; added: string[]; versions: string[] };
};

const session: ProvenSession = {
  generation: 'rfc6455',
  path: '/chat',
  via: 'HTTP/1.1',
  engine: 'native',
  toServer: 'HTTP/1.1',
};
const client: Part = { side: 'client', name: 'ws', version: '8.1' };
const server: Part = { side: 'server', name: 'socket.io 4', version: '4.8' };

interface Told {
  readonly parts?: Part[];
  readonly sessions?: ProvenSession[];
  readonly file?: string;
  readonly status?: string;
}

/** What vitest would report of one test. */
function report({ parts = [client, server], sessions = [session], ...told }: Told = {}): object {
  const { file = 'test/interop/some.test.ts', status = 'passed' } = told;
  const name = new URL(`../${file}`, import.meta.url).pathname;
  const assertion = { fullName: 'a test', status, meta: { interop: { parts, sessions } } };
  return { testResults: [{ name, assertionResults: [assertion] }] };
}

const rowsOf = (...told: Told[]) => readEvidence(told.map(report)).rows;

describe('what counts', () => {
  test('a session between two who are known: one row for all engines and files', () => {
    const stream: ProvenSession = { ...session, engine: 'stream' };
    const other = 'test/e2e/tls.test.ts';
    expect(readEvidence([report(), report({ sessions: [stream], file: other })])).toMatchObject({
      rows: [
        {
          client: 'ws',
          via: 'HTTP/1.1',
          server: 'socket.io 4',
          engines: ['native', 'stream'],
          files: ['test/interop/some.test.ts', other],
        },
      ],
      versions: [
        ['ws', '8.1'],
        ['socket.io 4', '4.8'],
      ],
      problems: [],
    });
  });

  test('not what failed, what carried nothing, what other files do', () => {
    expect(rowsOf({ status: 'failed' }, { sessions: [] }, { file: 'test/e2e/limits.test.ts' })).toEqual([]);
  });

  test('not what the test plays itself', () => {
    const raw: Part = { side: 'client', name: '', version: '' };
    const { rows, problems } = readEvidence([report({ parts: [raw, client, server] })]);
    expect([rows, problems]).toEqual([[], []]);
  });

  test('proxies between, in their order', () => {
    const between = { name: 'HAProxy', version: '3.0', between: true };
    const parts: Part[] = [client, server, { ...between, side: 'client' }, { ...between, side: 'server' }];
    expect(rowsOf({ parts })).toMatchObject([{ client: 'ws → HAProxy', server: 'HAProxy → socket.io 4' }]);
  });

  test('generations and paths tell several apart', () => {
    const old: Part = { side: 'client', name: 'an old one', version: '0.1', generation: 'hixie-76' };
    const elsewhere: Part = { side: 'server', name: 'engine.io', version: '6.6', path: '/engine.io/' };
    const parts: Part[] = [
      old,
      { ...client, generation: 'rfc6455' },
      elsewhere,
      { ...server, path: '/chat' },
    ];
    const sessions: ProvenSession[] = [session, { ...session, generation: 'hixie-76', path: '/engine.io/' }];
    expect(rowsOf({ parts, sessions }).map((row) => `${row.client} - ${row.server}`)).toEqual([
      'ws - socket.io 4',
      'an old one - engine.io',
    ]);
  });

  test.each<[string, Part[]]>([
    ['nobody and socket.io 4', [server]],
    ['ws or undici and socket.io 4', [client, { ...client, name: 'undici' }, server]],
  ])('between %s: a mistake in test/interop', (between, parts) => {
    expect(readEvidence([report({ parts })])).toMatchObject({
      rows: [],
      problems: [
        `test/interop/some.test.ts > a test: rfc6455 on /chat was between ${between}; say who it was with takesPart()`,
      ],
    });
    expect(readEvidence([report({ parts, file: 'test/e2e/tls.test.ts' })]).problems).toEqual([]);
  });
});

describe('the page', () => {
  const empty =
    'By hand.\n\n<!-- from here on written by `npm run docs:interop` -->\nold\n<!-- to here -->\n\nMore.\n';
  const overHttp2: ProvenSession = { ...session, via: 'HTTP/2, TLS 1.3' };
  const pageOf = (...told: Told[]): Promise<string> => pageWith(empty, readEvidence(told.map(report)));
  const row = 'ws | HTTP/1.1 | native | HTTP/1.1 | socket.io 4 | [some](../test/interop/some.test.ts)';

  test('has a table for each generation between its marks', async () => {
    const page = await pageOf({}, { sessions: [overHttp2] });
    expect(page).toMatch(/^By hand\.\n\n<!--.*\n\n## RFC 6455\n\n\| client/);
    expect(page).toContain('\n\n## RFC 6455 over HTTP/2 (RFC 8441)\n\n');
    expect(page).toMatch(/\n<!-- to here -->\n\nMore\.\n$/);
    expect(await pageWith(page, readEvidence([report(), report({ sessions: [overHttp2] })]))).toBe(page);
  });

  test('a generation without a table is no row less, but an error', async () => {
    await expect(pageOf({ sessions: [{ ...session, generation: 'unknown' }] })).rejects.toThrow('unknown');
  });

  test('what is gone and what is new are told, row by row', async () => {
    const [one, both] = [await pageOf({}), await pageOf({}, { sessions: [overHttp2] })];
    const added = `RFC 6455 over HTTP/2 (RFC 8441): ${row.replace('HTTP/1.1', 'HTTP/2, TLS 1.3')}`;
    expect(comparePages(one, one, [20])).toEqual({ gone: [], added: [], versions: [] });
    expect(comparePages(one, both, [20])).toEqual({ gone: [], added: [added], versions: [] });
    expect(comparePages(both, one, [20])).toEqual({ gone: [added], added: [], versions: [] });
  });

  test('another version of a program is only told', async () => {
    const newer = await pageOf({ parts: [{ ...client, version: '8.2' }, server] });
    expect(comparePages(await pageOf({}), newer, [20])).toEqual({
      gone: [],
      added: [],
      versions: ['Versions: ws | 8.2'],
    });
  });

  test('what this Node has not got is not missed', async () => {
    const parts: Part[] = [{ side: 'client', name: 'Node’s own WebSocket', version: '' }, server];
    const [page, fresh] = [await pageOf({}, { parts }), await pageOf({})];
    expect(comparePages(page, fresh, [20]).gone).toEqual([]);
    expect(comparePages(page, fresh, [20, 22]).gone).toHaveLength(1);
  });
});
