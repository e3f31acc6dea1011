import type { Call } from './call.js';
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

/** Nodes that did not answer. */
function orAbsent(missing: readonly string[]): readonly string[] | undefined {
  return missing.length > 0 ? missing : undefined;
}
