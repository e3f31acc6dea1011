import type { Deps } from '../base/deps.js';
import { MemoryBackplane } from './backplane/memory.js';
import { ChannelList } from './channel-list.js';
import { Directory } from './directory.js';
import { Hub } from './hub.js';
import { PresenceBook } from './presence.js';
import type { SequencerLimits } from './sequencer.js';
import type { Backplane, BackplaneHandlers } from './types.js';

export interface ChannelsOptions {
  readonly deps: Deps;
  /** Default: this node alone. */
  readonly backplane?: Backplane;
  readonly sequencing?: Partial<SequencerLimits>;
  /** Whether anybody may ask who is in a channel; default: in none. */
  readonly presence?: (channel: string) => boolean;
  /** What the backplane has to tell; nobody needs to listen. */
  readonly told?: Partial<
    Pick<BackplaneHandlers, 'onGap' | 'onLink' | 'onNodeLost' | 'onOutcast' | 'onTrouble'>
  >;
}

/** The room as one: subscribers, sessions, and other nodes. */
export interface Channels {
  readonly hub: Hub;
  readonly directory: Directory;
  readonly list: ChannelList;
  readonly presence: PresenceBook;
  readonly backplane: Backplane;
  close(): Promise<void>;
}

/** Letters and digits of a node’s name. */
const NODE_CHARACTERS = 8;

/** Rejects with one clear line where the backplane cannot be had. */
export async function openChannels(options: ChannelsOptions): Promise<Channels> {
  const { deps, told = {} } = options;
  const backplane = options.backplane ?? new MemoryBackplane(nodeName(deps));
  const hub = new Hub({ clock: deps.clock, backplane, sequencing: options.sequencing ?? {} });
  const directory = new Directory(backplane, deps.random);
  const list = new ChannelList(hub, backplane);
  const presence = new PresenceBook({ hub, backplane, isOn: options.presence ?? (() => false) });
  await backplane.open({
    onPublish: (item, place) => hub.receive(item, place),
    onAsk: (request) => Promise.resolve(directory.answer(request)),
    onQuery: (question) =>
      Promise.resolve(
        directory.answerQuery(question) ?? list.answerQuery(question) ?? presence.answerQuery(question),
      ),
    onGap: (channel, missed) => told.onGap?.(channel, missed),
    onLink: (state, detail) => told.onLink?.(state, detail),
    onNodeLost: async (node, sessions, isTold) => await told.onNodeLost?.(node, sessions, isTold),
    onOutcast: (ids) => told.onOutcast?.(ids),
    onTrouble: (detail) => told.onTrouble?.(detail),
  });
  return { hub, directory, list, presence, backplane, close: () => backplane.close() };
}

/** A name that no other node has, nor this one after a new start. */
export function nodeName({ random }: Deps): string {
  let name = '';
  while (name.length < NODE_CHARACTERS) name += random.id(NODE_CHARACTERS).replace(/[^A-Za-z0-9]/g, '');
  return name.slice(0, NODE_CHARACTERS);
}
