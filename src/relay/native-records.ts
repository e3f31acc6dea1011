import { getSystemErrorName } from 'node:util';
import { readReason } from '../protocol/frames/traffic.js';
import { blindReason, REASON_BYTES } from './native-binding.js';
import type { Carried, RelayEnd, RelaySideName } from './types.js';

/** The layout of `struct relay_record` in `native/src/relay.h`, in bytes. */
const RECORD_BYTES = 64;
const BYTES = 0;
const MESSAGES = 16;
const CLOSE_CODE = 32;
const PONGS = 40;
const BLIND = 48;
const FIRST_CLOSE = 50;
const END_FIRST = 51;
const END_HOW = 52;
const END_LIMIT = 53;
const END_LIMIT_SIDE = 54;
const END_ERRNO = 56;
const SILENT_SECONDS = 60;

const NO_CLOSE = -1;
const FIRST = [undefined, 'client', 'upstream', 'proxy'] as const;
const HOW = [undefined, 'end', 'reset', 'idle', 'max-age', 'cut', 'closed', 'limit'] as const;
const LIMIT = [undefined, 'message-size', 'message-rate'] as const;

export const SLOTS_PER_SLAB = 256;

/** A side as the addon counts them. */
export function sideNumber(side: RelaySideName): 0 | 1 {
  return side === 'client' ? 0 : 1;
}

/** The reason that stands at a place of the list which `takeEnded` has filled. */
export function reasonAt(reasons: Uint8Array, place: number): string | undefined {
  const at = place * REASON_BYTES;
  const length = reasons[at]!;
  return length === 0 ? undefined : readReason(reasons.subarray(at + 1, at + 1 + length));
}

/**
 * What the relay threads write of each tunnel and JavaScript reads without a call: a record a slot, in slabs of plain
 * memory. Slots are given out here, and come back when their tunnel has ended.
 */
export class Records {
  readonly #addSlab: (slab: ArrayBuffer) => void;
  readonly #slabs: Slab[] = [];
  readonly #free: number[] = [];

  constructor(addSlab: (slab: ArrayBuffer) => void) {
    this.#addSlab = addSlab;
  }

  take(): number {
    if (this.#free.length === 0) this.#grow();
    return this.#free.pop()!;
  }

  give(slot: number): void {
    this.#free.push(slot);
  }

  /** A copy of the counters of one direction. The reason comes with the end, and is not in the record. */
  carried(slot: number, side: RelaySideName, isObserved: boolean, closeReason?: string): Carried {
    const number = sideNumber(side);
    const { doubles, words, halves, bytes } = this.#slab(slot);
    const at = placeOf(slot);
    const closeCode = words[(at + CLOSE_CODE) / 4 + number]!;
    return {
      bytes: doubles[(at + BYTES) / 8 + number]!,
      messages: isObserved ? doubles[(at + MESSAGES) / 8 + number]! : undefined,
      closeCode: closeCode === NO_CLOSE ? undefined : closeCode,
      closeReason,
      pongs: words[(at + PONGS) / 4 + number]!,
      blind: blindReason(bytes[at + BLIND + number]!),
      silentMs: halves[(at + SILENT_SECONDS) / 2 + number]! * 1000,
    };
  }

  firstClose(slot: number): RelaySideName | undefined {
    return FIRST[this.#slab(slot).bytes[placeOf(slot) + FIRST_CLOSE]!] as RelaySideName | undefined;
  }

  end(slot: number): RelayEnd {
    const { words, bytes } = this.#slab(slot);
    const at = placeOf(slot);
    const first = FIRST[bytes[at + END_FIRST]!];
    const how = HOW[bytes[at + END_HOW]!];
    if (how === 'limit') {
      const limit = LIMIT[bytes[at + END_LIMIT]!]!;
      return { first: 'proxy', how, limit, side: bytes[at + END_LIMIT_SIDE] === 0 ? 'client' : 'upstream' };
    }
    const errno = words[(at + END_ERRNO) / 4]!;
    const detail = errno === 0 ? undefined : getSystemErrorName(-errno);
    return { first, how, detail } as RelayEnd;
  }

  #slab(slot: number): Slab {
    return this.#slabs[Math.floor(slot / SLOTS_PER_SLAB)]!;
  }

  #grow(): void {
    const memory = new ArrayBuffer(SLOTS_PER_SLAB * RECORD_BYTES);
    this.#addSlab(memory);
    const firstSlot = this.#slabs.length * SLOTS_PER_SLAB;
    this.#slabs.push({
      doubles: new Float64Array(memory),
      words: new Int32Array(memory),
      halves: new Uint16Array(memory),
      bytes: new Uint8Array(memory),
    });
    // The lowest goes out first.
    for (let i = SLOTS_PER_SLAB - 1; i >= 0; i--) this.#free.push(firstSlot + i);
  }
}

interface Slab {
  readonly doubles: Float64Array;
  readonly words: Int32Array;
  readonly halves: Uint16Array;
  readonly bytes: Uint8Array;
}

/** Where the record of a slot begins in its slab, in bytes. */
function placeOf(slot: number): number {
  return (slot % SLOTS_PER_SLAB) * RECORD_BYTES;
}
