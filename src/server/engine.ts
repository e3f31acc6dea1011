import type { Clock } from '../base/deps.js';
import type { NativeDoor } from '../net/native-door.js';
import { type LoadedNative, loadNative } from '../relay/native-binding.js';
import { NativeEngine } from '../relay/native.js';
import { StreamEngine } from '../relay/stream.js';
import type { RelayEngine } from '../relay/types.js';
import type { Plan } from './compile.js';

/** The engine in use, and how to let go of it. */
export interface ChosenEngine {
  readonly engine: RelayEngine;
  /** Why the native engine is not in use although it was wanted; undefined when it is, or was not. */
  readonly missing: string | undefined;
  /** A way in past Node’s own sockets, if the engine has one; closed with it. */
  openDoor(): NativeDoor | undefined;
  /** Ends its threads; to be called when no tunnel is open any more. */
  close(): void;
}

/**
 * The relay engine that the configuration asks for. The native one is a matter of speed only: where it cannot be had,
 * the stream engine does the same work, and `missing` says why.
 */
export function chooseEngine(
  { relay, relayThreads }: Pick<Plan, 'relay' | 'relayThreads'>,
  clock: Clock,
  load: () => LoadedNative = loadNative,
): ChosenEngine {
  const stream = new StreamEngine(clock);
  const loaded = relay === 'stream' ? undefined : load();
  if (loaded === undefined || 'reason' in loaded) {
    return { engine: stream, missing: loaded?.reason, openDoor: () => undefined, close: () => {} };
  }
  const native = new NativeEngine(loaded.binding, stream, { threads: relayThreads });
  let door: NativeDoor | undefined;
  return {
    engine: native,
    missing: undefined,
    openDoor: () => (door ??= native.openDoor()),
    close: () => {
      door?.close();
      native.close();
    },
  };
}
