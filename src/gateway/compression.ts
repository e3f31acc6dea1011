import type { UpgradeRequest } from '../protocol/handshake/types.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import { type Deflate, extension, PerMessageDeflate } from './ws-parts.js';

/** Smaller messages do not gain by it. */
const THRESHOLD_BYTES = 1024;

export interface Compression {
  readonly deflate: Deflate;
  /** The value of `Sec-WebSocket-Extensions` that grants it. */
  readonly field: string;
  readonly thresholdBytes: number;
}

/** What is agreed on with a client that offers permessage-deflate (RFC 7692); undefined: nothing. */
export function offerCompression(
  { generation, head, extensions }: UpgradeRequest,
  { compression, maxMessageBytes }: GatewayPlan,
): Compression | undefined {
  const name = PerMessageDeflate.extensionName;
  if (!compression || generation !== 'rfc6455' || !extensions.includes(name)) return undefined;
  try {
    const offers = extension.parse(head.headers.all('sec-websocket-extensions').join(', '))[name] ?? [];
    const deflate = new PerMessageDeflate({
      isServer: true,
      maxPayload: maxMessageBytes,
      threshold: THRESHOLD_BYTES,
    });
    const field = extension.format({ [name]: [deflate.accept(offers)] });
    return { deflate, field, thresholdBytes: THRESHOLD_BYTES };
  } catch {
    // An offer that cannot be taken is as good as none (RFC 7692 §5).
    return undefined;
  }
}
