import { isIPv4 } from 'node:net';
import { right, show, wrong, type Parsed } from './leaf.js';

/** A server of an upstream, as its URL says. */
export interface ServerUrl {
  /** As configured, without a trailing slash. */
  readonly text: string;
  readonly secure: boolean;
  readonly address: { readonly host: string; readonly port: number } | { readonly socketPath: string };
  /** The server's own `Host` value: host, and port unless it is the default. `localhost` for unix sockets. */
  readonly host: string;
}

const ACCEPTED =
  'expected the URL of a server, such as http://127.0.0.1:3001, https://chat.internal or unix:/run/chat.sock';

/** Reads `http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:PATH`. */
export function parseServerUrl(text: string): Parsed<ServerUrl> {
  if (text.startsWith('unix:')) return parseUnix(text);
  if (!/^https?:\/\/[^/\s][^\s]*$/i.test(text) || !URL.canParse(text)) {
    return wrong(`${ACCEPTED}, found ${show(text)}`, guess(text));
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return wrong(`a server's URL takes no user name or password, found one before ${url.host}`, url.origin);
  }
  if (/[?#]/.test(text) || url.pathname !== '/') {
    return wrong(
      `a server's URL takes no path or query, as requests keep their own; found ${show(text)}`,
      url.origin,
    );
  }
  if (url.port === '0') return wrong(`expected a port from 1 to 65535, found ${show(text)}`);
  if (isIPv4(url.hostname) && !text.includes(url.hostname)) {
    // `http://3001` would be the address 0.0.11.185.
    return wrong(`${ACCEPTED}, found ${show(text)}`, guess(text.replace(/^https?:\/\//i, '')));
  }
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return right({ text: url.origin, secure, address: { host, port }, host: url.host });
}

function parseUnix(text: string): Parsed<ServerUrl> {
  const socketPath = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
  // oxlint-disable-next-line no-control-regex -- a NUL would cut the path short
  if (socketPath === '' || socketPath.endsWith('/') || /[\x00\r\n]/.test(socketPath)) {
    return wrong(`expected the path of a socket, such as unix:/run/chat.sock, found ${show(text)}`);
  }
  return right({ text: `unix:${socketPath}`, secure: false, address: { socketPath }, host: 'localhost' });
}

function guess(text: string): string | undefined {
  // A WebSocket begins as an HTTP request: the server is the same one.
  if (/^wss?:\/\//i.test(text)) return text.replace(/^ws/i, 'http');
  if (text.startsWith('/')) return `unix:${text}`;
  const bare = /^(?:([\w.-]+|\[[\da-fA-F:.]+\]):)?(\d{1,5})\/?$/.exec(text);
  return bare === null ? undefined : `http://${bare[1] ?? '127.0.0.1'}:${bare[2]}`;
}
