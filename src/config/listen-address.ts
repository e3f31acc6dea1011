import { isIPv4, isIPv6 } from 'node:net';
import { right, show, wrong, type Parsed } from './leaf.js';
import { parseServerUrl } from './server-url.js';

export interface TcpAddress {
  /** Undefined: every address, IPv6 and IPv4. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
}

/** A unix socket, by its path as it was written. */
export interface UnixAddress {
  readonly socketPath: string;
}

/** Where a listener listens. */
export type ListenAddress = TcpAddress | UnixAddress;

/** What is taken, for the reference and for messages. */
export const LISTEN_ADDRESS = '[HOST:]PORT or unix:PATH';
const ACCEPTED = `expected ${LISTEN_ADDRESS}, such as 8080, 127.0.0.1:8080, "[::1]:8080" or unix:/run/tidegate.sock`;
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/;

/** Reads `[HOST:]PORT` or `unix:PATH`; IPv6 addresses stand in brackets. */
export function parseListenAddress(written: string | number): Parsed<ListenAddress> {
  const text = String(written).trim();
  if (text.startsWith('unix:')) return parseUnix(text);
  const split = /^(?:(?:\[([^\]]*)\]|([^[\]:]*)):)?(\d{1,5})$/.exec(text);
  if (split === null) return wrong(`${ACCEPTED}, found ${show(written)}`, guess(text));
  const [, ipv6, name, digits] = split;
  const port = Number(digits);
  if (port > 65_535) return wrong(`expected a port from 0 to 65535, found ${port}`);
  const host = ipv6 ?? name;
  if (ipv6 !== undefined ? isIPv6(ipv6) : name === undefined || isHostName(name))
    return right({ host, port });
  return wrong(`${ACCEPTED}, found ${show(written)}`, name === '' || name === '*' ? String(port) : undefined);
}

/** The way it is written: `8080`, `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/tidegate.sock`. */
export function formatListenAddress(address: ListenAddress): string {
  if ('socketPath' in address) return `unix:${address.socketPath}`;
  const { host, port } = address;
  if (host === undefined) return String(port);
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Whether two listeners would get in each other's way. */
export function overlap(a: ListenAddress, b: ListenAddress): boolean {
  if ('socketPath' in a || 'socketPath' in b) {
    return 'socketPath' in a && 'socketPath' in b && a.socketPath === b.socketPath;
  }
  if (a.port !== b.port || a.port === 0) return false;
  if (isEverywhere(a) || isEverywhere(b)) return true;
  if (a.host === '0.0.0.0' || b.host === '0.0.0.0') return isIPv4(a.host ?? '') && isIPv4(b.host ?? '');
  return a.host?.toLowerCase() === b.host?.toLowerCase();
}

function isEverywhere({ host }: TcpAddress): boolean {
  return host === undefined || host === '::';
}

function isHostName(name: string): boolean {
  return isIPv4(name) || (HOST_NAME.test(name) && !/^[\d.]+$/.test(name));
}

function parseUnix(text: string): Parsed<UnixAddress> {
  const parsed = parseServerUrl(text);
  return parsed.ok ? right(parsed.value.address as UnixAddress) : parsed;
}

function guess(text: string): string | undefined {
  const url = /^https?:\/\/([^/]+:\d+)\/?$/.exec(text);
  if (url !== null) return url[1];
  if (text.startsWith('/')) return `unix:${text}`;
  const bareIpv6 = /^(.*):(\d{1,5})$/.exec(text);
  if (bareIpv6 !== null && isIPv6(bareIpv6[1]!)) return `[${bareIpv6[1]}]:${bareIpv6[2]}`;
  return undefined;
}
