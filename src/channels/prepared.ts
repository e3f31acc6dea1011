import { writeFrame } from '../protocol/frames/writer.js';
import type { PublishItem, WsMessageFormat } from '../protocol/grip/types.js';
import type { Place, Prepared } from './types.js';

/** One item for any number of subscribers: what is made of it is made at most once. */
export class PreparedItem implements Prepared {
  readonly item: PublishItem;
  readonly place: Place | undefined;
  #frame: Buffer | undefined;

  constructor(item: PublishItem, place: Place | undefined) {
    this.item = item;
    this.place = place;
  }

  wsFrame(): Buffer | undefined {
    const format = this.item.wsMessage;
    if (this.#frame === undefined && format?.action === 'send') this.#frame = frame(format);
    return this.#frame;
  }
}

type Sending = WsMessageFormat & { readonly action: 'send' };

function frame({ type, content }: Sending): Buffer {
  return writeFrame({ opcode: OPCODES[type], payload: content });
}

/** RFC 6455 §5.2. */
const OPCODES: Readonly<Record<Sending['type'], number>> = { text: 1, binary: 2, ping: 9, pong: 10 };
