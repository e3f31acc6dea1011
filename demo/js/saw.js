import { byId, el, formatBytes, formatDuration, formatTime, setStatus } from './dom.js';
import { showExchange, showExchanges } from './gateway.js';
import { flow } from './picture.js';
import { Reconnect } from './reconnect.js';

const SHOWN_CLOSED_SESSIONS = 60;
const SHOWN_REQUESTS = 60;

const status = byId('feed-status');
const openSessions = byId('open-sessions');
const closedSessions = byId('closed-sessions');
const requests = byId('requests');
/** Rows of open sessions by id. */
const openRows = new Map();

const reconnect = new Reconnect({
  connect,
  onWaiting: (seconds, why) => setStatus(status, 'bad', why, `again in ${seconds} s`),
});

export function startSaw() {
  connect();
  setInterval(tickOpenRows, 1000);
}

function connect() {
  setStatus(status, 'busy', 'Connecting');
  const source = new EventSource('/demo/events');
  source.addEventListener('snapshot', ({ data }) => {
    reconnect.succeeded();
    setStatus(status, 'good', 'Live');
    const { open, events, exchanges, totals } = JSON.parse(data);
    showExchanges(exchanges);
    openSessions.replaceChildren();
    closedSessions.replaceChildren();
    requests.replaceChildren();
    openRows.clear();
    for (const event of events) see(event);
    for (const session of open) see({ type: 'opened', session });
    showTotals(totals);
  });
  source.addEventListener('batch', ({ data }) => {
    const { events, left, totals } = JSON.parse(data);
    for (const event of events) {
      see(event);
      flow(event);
    }
    if (left > 0) setStatus(status, 'good', `Live; too busy to list ${left} more`);
    showTotals(totals);
  });
  source.addEventListener('counts', ({ data }) => {
    for (const session of JSON.parse(data)) showCounts(session);
  });
  source.addEventListener('exchange', ({ data }) => showExchange(JSON.parse(data)));
  source.addEventListener('error', () => {
    source.close();
    for (const { row } of openRows.values()) row.classList.add('stale');
    reconnect.lost('Feed lost');
  });
}

function see(event) {
  if (event.type === 'opened') sessionOpened(event.session);
  else if (event.type === 'closed') sessionClosed(event.id, event.record);
  else requestFinished(event.record);
}

function sessionOpened(session) {
  const openedAtMs = Date.parse(session.openedAt);
  const lasted = cell('Lasted', 'number', formatDuration(Math.max(0, Date.now() - openedAtMs)));
  const counts = carriedCells(session);
  const row = el(
    'tr',
    {},
    sessionCell(session),
    ...counts,
    cell('Close codes', 'pair', ''),
    cell('Outcome', 'outcome', el('span', { class: 'chip live' }, 'open')),
    lasted,
  );
  openRows.set(session.id, { row, counts, lasted, openedAtMs });
  openSessions.prepend(row);
}

/** What an open session has carried until now. */
function showCounts(session) {
  const open = openRows.get(session.id);
  if (open === undefined) return;
  const counts = carriedCells(session);
  for (const [i, shown] of open.counts.entries()) shown.replaceWith(counts[i]);
  open.counts = counts;
}

function carriedCells({ messagesFromClient, messagesFromUpstream, bytesFromClient, bytesFromUpstream }) {
  return [
    pairCell('Messages', messagesFromClient, messagesFromUpstream, String),
    pairCell('Bytes', bytesFromClient, bytesFromUpstream, formatBytes),
  ];
}

function sessionClosed(id, record) {
  const open = openRows.get(id);
  open?.row.remove();
  openRows.delete(id);
  closedSessions.prepend(
    el(
      'tr',
      { class: open && 'fresh' },
      sessionCell(record),
      ...carriedCells(record),
      pairCell('Close codes', record.closeCodeFromClient, record.closeCodeFromUpstream, String),
      cell('Outcome', 'outcome', ...outcome(record)),
      cell('Lasted', 'number', formatDuration(record.durationMs)),
    ),
  );
  trim(closedSessions, SHOWN_CLOSED_SESSIONS);
}

function requestFinished(record) {
  requests.prepend(
    el(
      'tr',
      { class: record.status >= 400 ? 'failed' : undefined },
      el(
        'th',
        { scope: 'row' },
        el('span', { class: 'what' }, `${record.method} ${record.path}`),
        viaChip(record),
        record.detail === undefined ? undefined : el('span', { class: 'sub' }, record.detail),
      ),
      cell('Backend', 'soft', record.upstream ?? '–'),
      cell('Status', 'number', String(record.status)),
      pairCell('Bytes', record.bytesFromClient, record.bytesFromUpstream, formatBytes),
      cell('Took', 'number', formatDuration(record.durationMs)),
    ),
  );
  trim(requests, SHOWN_REQUESTS);
}

/** A session's path, its generation, the HTTP that it came over, and who served it. */
function sessionCell({ path, generation, via, upstream, openedAt, time }) {
  return el(
    'th',
    { scope: 'row' },
    el('span', { class: 'what' }, path),
    el('span', { class: generation === 'rfc6455' ? 'chip' : 'chip old' }, generation ?? 'unknown'),
    viaChip({ via }),
    el('span', { class: 'sub' }, [formatTime(openedAt ?? time), upstream].filter(Boolean).join(' · ')),
  );
}

/** As the access log has it. */
function viaChip({ via }) {
  const title = via === 'h2' ? 'a stream of a connection of HTTP/2' : 'a connection of HTTP/1.1';
  return el('span', { class: 'chip via', title }, via);
}

/** In plain words, and under them the word of the access log. */
function outcome(record) {
  const logged = record.outcome ?? 'closed';
  const parts = [
    el('span', { class: 'what' }, plainWords(record, logged)),
    el('span', { class: 'sub' }, logged),
  ];
  if (record.detail !== undefined) parts.push(el('span', { class: 'sub' }, record.detail));
  return parts;
}

function plainWords({ closedBy }, logged) {
  const who = { client: 'client', upstream: 'backend', proxy: 'Tidegate' }[closedBy];
  if (logged.endsWith('-closed')) return `${who} closed first`;
  if (logged.endsWith('-lost')) return `${who} vanished`;
  return who === undefined ? 'ended' : `${who} ended it`;
}

function pairCell(label, up, down, format) {
  return cell(
    label,
    'pair',
    direction('up', '↑', 'from the client', up, format),
    direction('down', '↓', 'from the backend', down, format),
  );
}

function direction(way, arrow, label, value, format) {
  return el(
    'span',
    { class: way },
    el('span', { 'aria-hidden': 'true' }, `${arrow} `),
    el('span', { class: 'unseen' }, `${label} `),
    value === undefined ? '–' : format(value),
  );
}

/** `label` stands before the value where the table is set as cards (narrow screens). */
function cell(label, kind, ...children) {
  return el('td', { class: kind, 'data-label': label }, ...children);
}

function tickOpenRows() {
  for (const { lasted, openedAtMs } of openRows.values()) {
    lasted.textContent = formatDuration(Math.max(0, Date.now() - openedAtMs));
  }
}

function showTotals({ sessions: sessionTotal, requests: requestTotal }) {
  byId('sessions-count').textContent = `${openRows.size} open, ${sessionTotal} in all`;
  byId('requests-count').textContent = `${requestTotal} in all`;
  byId('sessions-empty').hidden = openRows.size > 0 || closedSessions.childElementCount > 0;
  byId('requests-empty').hidden = requests.childElementCount > 0;
}

/** The oldest rows go. */
function trim(rows, max) {
  while (rows.childElementCount > max) rows.lastElementChild.remove();
}
