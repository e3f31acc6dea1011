import { z } from 'zod';
import { admin } from './admin.js';
import { backplane } from './backplane.js';
import { channels } from './channels.js';
import { drain } from './drain.js';
import { expected } from './leaf.js';
import { limits } from './limits.js';
import { listeners } from './listeners.js';
import { accessLog, log } from './logging.js';
import { publish } from './publish.js';
import { reload } from './reload.js';
import { routes } from './routes.js';
import { upstreams } from './upstreams.js';

/** The whole configuration; every key has its meaning and its default beside it. */
export const configSchema = z
  .strictObject(
    {
      listeners: listeners
        .optional()
        .describe(
          'Where clients are accepted. Each entry is an object, or just its address. Only a program that attaches Tidegate to a server of its own needs none.',
        ),
      upstreams: upstreams
        .prefault({})
        .describe(
          'Named groups of servers. Each is an object, or just the URL of its server or a list of them.',
        ),
      routes: routes.describe('Which requests go where. The first route that fits takes the request.'),
      relay: z
        .enum(['auto', 'native', 'stream'])
        .prefault('auto')
        .describe(
          'The engine that moves the bytes of WebSockets. `native` is a small addon that does it outside of the event loop, and takes common handshakes from plain listeners past Node’s sockets, on Linux; where it is not there, `stream` does the same work and the start says so. `auto` is `native` where there is one. Connections over TLS always go through `stream`.',
        ),
      relayThreads: z
        .union([z.literal('auto'), z.int().min(1).max(64)], {
          error: expected('a number of threads from 1 to 64, or `auto`'),
        })
        .prefault('auto')
        .describe('Threads of the native engine; `auto` is one for each core.')
        .meta({ label: 'number, or `auto`' }),
      admin,
      publish,
      backplane,
      channels,
      accessLog,
      log,
      limits: limits('the whole proxy'),
      drain,
      reload,
    },
    { error: expected('an object with `listeners`, `upstreams` and `routes`') },
  )
  .describe('The configuration of Tidegate.');

/** What a person writes: text for durations and sizes, shorthands, everything with a default left out. */
export type ConfigInput = z.input<typeof configSchema>;

/** What was understood: durations in milliseconds (0 = never where that is allowed), sizes in bytes, no shorthands. */
export type Config = z.output<typeof configSchema>;

export type ListenerConfig = NonNullable<Config['listeners']>[number];
export type UpstreamConfig = Config['upstreams'][string];
export type AdminConfig = NonNullable<Config['admin']>;
export type PublishConfig = NonNullable<Config['publish']>;
export type BackplaneConfig = NonNullable<Config['backplane']>;
export type ChannelsConfig = Config['channels'];
export type GatewayConfig = NonNullable<RouteConfig['gateway']>;
export type RouteConfig = Config['routes'][number];

/** Gives a configuration in TypeScript or JavaScript its type: completion, and errors while typing. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}
