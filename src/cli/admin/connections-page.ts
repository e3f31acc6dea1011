import type { Connection, ConnectionPage } from '../../admin/target.js';
import { roughDuration, volume } from '../../observe/access-log.js';
import { table } from './table.js';

/** `tidegate connections` for people: ↑ is from the client, ↓ from the upstream. */
export function connectionsPage(page: ConnectionPage, style: { readonly color: boolean }): string {
  const { connections, total } = page;
  if (total === 0) return 'no open connections';
  const left = total - connections.length;
  return [
    ...table(columns, connections.map(row), style),
    ...(left > 0 ? [`… ${left} more of ${total}; --limit ${total} shows them all`] : []),
  ].join('\n');
}

const columns = [
  { title: 'ID' },
  { title: 'AGE', align: 'right' },
  { title: 'CLIENT' },
  { title: 'GENERATION' },
  { title: 'ROUTE' },
  { title: 'SERVER' },
  { title: '↑', align: 'right' },
  { title: '↓', align: 'right' },
  { title: 'ADDRESS' },
] as const;

function row(connection: Connection): string[] {
  const { id, durationMs, client, subprotocol, route, server, host, path } = connection;
  const { generation, upstreamGeneration } = connection;
  const spoken = upstreamGeneration === undefined ? generation : `${generation}⇄${upstreamGeneration}`;
  return [
    id,
    roughDuration(durationMs),
    client,
    subprotocol === undefined ? spoken : `${spoken} ${subprotocol}`,
    route,
    server,
    volume(connection.messagesFromClient, connection.bytesFromClient),
    volume(connection.messagesFromUpstream, connection.bytesFromUpstream, connection.messagesDropped),
    `${host}${path}`,
  ];
}
