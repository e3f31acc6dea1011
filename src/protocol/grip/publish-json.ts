import { isUtf8 } from 'node:buffer';
import { FieldProblem } from './json-fields.js';
import { readItem } from './publish-body.js';
import type { HttpResponseFormat, HttpStreamFormat, PublishItem, WsMessageFormat } from './types.js';

/** An item as a line of JSON, from node to node; `readPublishBody` takes it too, as one of `items`. */
export function encodeItem(item: PublishItem): string {
  return JSON.stringify(itemJson(item));
}

/** An item as it can be published again. */
export function itemJson(item: PublishItem): object {
  return {
    channel: item.channel,
    id: item.id,
    'prev-id': item.prevId,
    'no-seq': item.noSeq || undefined,
    meta: Object.keys(item.meta).length > 0 ? item.meta : undefined,
    formats: {
      'ws-message': item.wsMessage && wsMessage(item.wsMessage),
      'http-stream': item.httpStream && httpStream(item.httpStream),
      'http-response': item.httpResponse && httpResponse(item.httpResponse),
      // An item may have no format that is known here, and is still one: it has a place in its channel’s sequence.
      none: hasFormat(item) ? undefined : {},
    },
  };
}

/** The item again; where it is none, a line that says why. No limits: they were held where it was published. */
export function decodeItem(json: string): PublishItem | { readonly problem: string } {
  try {
    return readItem(JSON.parse(json), 'item', Infinity);
  } catch (error) {
    if (error instanceof FieldProblem) return { problem: error.line };
    if (error instanceof SyntaxError) return { problem: 'an item from another node is not JSON' };
    throw error;
  }
}

function hasFormat({ wsMessage, httpStream, httpResponse }: PublishItem): boolean {
  return wsMessage !== undefined || httpStream !== undefined || httpResponse !== undefined;
}

function wsMessage(format: WsMessageFormat): object {
  if (format.action !== 'send') return format;
  const { type, content, contentFilters } = format;
  return { type, ...bytes('content', content), 'content-filters': contentFilters };
}

function httpStream(format: HttpStreamFormat): object {
  if (format.action !== 'send') return format;
  return { ...bytes('content', format.content), 'content-filters': format.contentFilters };
}

function httpResponse(format: HttpResponseFormat): object {
  if (format.action !== 'send') return format;
  const { code, reason, headers, body, contentFilters } = format;
  return {
    code,
    reason,
    headers: headers.length > 0 ? headers : undefined,
    ...('patch' in body ? { 'body-patch': body.patch } : bytes('body', body.bytes)),
    'content-filters': contentFilters,
  };
}

/** Text is a quarter shorter than base64, and readable. */
function bytes(key: string, content: Buffer): object {
  return isUtf8(content) ? { [key]: content.toString() } : { [`${key}-bin`]: content.toString('base64') };
}
