import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ProxyHeader } from '../protocol/proxy-header/types.js';
import type { ConnectionFacts } from './connection-facts.js';
import { plainAddress } from './sockets.js';

/** What is known of a client beside the bytes of its connection. */
export interface ClientFacts {
  /** IP address without port (IPv4-mapped IPv6 addresses as IPv4), or `unix`. */
  readonly address: string;
  /** Whether the client speaks TLS: to us, or to a proxy that says so and is believed. */
  readonly secure: boolean;
  /** The version of HTTP in which it asks. */
  readonly via: 'h1' | 'h2';
  /** What it has proven to be, with a certificate that its listener has asked for and found valid. */
  readonly clientCertificate?: ClientCertificate;
  /** The PROXY header at the beginning of its connection, if that is not about the sender itself. */
  readonly proxied?: ProxyHeader;
  /** What the connection tells, where it is not the one that requests are read from: below streams of HTTP/2. */
  readonly connection?: ConnectionFacts;
}

/** The valid certificate of a client. */
export interface ClientCertificate {
  /** As RFC 4514 has it: `CN=Ada,O=Example`. */
  readonly subject: string;
  /** `AA:BB:…` */
  readonly fingerprint256: string;
  /** The header fields in which the upstream is told. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** By connection, for those that do not tell by themselves: behind a PROXY header, or a stream of HTTP/2. */
const noted = new WeakMap<Duplex, Partial<ClientFacts>>();

/** Notes facts that count more than what the connection says itself. */
export function noteFacts(connection: Duplex, facts: Partial<ClientFacts>): void {
  noted.set(connection, { ...noted.get(connection), ...facts });
}

export function factsOf(connection: Duplex): ClientFacts {
  return {
    address: plainAddress(connection instanceof Socket ? connection.remoteAddress : undefined),
    secure: 'encrypted' in connection && connection.encrypted === true,
    via: 'h1',
    ...noted.get(connection),
  };
}

/**
 * Whether a proxy speaks for a client whose address it does not say. The address is the proxy's own then (or `unix`), and
 * whatever trust there is in that address is not in this client.
 */
export function isNameless({ proxied }: ClientFacts): boolean {
  return proxied !== undefined && proxied.kind !== 'tcp';
}
