import type { DrainProgress, Status } from '../../admin/target.js';
import { printable, roughDuration } from '../../observe/access-log.js';
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
      [
        { title: 'UPSTREAM' },
        { title: 'SERVER' },
        { title: 'STATE' },
        { title: 'WEIGHT', align: 'right' },
        { title: 'ACTIVE', align: 'right' },
        { title: 'OPEN', align: 'right' },
      ],
      status.upstreams.flatMap(({ upstream, servers }) =>
        servers.map((server) => [
          upstream,
          server.server,
          server.state,
          server.share < 1 ? `${server.weight} × ${server.share}` : String(server.weight),
          String(server.active),
          String(server.sessions.open),
        ]),
      ),
      style,
    ),
    ...status.upstreams.flatMap(({ upstream, waiting, servers }) => [
      ...servers
        .filter(({ state }) => state !== 'up')
        .map(({ server, state, since, reason }) =>
          printable(`${upstream}: ${server} ${state} since ${since}: ${reason}`),
        ),
      ...(waiting > 0 ? [`${upstream}: ${waiting} waiting for room`] : []),
    ]),
    '',
    ...(status.drain === undefined ? [] : [`drain       ${describeDrain(status.drain)}`]),
    `sessions    ${describeSessions(status)}`,
    ...describeBackplane(status),
    ...(status.tls.failed === 0 ? [] : [`tls         ${status.tls.failed} handshakes failed`]),
    `handshakes  ${describeHandshakes(status)}`,
    `requests    ${describeRequests(status)}`,
  ].join('\n');
}

const sessionColumns = [
  { title: 'OPEN', align: 'right' },
  { title: 'TOTAL', align: 'right' },
] as const;

function describeDrain({ sessions: { told, waiting, untold }, deadline }: DrainProgress): string {
  return `${told} told to close, ${waiting} to be told, ${untold} without a Close frame; what is left is cut at ${deadline}`;
}

function describeSessions({ sessions: { open, total, outcomes, messagesDropped } }: Status): string {
  const ended = listCounts(outcomes);
  return [
    `${open} open, ${total} in total`,
    ...(ended === '' ? [] : [`ended: ${ended}`]),
    ...(messagesDropped === 0 ? [] : [`messages lost to slow clients: ${messagesDropped}`]),
  ].join('; ');
}

function describeBackplane({ backplane }: Status): string[] {
  if (backplane === undefined) return [];
  const { state, linksLost, gaps, messagesMissed, nodesLost, sessionsTold, sessionsOutcast } = backplane;
  const parts = [
    state,
    ...(linksLost === 0 ? [] : [`lost ${linksLost} times`]),
    ...(gaps === 0 ? [] : [`${gaps} gaps, ${messagesMissed} or more messages missed`]),
    ...(nodesLost === 0 ? [] : [`nodes lost: ${nodesLost}, with ${sessionsTold} sessions`]),
    ...(sessionsOutcast === 0 ? [] : [`own sessions told of as lost: ${sessionsOutcast}`]),
  ];
  return [`backplane   ${parts.join('; ')}`];
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
