import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { AdminAddress } from '../config/admin-address.js';
import { normalizeHost } from '../protocol/http/normalize.js';
import { plainAddress } from './sockets.js';

/**
 * Whether a request names us as we may be named: localhost, a loopback address, the address that it came to, or one of
 * `hosts` (as `normalizeHost` writes them). A web page can make its own name resolve to our address (DNS rebinding) and
 * then reads our answers as its own. Only names that nobody else can give away are taken. An address is none of those:
 * no page has it as its name but the one that we serve.
 */
export function isOwnHost({ headers, socket }: IncomingMessage, hosts: ReadonlySet<string>): boolean {
  const name = normalizeHost(headers.host ?? '');
  if (name === 'localhost' || hosts.has(name)) return true;
  const address = name.replace(/^\[|\]$/g, '');
  const isOurs = isLoopback(address) || address === plainAddress(socket.localAddress);
  return isIP(address) !== 0 && isOurs;
}

/** The name that an API was told to listen on, if it was one. */
export function hostOfAddress(address: AdminAddress): readonly string[] {
  if ('socketPath' in address || address.host === undefined) return [];
  const { host } = address;
  return [normalizeHost(host.includes(':') ? `[${host}]` : host)];
}

/** `Host "evil.example"`, for an error line. */
export function showHost({ headers: { host } }: IncomingMessage): string {
  return host === undefined ? 'no Host header' : `Host ${JSON.stringify(host)}`;
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
