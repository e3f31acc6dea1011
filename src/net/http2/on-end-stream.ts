import type { Http2Stream } from 'node:http2';

/**
 * Calls `told` when the peer ends the stream in order (END_STREAM). Node emits 'end' for streams that were reset, too,
 * even with NO_ERROR and in the middle; but only then is the stream closed before its end is put in.
 */
export function onEndStream(stream: Http2Stream, told: () => void): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding) => {
    if (chunk === null && !stream.closed) told();
    return push(chunk, encoding);
  };
}
