/**
 * The parts of `ws` that an endpoint is made of: its reader and its writer of frames, and compression. They are exported
 * by the package; its types leave them out.
 */
import type { Duplex, Writable } from 'node:stream';
import * as ws from 'ws';

export interface DeflateParams {
  readonly server_no_context_takeover?: boolean;
  readonly client_no_context_takeover?: boolean;
  readonly server_max_window_bits?: number;
  readonly client_max_window_bits?: number;
}

export interface Deflate {
  /** Takes the first of the offers that it can; throws where there is none. */
  accept(offers: readonly unknown[]): DeflateParams;
  cleanup(): void;
}

type Extensions = Readonly<Record<string, Deflate>>;

/**
 * Reads frames that are written to it. Events: `message` (Buffer, isBinary), `ping`, `pong` (Buffer), `conclude` (code,
 * 1005 for none; Buffer), `drain`, `error` (with a `code` of `ws`).
 */
export interface FrameReceiver extends Writable {
  removeAllListeners(): this;
}

export interface FrameSender {
  readonly _bufferedBytes: number;
  send(
    data: Buffer,
    options: { binary: boolean; compress: boolean; fin: boolean; mask: boolean },
    done?: () => void,
  ): void;
  ping(data: Buffer, mask: boolean, done?: () => void): void;
  pong(data: Buffer, mask: boolean, done?: () => void): void;
  close(code: number | undefined, reason: string, mask: boolean, done?: () => void): void;
}

interface WsParts {
  readonly Receiver: new (options: {
    isServer: boolean;
    extensions: Extensions;
    maxPayload: number;
    maxFragments: number;
    maxBufferedChunks: number;
  }) => FrameReceiver;
  readonly Sender: new (socket: Duplex, extensions: Extensions) => FrameSender;
  readonly PerMessageDeflate: {
    readonly extensionName: 'permessage-deflate';
    new (options: Record<string, unknown>): Deflate;
  };
  readonly extension: {
    parse(header: string): Record<string, unknown[]>;
    format(extensions: Record<string, readonly DeflateParams[]>): string;
  };
}

export const { Receiver, Sender, PerMessageDeflate, extension } = ws as unknown as WsParts;

/** Bytes that wait to be compressed. Those behind them wait in the socket. */
export function waitingBytes({ _bufferedBytes: bytes }: FrameSender): number {
  return bytes;
}
