import { isIPv4 } from 'node:net';
import { show, wrong, type Parsed } from './leaf.js';
import { formatListenAddress, parseListenAddress, type ListenAddress } from './listen-address.js';

/** Where the admin API is: a TCP address, or the path of a unix socket as it was written. */
export type AdminAddress = ListenAddress;

/** Reads `[HOST:]PORT` or `unix:PATH`. */
export function parseAdminAddress(written: string | number): Parsed<AdminAddress> {
  const parsed = parseListenAddress(written);
  if (parsed.ok || String(written).trim().startsWith('unix:')) return parsed;
  return wrong(
    `expected 127.0.0.1:PORT or unix:PATH, such as 127.0.0.1:9090 or unix:/run/tidegate.sock, found ${show(written)}`,
    parsed.suggestion,
  );
}

/** The way it is written: `127.0.0.1:9090`, `unix:/run/tidegate.sock`. */
export const formatAdminAddress: (address: AdminAddress) => string = formatListenAddress;

/** Whether nobody but this machine can reach it. */
export function isLocal(address: AdminAddress): boolean {
  if ('socketPath' in address) return true;
  const host = address.host?.toLowerCase();
  return (
    host === 'localhost' || host === '::1' || (host !== undefined && isIPv4(host) && host.startsWith('127.'))
  );
}
