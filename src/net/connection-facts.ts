import { isIP, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Endpoint, HeaderTls } from '../protocol/proxy-header/types.js';
import { plainAddress } from './sockets.js';

/** What a connection tells of its two ends. */
export interface ConnectionFacts {
  /** The peer's. */
  readonly port: number;
  /** Where the peer has dialled; undefined for a unix socket. */
  readonly destination: Endpoint | undefined;
  /** Undefined: plain. */
  readonly tls: HeaderTls | undefined;
}

export function connectionFacts(connection: Socket): ConnectionFacts {
  return {
    port: connection.remotePort ?? 0,
    destination: endpoint(connection.localAddress, connection.localPort),
    tls: connection instanceof TLSSocket ? tlsFacts(connection) : undefined,
  };
}

/** Undefined for what is no address. The zone of a link-local one means nothing on another machine. */
export function endpoint(address: string | undefined, port = 0): Endpoint | undefined {
  const [bare = ''] = plainAddress(address).split('%');
  return isIP(bare) === 0 ? undefined : { address: bare, port };
}

function tlsFacts(connection: TLSSocket): HeaderTls {
  const shown = connection.getPeerX509Certificate();
  return {
    version: connection.getProtocol() ?? undefined,
    certificate: shown && {
      isVerified: connection.authorized,
      commonName: /^CN=(.*)$/m.exec(shown.subject)?.[1],
    },
  };
}
