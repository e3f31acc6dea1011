import type { Recovery } from '../../channels/types.js';
import { itemJson } from '../../protocol/grip/publish-json.js';
import { quote } from '../../protocol/http/quote.js';
import type { Call } from './call.js';
import { PublishFailure } from './failure.js';
import { insistOnKnown, readPaging } from './input.js';

/** `GET /v1/channels`: those that somebody listens to, on all nodes, by name. */
export async function listChannels({ query, channels: { list } }: Call): Promise<object> {
  insistOnKnown(query, ['limit', 'after']);
  const { limit, after } = readPaging(query);
  const { channels, next, missing } = await list.page(limit, after);
  return { channels, next, missing: orAbsent(missing) };
}

/** `GET /v1/channels/NAME`: how many listen to it, and who, where presence is on. Nobody is an answer too. */
export async function getChannel({ name, query, channels: { list, presence } }: Call): Promise<object> {
  insistOnKnown(query, ['limit']);
  const found = await presence.of(name, readPaging(query).limit);
  if (found !== undefined) {
    const { members, total, missing } = found;
    return { channel: name, subscribers: total, members, missing: orAbsent(missing) };
  }
  const { subscribers, missing } = await list.count(name);
  return { channel: name, subscribers, missing: orAbsent(missing) };
}

/**
 * `GET /v1/channels/NAME/history`: the last messages; with `?after=ID`, those behind the item with this id, and whether
 * that is all that came since. The oldest first, as they could be published again.
 */
export async function getHistory({ name, query, channels: { hub, backplane } }: Call): Promise<object> {
  insistOnKnown(query, ['limit', 'after']);
  const { limit, after } = readPaging(query);
  try {
    if (!hub.keepsHistory(name)) throw noHistory(name);
    if (after === undefined) return page(name, undefined, await backplane.history(name, limit), limit);
    const { recovered, messages } = await hub.since(name, { id: after });
    return page(name, recovered, messages, limit);
  } catch (thrown) {
    if (thrown instanceof PublishFailure) throw thrown;
    const message = `the history of channel ${quote(name)} cannot be read: ${(thrown as Error).message}`;
    throw new PublishFailure('BACKPLANE_UNAVAILABLE', message);
  }
}

function page(
  channel: string,
  recovered: boolean | undefined,
  messages: Recovery['messages'],
  limit: number,
): object {
  return {
    channel,
    recovered,
    messages: messages.slice(0, limit).map(({ item }) => itemJson(item)),
    more: messages.length > limit || undefined,
  };
}

function noHistory(name: string): PublishFailure {
  return new PublishFailure('NOT_FOUND', `no history is kept of channel ${quote(name)} (\`channels\`)`);
}

/** Nodes that did not answer. */
function orAbsent(missing: readonly string[]): readonly string[] | undefined {
  return missing.length > 0 ? missing : undefined;
}
