import { type RetryOptions, retryDefaults } from './retries.js';

export interface ConnectionLimits {
  /** Bytes from the client that wait for the backend before the client is to be paused. Default 256 KiB. */
  readonly bufferBytes: number;
  /** The largest message from the client, which may be more than `bufferBytes`. Default 1 MiB. */
  readonly maxMessageBytes: number;
  /** A request takes no further event once it has so much content. Default 1 MiB. */
  readonly maxRequestBytes: number;
  /** Events in one request; 1 for a backend that takes one at a time. Default 1000. */
  readonly maxRequestEvents: number;
  /** What the backend may bind by Set-Meta-*, names and values together: it comes back in every head. Default 8 KiB. */
  readonly maxMetaBytes: number;
  /** A shorter Keep-Alive-Interval is lengthened to this. Default 20 s. */
  readonly minKeepAliveMs: number;
}

export const limitDefaults: ConnectionLimits = {
  bufferBytes: 256 * 1024,
  maxMessageBytes: 1024 * 1024,
  maxRequestBytes: 1024 * 1024,
  maxRequestEvents: 1000,
  maxMetaBytes: 8 * 1024,
  minKeepAliveMs: 20_000,
};

export interface ConnectionOptions {
  /** The subprotocols that the client offered. */
  readonly offeredSubprotocols: readonly string[];
  /** Whether requests offer GRIP; only then an answer can turn it on. */
  readonly offersGrip: boolean;
  readonly limits: ConnectionLimits;
  readonly retry: RetryOptions;
  /** A number in [0, 1). */
  readonly random: () => number;
}

export const connectionDefaults = {
  offeredSubprotocols: [],
  offersGrip: false,
  limits: limitDefaults,
  retry: retryDefaults,
} as const satisfies Partial<ConnectionOptions>;
