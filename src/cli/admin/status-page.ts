import type { Status } from '../../admin/target.js';
import { roughDuration } from '../../observe/access-log.js';
import { describeListening } from '../summary.js';
import { listCounts, table } from './table.js';

/** `tidegate status` for people. */
export function statusPage(status: Status, style: { readonly color: boolean }): string {
  const { version, state, uptimeMs, engine, listeners } = status;
  const why = engine.missing === undefined ? '' : ` (no native engine: ${engine.missing})`;
  return [
    `Tidegate ${version}, ${state}, up ${roughDuration(uptimeMs)}, process ${status.pid}; relay engine: ${engine.name}${why}`,
    ...listeners.map((listener) => `  listening on ${describeListening(listener)}`),
    '',
    ...table(
      [{ title: 'ROUTE' }, { title: 'UPSTREAM' }, ...sessionColumns],
      status.routes.map(({ route, upstream, sessions }) => [
        route,
        upstream,
        String(sessions.open),
        String(sessions.total),
      ]),
      style,
    ),
    '',
    ...table(
      [{ title: 'UPSTREAM' }, { title: 'SERVER' }, { title: 'OPEN', align: 'right' }],
      status.upstreams.flatMap(({ upstream, servers }) =>
        servers.map(({ server, sessions }) => [upstream, server, String(sessions.open)]),
      ),
      style,
    ),
    '',
    `sessions    ${describeSessions(status)}`,
    `handshakes  ${describeHandshakes(status)}`,
    `requests    ${describeRequests(status)}`,
  ].join('\n');
}

const sessionColumns = [
  { title: 'OPEN', align: 'right' },
  { title: 'TOTAL', align: 'right' },
] as const;

function describeSessions({ sessions: { open, total, outcomes } }: Status): string {
  const ended = listCounts(outcomes);
  return `${open} open, ${total} in total${ended === '' ? '' : `; ended: ${ended}`}`;
}

function describeHandshakes({ handshakes: { refused, answeredAsHttp } }: Status): string {
  const codes = listCounts(refused);
  return `${codes === '' ? 'none refused' : `refused: ${codes}`}; ${answeredAsHttp} answered as plain HTTP`;
}

function describeRequests({ requests: { active, statuses, failed } }: Status): string {
  const finished = listCounts(statuses);
  const failures = listCounts(failed);
  return [
    `${active} active`,
    ...(finished === '' ? [] : [`finished: ${finished}`]),
    ...(failures === '' ? [] : [`failed: ${failures}`]),
  ].join('; ');
}
