import { isIPv6, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Endpoint, ProxyHeader, ProxyVersion } from '../protocol/proxy-header/types.js';
import { writeProxyHeader } from '../protocol/proxy-header/write.js';
import { type ClientFacts, isNameless } from './client-facts.js';
import { type ConnectionFacts, connectionFacts, endpoint } from './connection-facts.js';

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
  const { proxied } = facts;
  const isConnected = client === facts.address;
  const own = facts.connection ?? (connection instanceof Socket ? connectionFacts(connection) : NOTHING);
  // What the client speaks to us went through the proxy as it was.
  const tls = isConnected ? (own.tls ?? proxied?.tls) : undefined;
  const extras = tls === undefined ? {} : { tls };
  if (isConnected && isNameless(facts)) {
    return { kind: proxied?.kind === 'unix' ? 'unix' : 'unknown', ...extras };
  }
  const port = proxied?.kind === 'tcp' ? proxied.source.port : own.port;
  const source = endpoint(client, isConnected ? port : 0);
  if (source === undefined) return { kind: client === 'unix' ? 'unix' : 'unknown', ...extras };
  const dialled = proxied?.kind === 'tcp' ? proxied.destination : own.destination;
  return { kind: 'tcp', source, destination: inFamilyOf(source, dialled), ...extras };
}

const NOTHING: ConnectionFacts = { port: 0, destination: undefined, tls: undefined };

/** An IPv4 client stays one: next to the address of another family it would have to be written as IPv6. */
function inFamilyOf(source: Endpoint, destination: Endpoint | undefined): Endpoint {
  if (isIPv6(source.address)) return destination ?? { address: '::', port: 0 };
  if (destination === undefined || isIPv6(destination.address)) {
    return { address: '0.0.0.0', port: destination?.port ?? 0 };
  }
  return destination;
}
