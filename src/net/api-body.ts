import type { IncomingMessage } from 'node:http';

/**
 * The body of a request. What is too large is read no further by us; Node throws it away, so that the caller gets to
 * read the answer. `broken`: it ended before it was whole.
 */
export function readApiBody(
  req: IncomingMessage,
  maxBytes: number,
): Promise<Buffer | 'too-large' | 'broken'> {
  if (Number(req.headers['content-length'] ?? 0) > maxBytes) return Promise.resolve('too-large');
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) chunks.push(chunk);
      else {
        chunks.length = 0;
        resolve('too-large');
      }
    });
    req.once('end', () => resolve(Buffer.concat(chunks)));
    req.once('close', () => resolve('broken'));
  });
}
