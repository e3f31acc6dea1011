import type { Http2Stream } from 'node:http2';
import { addAbortSignal } from 'node:stream';

/**
 * Resets a stream with CANCEL (RFC 8441 §5). `close(NGHTTP2_CANCEL)` would send END_STREAM first, and what was cut off
 * would look whole; a stream that Node destroys for an AbortError is just reset.
 */
export function cancelStream(stream: Http2Stream): void {
  addAbortSignal(AbortSignal.abort(), stream);
}
