import { firstMatch } from '../channels/pattern.js';
import type { HistoryRule } from '../channels/types.js';
import type { ChannelsConfig } from '../config/schema.js';

/** What is kept of a channel, and told of it. */
export interface ChannelRules {
  readonly history: (channel: string) => HistoryRule | undefined;
  readonly presence: (channel: string) => boolean;
}

export function channelRules({ rules }: ChannelsConfig): ChannelRules {
  const ruleOf = firstMatch(
    rules.map(({ match, history, presence }) => ({
      channels: match,
      value: {
        presence,
        history: history && {
          maxMessages: history.maxMessages,
          maxAgeMs: history.maxAge,
          maxBytes: history.maxBytes,
        },
      },
    })),
  );
  return {
    history: (channel) => ruleOf(channel)?.history,
    presence: (channel) => ruleOf(channel)?.presence ?? false,
  };
}
