import { runHixieClient, type ConversationStep } from './hixie-client.js';
import type { EventStream } from './sse.js';

const MAX_TEXT_CHARS = 200;
const DEFAULT_TEXT = 'Is it a tunnel or a gateway?';

/** Runs the client of 2010 against Tidegate's public port and streams what was said, byte for byte. */
export async function converse(
  stream: EventStream,
  query: URLSearchParams,
  target: { readonly host: string; readonly port: number },
): Promise<void> {
  const gone = new AbortController();
  void stream.closed.then(() => gone.abort());
  const verdict = await runHixieClient(
    {
      host: target.host,
      port: target.port,
      path: '/hixie',
      authority: `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`,
      text: query.get('text')?.slice(0, MAX_TEXT_CHARS) || DEFAULT_TEXT,
      keyInOwnPacket: query.has('split'),
      signal: gone.signal,
    },
    (step) => stream.send('step', showStep(step)),
  );
  stream.send('verdict', verdict);
  stream.end();
}

/** Heads as text, everything else in hex. */
function showStep(step: ConversationStep): unknown {
  const { bytes, ...rest } = step;
  const isHead = step.what === 'request head' || step.what === 'answer head';
  const shown = isHead
    ? { head: bytes.toString('latin1') }
    : bytes.length > 0
      ? { hex: bytes.toString('hex') }
      : {};
  return { ...rest, ...shown, byteLength: bytes.length };
}
