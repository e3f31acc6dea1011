import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/deps.js';
import { errorTable } from '../base/errors.js';
import { writeClose } from '../protocol/frames/writer.js';
import type { Generation } from '../protocol/handshake/types.js';
import { isHixie } from '../protocol/translate/generations.js';
import type { TranslationFault } from '../protocol/translate/translator.js';
import type { MessageBounds } from '../protocol/translate/types.js';
import { DEFAULT_CLOSE_TIMEOUT_MS } from './closing.js';
import { TranslatedEnd } from './translated-end.js';
import type {
  Carried,
  InjectionKind,
  Relay,
  RelayEnd,
  RelayEngine,
  RelayOptions,
  RelayPair,
  RelaySideName,
} from './types.js';

/** What the two sides of a tunnel speak, and how much of a message is held. */
export interface Translation extends MessageBounds {
  readonly client: Generation;
  readonly upstream: Generation;
}

/** A Close frame without a code (RFC 6455 §7.1.5), which is what `FF 00` is. */
const NO_CODE = 1005;
const NOTHING = Buffer.alloc(0);

/**
 * Rung `translate`: a tunnel whose sides speak different frames. Each side that speaks Hixie is put into the clothes of
 * RFC 6455 and any engine joins them, so that limits, frames of ours, idle and closing times are those of RFC 6455; its
 * frames are always read. What cannot be translated ends both sides (`how: 'fault'`): the one that can be told why gets
 * the Close of the fault, the Hixie side `FF 00`, and the time of `closeTimeoutMs` to go.
 *
 * In `Carried` the bytes of a Hixie side are those on the wire, and its close code is 1005 if it sent `FF 00`.
 */
export function joinTranslated(
  engine: RelayEngine,
  pair: Omit<RelayPair, 'framing'>,
  options: RelayOptions,
  translation: Translation,
  clock: Clock,
): Relay {
  const { client, upstream, answer } = pair;
  const ends = { client: dress('client', pair, translation), upstream: dress('upstream', pair, translation) };
  // The answer is no frame. It leaves with those that follow it, in one write.
  if (ends.client !== undefined) {
    client.socket.cork();
    client.socket.write(answer);
  }
  const relay = engine.join(
    {
      client: ends.client === undefined ? client : clothed(ends.client, client.early),
      upstream: ends.upstream === undefined ? upstream : clothed(ends.upstream, upstream.early),
      answer: ends.client === undefined ? answer : NOTHING,
      framing: 'rfc6455',
    },
    options,
  );
  client.socket.uncork();
  return new TranslatedRelay(relay, ends, options, clock);
}

type Ends = Readonly<Record<RelaySideName, TranslatedEnd | undefined>>;

function dress(
  side: RelaySideName,
  pair: Pick<RelayPair, RelaySideName>,
  translation: Translation,
): TranslatedEnd | undefined {
  const generation = translation[side];
  if (!isHixie(generation)) return undefined;
  const { maxMessageBytes, maxFragments } = translation;
  const { socket } = pair[side];
  return new TranslatedEnd(socket, { side, generation, random: randomBytes, maxMessageBytes, maxFragments });
}

function clothed(end: TranslatedEnd, early: Buffer): RelayPair['client'] {
  return { socket: end, early: end.takeEarly(early), heardBytes: () => end.bytes };
}

class TranslatedRelay implements Relay {
  readonly ended: Promise<RelayEnd>;
  readonly #relay: Relay;
  readonly #ends: Ends;
  readonly #closeTimeoutMs: number;
  readonly #clock: Clock;
  #fault: TranslationFault | undefined;
  #cancelCut: () => void = () => {};

  constructor(relay: Relay, ends: Ends, { closeTimeoutMs = 0 }: RelayOptions, clock: Clock) {
    this.#relay = relay;
    this.#ends = ends;
    this.#clock = clock;
    this.#closeTimeoutMs = closeTimeoutMs > 0 ? closeTimeoutMs : DEFAULT_CLOSE_TIMEOUT_MS;
    this.ended = relay.ended.then((end) => this.#endOf(end));
    for (const [side, end] of Object.entries(ends) as [RelaySideName, TranslatedEnd | undefined][]) {
      if (end === undefined) continue;
      const hear = (fault: TranslationFault): void => this.#hearFault(side, fault);
      end.onFault = hear;
      // What came early is read before there is a relay.
      if (end.fault !== undefined) hear(end.fault);
    }
  }

  get fromClient(): Carried {
    return this.#carried('client', this.#relay.fromClient);
  }

  get fromUpstream(): Carried {
    return this.#carried('upstream', this.#relay.fromUpstream);
  }

  get firstClose(): RelaySideName | undefined {
    return this.#relay.firstClose;
  }

  whenEnded(listener: (end: RelayEnd) => void): void {
    void this.ended.then(listener);
  }

  cut(): void {
    this.#relay.cut();
  }

  inject(towards: RelaySideName, kind: InjectionKind, frame: Uint8Array): boolean {
    return this.#relay.inject(towards, kind, frame);
  }

  #carried(side: RelaySideName, carried: Carried): Carried {
    const end = this.#ends[side];
    if (end === undefined) return carried;
    const { messages, blind, pongs, silentMs } = carried;
    const closeCode = end.hasClosed ? NO_CODE : undefined;
    return { bytes: end.bytes, messages, closeCode, closeReason: undefined, blind, pongs, silentMs };
  }

  /** The end of `side` cannot translate what one of the two has sent; it has said goodbye to `side` itself. */
  #hearFault(side: RelaySideName, fault: TranslationFault): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    const other = side === 'client' ? 'upstream' : 'client';
    const mask = other === 'upstream' ? randomBytes(4) : undefined;
    const { closeCode } = errorTable[fault.code];
    this.#relay.inject(other, 'close', writeClose(closeCode, fault.reason, mask));
    this.#cancelCut = this.#clock.after(this.#closeTimeoutMs, () => this.cut());
  }

  #endOf(end: RelayEnd): RelayEnd {
    this.#cancelCut();
    return this.#fault === undefined ? end : { first: 'proxy', how: 'fault', fault: this.#fault };
  }
}
