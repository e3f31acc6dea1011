import type { Deps } from '../base/deps.js';
import { MemoryBackplane } from '../channels/backplane/memory.js';
import { NatsBackplane } from '../channels/backplane/nats.js';
import { RedisBackplane } from '../channels/backplane/redis.js';
import { nodeName } from '../channels/channels.js';
import { MemoryHistory } from '../channels/history.js';
import type { Backplane } from '../channels/types.js';
import { backplaneKind } from '../config/backplane.js';
import type { BackplaneConfig, ChannelsConfig } from '../config/schema.js';
import type { ChannelRules } from './channel-rules.js';

/** The way to other nodes that the configuration names, or that of a node alone; still closed. */
export function backplaneOf(
  config: BackplaneConfig | undefined,
  { rules, maxHistoryChannels: maxChannels, maxHistoryBytes: maxTotalBytes }: ChannelsConfig,
  { history }: ChannelRules,
  deps: Deps,
): Backplane {
  const node = nodeName(deps);
  const limits = { maxChannels, maxTotalBytes };
  if (config === undefined) {
    const keeps = rules.some((rule) => rule.history !== undefined);
    return new MemoryBackplane(node, keeps ? new MemoryHistory({ deps, rule: history, limits }) : undefined);
  }
  const { url: urls, cluster, prefix, connectTimeout, answerTimeout, lostAfter } = config;
  const common = {
    deps,
    node,
    prefix,
    history,
    connectTimeoutMs: connectTimeout,
    askTimeoutMs: answerTimeout,
    beatMs: Math.max(1, lostAfter / BEATS_UNTIL_LOST),
    lostAfterMs: lostAfter,
  };
  return backplaneKind(urls) === 'nats'
    ? new NatsBackplane({ ...common, servers: { urls }, historyLimits: limits })
    : new RedisBackplane({ ...common, servers: { urls, cluster } });
}

const BEATS_UNTIL_LOST = 5;
