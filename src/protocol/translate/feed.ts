import type { FrameScanner } from '../frames/types.js';

/** Pushes a chunk into a scanner. Returns why it has gone blind, if it was this chunk that made it so. */
export function feed(scanner: FrameScanner, chunk: Uint8Array): string | undefined {
  if (scanner.blind !== undefined) return undefined;
  scanner.push(chunk);
  return scanner.blind;
}
