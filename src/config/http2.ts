import { z } from 'zod';
import { expected } from './leaf.js';
import { onOff } from './on-off.js';

const MOST_STREAMS = 65_536;

const settings = z.strictObject({
  maxConcurrentStreams: z
    .int({ error: expected(`a whole number from 1 to ${MOST_STREAMS}`) })
    .min(1)
    .max(MOST_STREAMS)
    .prefault(256)
    .describe('Requests and WebSockets that one connection may have open at a time.'),
});

/** What `auto` and `true` stand for. */
export const http2Defaults = settings.parse({});

/** `false` becomes undefined. */
export const http2 = z
  .union([z.literal('auto'), onOff(settings)], {
    error: expected('auto, true, false, or an object of settings'),
  })
  .prefault('auto')
  .describe(
    'Whether clients may speak HTTP/2, WebSockets (RFC 8441) included. `auto`: with TLS, where both sides agree on it; on a plain listener `true` takes clients that begin with it (prior knowledge).',
  )
  .meta({ label: 'object, or `auto`, `true`, `false`' });

/** Of an upstream. */
export const upstreamHttp2 = z
  .union([z.boolean(), z.literal('auto')], { error: expected('true, false, or auto') })
  .prefault(false)
  .describe(
    'Whether requests and WebSockets (RFC 8441) go to the servers over HTTP/2, many on one connection. `true`: always, on plain servers with prior knowledge; a server that does not take them so is answered 502. `auto`: to `https:` servers that agree to HTTP/2, WebSockets to those that announce them, else over HTTP/1.1. Not together with `proxyProtocol`.',
  )
  .meta({ label: '`auto`, `true`, `false`' });
