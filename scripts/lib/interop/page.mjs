/** docs/interop.md: its prose is kept by hand, what stands between the two marks is written here. */

import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { at } from '../paths.mjs';
import { interopFolder, isPossibleOn } from './rows.mjs';

export const pageName = 'docs/interop.md';
const file = at('docs', 'interop.md');
const begin = '<!-- from here on written by `npm run docs:interop` -->';
const end = '<!-- to here -->';

/** The oldest first. */
const headings = [
  ['hixie-75', false, 'Hixie-75'],
  ['hixie-76', false, 'Hixie-76'],
  ['hybi-07', false, 'HyBi-07'],
  ['hybi-08', false, 'HyBi-08'],
  ['rfc6455', false, 'RFC 6455'],
  ['rfc6455', true, 'RFC 6455 over HTTP/2 (RFC 8441)'],
];
/** `interop-sessions.ts` has these. */
const engineOrder = ['native', 'stream', 'translate', 'gateway'];

/** Writes the tables into the page. */
export async function writePage(evidence) {
  writeFileSync(file, await pageWith(readPage(), evidence));
}

/** The page as it is. */
export const readPage = () => readFileSync(file, 'utf8');

/** The page with these tables. */
export async function pageWith(page, { rows, versions }) {
  const [before, rest] = cut(page, begin);
  const [, after] = cut(rest, end);
  const unknown = rows.find((row) => !headings.some((heading) => belongs(row, heading)));
  if (unknown !== undefined) throw new Error(`no table of ${pageName} is for ${unknown.generation}`);
  const text = [
    before + begin,
    ...headings.map((heading) => table(heading, rows)),
    versionTable(versions),
    end + after,
  ];
  // A fresh clone has it only when `npm test` has installed it.
  const { format, resolveConfig } = await import('prettier');
  const options = { ...(await resolveConfig(file)), filepath: file };
  return await format(text.filter((part) => part !== '').join('\n\n'), options);
}

/**
 * What is said on the page and was not seen, and the other way round: a line for each row, in its words.
 *
 * @param {string} page
 * @param {string} fresh the page as the run would have it
 * @param {readonly number[]} nodeMajors that the tests ran on
 * @returns {{ gone: string[], added: string[], versions: string[] }} `versions`: of software that is newer or older than
 *   the page says, which is no mistake
 */
export function comparePages(page, fresh, nodeMajors) {
  const [old, now] = [rowsOf(page), rowsOf(fresh)];
  const isOld = new Set(old.map(({ text }) => text));
  const isNow = new Set(now.map(({ text }) => text));
  const lost = old.filter(({ text }) => !isNow.has(text));
  const gone = lost.filter(
    ({ isVersion, cells }) => !isVersion && isPossibleOn({ client: cells[0] }, nodeMajors),
  );
  const isAdded = ({ text }) => !isOld.has(text);
  return {
    gone: gone.map(({ text }) => text),
    added: now.filter((row) => !row.isVersion && isAdded(row)).map(({ text }) => text),
    versions: now.filter((row) => row.isVersion && isAdded(row)).map(({ text }) => text),
  };
}

/** The body rows of the tables between the marks, each with its heading. */
function rowsOf(page) {
  const [, rest] = cut(page, begin);
  const [tables] = cut(rest, end);
  const found = [];
  let heading = '';
  let isBody = false;
  for (const line of tables.split('\n')) {
    if (line.startsWith('## ')) heading = line.slice(3);
    if (!line.startsWith('|')) isBody = false;
    else if (/^\|[\s|:-]+$/.test(line)) isBody = true;
    else if (isBody) {
      const cells = line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
      found.push({ cells, isVersion: heading === versionsHeading, text: `${heading}: ${cells.join(' | ')}` });
    }
  }
  return found;
}

function cut(page, mark) {
  const at = page.indexOf(mark);
  if (at === -1) throw new Error(`${pageName} has lost its mark “${mark}”`);
  return [page.slice(0, at), page.slice(at + mark.length)];
}

const versionsHeading = 'Versions';
const head = ['client', 'to Tidegate', 'engine', 'to the server', 'server', 'test'];

const belongs = (row, [generation, overHttp2]) =>
  row.generation === generation && row.overHttp2 === overHttp2;

function table(heading, rows) {
  const own = rows.filter((row) => belongs(row, heading));
  if (own.length === 0) return '';
  const lines = own.map(({ client, via, engines, toServer, server, files }) => [
    client,
    via,
    engineOrder.filter((engine) => engines.includes(engine)).join(', '),
    toServer,
    server,
    bestOf(files).toSorted().map(link).join(', '),
  ]);
  return `## ${heading[2]}\n\n${tableOf(head, lines)}`;
}

function versionTable(versions) {
  return `## ${versionsHeading}\n\n${tableOf(['software', 'version'], versions)}`;
}

function tableOf(head, rows) {
  const lines = rows.map((cells) => `| ${cells.join(' | ')} |`).toSorted((a, b) => order(a, b));
  return [`| ${head.join(' | ')} |`, `|${head.map(() => ' --- |').join('')}`, ...lines].join('\n');
}

/** The same on every machine. */
const order = new Intl.Collator('en', { numeric: true }).compare;

/** Those that are about the software, where there are any. */
function bestOf(files) {
  const own = files.filter((file) => file.startsWith(interopFolder));
  return own.length > 0 ? own : files;
}

const link = (file) => `[${basename(file, '.test.ts')}](../${file})`;
