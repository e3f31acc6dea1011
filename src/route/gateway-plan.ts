import type { AwsAnswerForm } from '../protocol/aws/answer.js';
import type { RouteSelection } from '../protocol/aws/routes.js';

/** What clients that are slower than what is sent to them come to. */
export type SlowConsumerPolicy = 'close' | 'drop-oldest' | 'drop-newest';

/** A route whose WebSockets end here, compiled and frozen. */
export interface GatewayPlan {
  /** Set where servers are asked as API Gateway asks; undefined: WebSocket-over-HTTP. */
  readonly aws: AwsPlan | undefined;
  /** Undefined: servers cannot subscribe clients, nor hold responses. */
  readonly grip: GripPlan | undefined;
  /** Put before the name of every channel. */
  readonly channelPrefix: string;
  /** Channels of every WebSocket from its start, prefix included. */
  readonly subscribe: readonly string[];
  /** `Infinity`: any number. */
  readonly maxSubscriptions: number;
  readonly compression: boolean;
  readonly maxMessageBytes: number;
  /** What a client sends may wait for the server up to here; beyond it the client is not read. */
  readonly maxBufferedBytes: number;
  readonly maxResponseBytes: number;
  readonly pings: 'edge' | 'forward';
  readonly requestTimeoutMs: number;
  readonly retries: { readonly attempts: number; readonly statuses: ReadonlySet<number> };
  readonly slowConsumer: { readonly policy: SlowConsumerPolicy; readonly maxBytes: number };
}

export interface GripPlan {
  readonly issuer: string;
  /** A secret, `base64:…`, or a private key in PEM; undefined: nothing is signed. */
  readonly key: string | undefined;
}

export interface AwsPlan {
  readonly stage: string;
  readonly apiId: string;
  /** Undefined: the `Host` of the handshake. */
  readonly domainName: string | undefined;
  readonly selection: RouteSelection;
  /** Whether the body of an answer to a message goes to the client. */
  readonly twoWay: boolean;
  readonly answers: AwsAnswerForm;
  /** Where events are sent; undefined: to the path of the handshake. */
  readonly path: string | undefined;
}
