import type { PublishItem } from '../protocol/grip/types.js';

/** The bytes of an item’s content, of all its forms together. */
export function contentBytes({ wsMessage, httpStream, httpResponse }: PublishItem): number {
  const ws = wsMessage?.action === 'send' ? wsMessage.content.length : 0;
  const stream = httpStream?.action === 'send' ? httpStream.content.length : 0;
  if (httpResponse?.action !== 'send') return ws + stream;
  const { body } = httpResponse;
  return ws + stream + ('bytes' in body ? body.bytes.length : JSON.stringify(body.patch).length);
}
