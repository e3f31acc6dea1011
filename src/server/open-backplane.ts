import type { Deps } from '../base/deps.js';
import { NatsBackplane } from '../channels/backplane/nats.js';
import { RedisBackplane } from '../channels/backplane/redis.js';
import { nodeName } from '../channels/channels.js';
import type { Backplane } from '../channels/types.js';
import { backplaneKind } from '../config/backplane.js';
import type { BackplaneConfig } from '../config/schema.js';

/** The way to other nodes that the configuration names, still closed; undefined: there are none. */
export function backplaneOf(config: BackplaneConfig | undefined, deps: Deps): Backplane | undefined {
  if (config === undefined) return undefined;
  const { url, cluster, prefix } = config;
  const node = nodeName(deps);
  return backplaneKind(url) === 'nats'
    ? new NatsBackplane({ deps, node, servers: { urls: url }, prefix })
    : new RedisBackplane({ deps, node, servers: { urls: url, cluster }, prefix });
}
