/**
 * From the reports of vitest to the rows of docs/interop.md. What a test has seen (test/fixtures/interop.ts) counts if it
 * passed; the proxy that ran says the generation, the ways and the engine, the fixtures say whose software it was.
 */

import { relative } from 'node:path';
import { root } from '../paths.mjs';

export const interopFolder = 'test/interop/';

/** Beside it, which is all about software of others: tests that meet some of it in ways of their own. */
const furtherFiles = ['http2', 'http2-upstream', 'tls', 'unix-listener'].map(
  (name) => `test/e2e/${name}.test.ts`,
);

/** What vitest has to run for the table, and nothing else. */
export const evidenceFiles = [interopFolder, ...furtherFiles];

/** In these, a WebSocket whose two ends nobody has named is a mistake. */
const mustBeNamed = (file) => file.startsWith(interopFolder);

/** Software that only some versions of Node have. */
const sinceNode = { 'Node’s own WebSocket': 22 };

/**
 * @typedef {object} Row
 * @property {string} generation as the proxy has it
 * @property {boolean} overHttp2 whether the client came over HTTP/2
 * @property {string} client
 * @property {string} via
 * @property {string} toServer
 * @property {string} server
 * @property {string[]} engines
 * @property {string[]} files that have proven it
 */

/**
 * @param {readonly object[]} reports what vitest’s JSON reporter has written
 * @returns {{ rows: Row[], versions: [name: string, version: string][], problems: string[] }} `problems`: tests that do not name who
 *   took part
 */
export function readEvidence(reports) {
  const rows = new Map();
  const versions = new Map();
  const problems = new Set();
  for (const { file, title, evidence } of reports.flatMap(evidenceIn)) {
    for (const session of evidence.sessions) {
      const clients = ends(evidence.parts, 'client', session);
      const servers = ends(evidence.parts, 'server', session);
      if ([...clients, ...servers].some(isTest)) continue;
      if (clients.length !== 1 || servers.length !== 1) {
        if (mustBeNamed(file)) problems.add(`${file} > ${title}: ${unclear(session, clients, servers)}`);
        continue;
      }
      const row = rowFor(rows, session, evidence.parts, clients[0], servers[0]);
      addTo(row.engines, session.engine);
      addTo(row.files, file);
    }
    for (const { name, version } of evidence.parts) if (version !== '') versions.set(name, version);
  }
  return { rows: [...rows.values()], versions: onlyThoseIn(rows, versions), problems: [...problems] };
}

/** Whether these versions of Node have what the row needs. */
export function isPossibleOn({ client }, nodeMajors) {
  const since = sinceNode[client] ?? 0;
  return nodeMajors.some((major) => major >= since);
}

function evidenceIn({ testResults }) {
  return testResults.flatMap(({ name, assertionResults }) => {
    const file = relative(root, name);
    if (!evidenceFiles.some((known) => file.startsWith(known))) return [];
    return assertionResults
      .filter(({ status, meta }) => status === 'passed' && meta?.interop !== undefined)
      .map(({ fullName, meta }) => ({ file, title: fullName, evidence: meta.interop }));
  });
}

/** Who may have been on that side of a session: one, unless a test is unclear. */
function ends(parts, side, { generation, path }) {
  const found = parts.filter(
    (part) =>
      part.side === side &&
      part.between !== true &&
      (part.generation ?? generation) === generation &&
      (part.path ?? path) === path,
  );
  return [...new Map(found.map((part) => [part.name, part])).values()];
}

/** The test itself is that end. */
const isTest = ({ name }) => name === '';

function unclear({ generation, path }, clients, servers) {
  const names = (parts) => (parts.length === 0 ? 'nobody' : parts.map(({ name }) => name).join(' or '));
  return `${generation} on ${path} was between ${names(clients)} and ${names(servers)}; say who it was with takesPart()`;
}

function rowFor(rows, { generation, via, toServer }, parts, { name: clientName }, { name: serverName }) {
  const between = (side) =>
    parts.filter((part) => part.side === side && part.between).map(({ name }) => name);
  const client = [clientName, ...between('client')].join(' → ');
  const server = [...between('server'), serverName].join(' → ');
  const overHttp2 = via.startsWith('HTTP/2');
  const key = JSON.stringify([generation, client, via, toServer, server]);
  let row = rows.get(key);
  if (row === undefined) {
    row = { generation, overHttp2, client, via, toServer, server, engines: [], files: [] };
    rows.set(key, row);
  }
  return row;
}

function onlyThoseIn(rows, versions) {
  const shown = new Set(
    [...rows.values()].flatMap(({ client, server }) => `${client} → ${server}`.split(' → ')),
  );
  return [...versions].filter(([name]) => shown.has(name));
}

function addTo(list, item) {
  if (!list.includes(item)) list.push(item);
}
