import { isIP, isIPv6, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import type { Endpoint, HeaderTls, ProxyHeader, ProxyVersion } from '../protocol/proxy-header/types.js';
import { writeProxyHeader } from '../protocol/proxy-header/write.js';
import { type ClientFacts, isNameless } from './client-facts.js';
import { plainAddress } from './sockets.js';

/** Whom a connection to a server is for. */
export interface Beneficiary {
  /** The client's connection, as HTTP sees it. */
  readonly connection: Duplex;
  readonly facts: ClientFacts;
  /** The client's address, behind the proxies we trust. */
  readonly client: string;
}

/**
 * The PROXY header that tells a server about a client. Its port, the address that it dialled and its TLS are said when
 * it is the client itself that is connected to us, or to the proxy that has told us of it in the same way.
 */
export function prefaceFor(version: ProxyVersion, beneficiary: Beneficiary): Buffer {
  return writeProxyHeader(version, headerFor(beneficiary));
}

/** The PROXY header before a connection of our own: a health check. Version 1 has no word for it but its two ends. */
export function ownPreface(version: ProxyVersion, connection: Socket): Buffer {
  const { localAddress, localPort, remoteAddress, remotePort } = connection;
  const source = endpoint(localAddress, localPort);
  const destination = endpoint(remoteAddress, remotePort);
  const isNamed = version === 'v1' && source !== undefined && destination !== undefined;
  return writeProxyHeader(version, isNamed ? { kind: 'tcp', source, destination } : { kind: 'local' });
}

function headerFor({ connection, facts, client }: Beneficiary): ProxyHeader {
  const isConnected = client === facts.address;
  const tls = isConnected ? (tlsOf(connection) ?? facts.proxied?.tls) : undefined;
  const extras = tls === undefined ? {} : { tls };
  if (isConnected && isNameless(facts)) {
    return { kind: facts.proxied?.kind === 'unix' ? 'unix' : 'unknown', ...extras };
  }
  const ends = endsOf(connection, facts);
  const source = endpoint(client, isConnected ? ends.port : 0);
  if (source === undefined) return { kind: client === 'unix' ? 'unix' : 'unknown', ...extras };
  return { kind: 'tcp', source, destination: inFamilyOf(source, ends.destination), ...extras };
}

/** The client's port, and where it dialled, as far as that is known. */
function endsOf(connection: Duplex, { proxied }: ClientFacts): { port: number; destination?: Endpoint } {
  if (proxied?.kind === 'tcp') return { port: proxied.source.port, destination: proxied.destination };
  if (!(connection instanceof Socket)) return { port: 0 };
  const destination = endpoint(connection.localAddress, connection.localPort);
  return { port: connection.remotePort ?? 0, ...(destination && { destination }) };
}

/** An IPv4 client stays one: next to the address of another family it would have to be written as IPv6. */
function inFamilyOf(source: Endpoint, destination: Endpoint | undefined): Endpoint {
  if (isIPv6(source.address)) return destination ?? { address: '::', port: 0 };
  if (destination === undefined || isIPv6(destination.address)) {
    return { address: '0.0.0.0', port: destination?.port ?? 0 };
  }
  return destination;
}

/** Undefined for what is no address. The zone of a link-local one means nothing on another machine. */
function endpoint(address: string | undefined, port = 0): Endpoint | undefined {
  const [bare = ''] = plainAddress(address).split('%');
  return isIP(bare) === 0 ? undefined : { address: bare, port };
}

function tlsOf(connection: Duplex): HeaderTls | undefined {
  if (!(connection instanceof TLSSocket)) return undefined;
  const shown = connection.getPeerX509Certificate();
  return {
    version: connection.getProtocol() ?? undefined,
    certificate: shown && {
      isVerified: connection.authorized,
      commonName: /^CN=(.*)$/m.exec(shown.subject)?.[1],
    },
  };
}
