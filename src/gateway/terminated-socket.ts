import type { Clock } from '../base/deps.js';
import type { ProxyError } from '../base/errors.js';
import type { AddressedSession } from '../channels/directory.js';
import type { Hub } from '../channels/hub.js';
import type { GripSigner } from '../protocol/grip/grip-sig.js';
import type { HeaderList } from '../protocol/http/header-list.js';
import type { Acceptance } from '../protocol/ws-over-http/types.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import type { Backend } from './backend.js';
import type { Outlet } from './outlet.js';
import type { DialectRecord } from './session-record.js';
import type { ClientEndpoint, ClientHandler, EndpointEnd } from './types.js';

/** What the backend said to the handshake. */
export type Opening =
  | { readonly kind: 'accepted'; readonly acceptance: Acceptance }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly fields: HeaderList;
      readonly body: Buffer;
    }
  /** The backend has not answered, or not so that it could be told to the client. */
  | { readonly kind: 'failed'; readonly error: ProxyError };

/** A Close as it came or went out. */
export interface CloseWords {
  /** Undefined: without one. */
  readonly code: number | undefined;
  readonly reason: string;
}

/** Who has ended it, and why, where that was not the client. */
export type OwnWord =
  | { readonly by: 'upstream'; readonly detail?: string }
  | { readonly by: 'proxy'; readonly outcome: 'limit' | 'drained'; readonly detail: string };

export interface TerminatedSocketOptions {
  /** The id by which it is addressed, and by which its backend knows it. */
  readonly id: string;
  readonly plan: GatewayPlan;
  readonly backend: Backend;
  /** The target of the handshake. */
  readonly path: string;
  /** The handshake as each request repeats it, with what we add about the client. */
  readonly replayed: HeaderList;
  readonly offeredSubprotocols: readonly string[];
  /** Undefined: requests are not signed. */
  readonly signer: GripSigner | undefined;
  readonly hub: Hub;
  readonly clock: Clock;
  readonly random: () => number;
  /** One line for the log. */
  readonly report: (problem: string) => void;
  /** What is said of it to those who ask by its id. */
  readonly info: () => Readonly<Record<string, unknown>>;
  /** What `record` tells is another than before. */
  readonly onChanged: () => void;
  /** The client is gone; the backend may still have to be told. */
  readonly onEnd: (end: EndpointEnd) => void;
  /** And has been told, or cannot be. Nothing is left. */
  readonly onOver: () => void;
}

/** A WebSocket that ends here, whichever dialect its backend is asked in. */
export interface TerminatedSocket extends ClientHandler, AddressedSession {
  /** Payload bytes and messages of the client. */
  readonly messages: number;
  readonly bytes: number;
  readonly closeFromClient: CloseWords | undefined;
  readonly closeFromUs: CloseWords | undefined;
  readonly ownWord: OwnWord | undefined;
  /** Undefined until the client has its 101. */
  readonly endpoint: ClientEndpoint | undefined;
  readonly outlet: Outlet | undefined;
  /** Asks the backend for the connection. Never rejects. */
  open(): Promise<Opening>;
  /** The client has its 101. */
  attach(endpoint: ClientEndpoint): void;
  /**
   * There will be no client: it went away before its answer, or was given another. With `PROXY_STOPPING` nothing may be
   * waited for any more, client or not. What is over stays over.
   */
  giveUp(reason: ProxyError): void;
  /** With what another node could tell the backend of its end. */
  record(): DialectRecord;
  /** Another node has told the backend of its end: the client gets a Close, and the backend hears nothing more. */
  disown(code: number, reason: string, word: OwnWord): void;
  /** For limits, drains and time-outs of ours. */
  closeByProxy(code: number, reason: string, word: OwnWord | undefined): void;
}
