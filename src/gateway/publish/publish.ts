import { isUtf8 } from 'node:buffer';
import type { Hub } from '../../channels/hub.js';
import type { PublishResult } from '../../channels/types.js';
import type { ApiAnswer } from '../../net/api-server.js';
import { publishProblemText, readPublishBody } from '../../protocol/grip/publish-body.js';
import type { PublishItem } from '../../protocol/grip/types.js';
import { quote } from '../../protocol/http/quote.js';
import { acceptable } from './accept.js';
import { type Call, inJson, readBody } from './call.js';
import { PublishFailure } from './failure.js';
import { insistOnKnown, readFlag } from './input.js';

/** How soon a publisher may come again where the backplane is away. */
const RETRY_AFTER_S = '1';

/** What became of a publish on this node; other nodes count their own subscribers. */
export interface Published {
  readonly message: 'Published';
  readonly delivered: number;
  readonly dropped: number;
  readonly items: readonly ItemResult[];
}

interface ItemResult extends PublishResult {
  readonly channel: string;
  readonly id: string | undefined;
}

interface ItemFailure {
  readonly channel: string;
  readonly id: string | undefined;
  /** One line; the item may still have been published. */
  readonly error: string;
}

/** `POST /publish/` as GRIP clients know it (EPCP); with `?delivered=true`, counts too. */
export async function publishAsGrip(call: Call): Promise<ApiAnswer> {
  insistOnKnown(call.query, ['delivered']);
  const isCounted = readFlag(call.query, 'delivered');
  const types = acceptable(call.req.headers.accept);
  const type = isCounted ? types.find((type) => type === 'application/json') : types[0];
  if (type === undefined) throw notAcceptable(isCounted);
  const published = await publish(call);
  if (isCounted) return inJson(published);
  const { message } = published;
  return type === 'application/json'
    ? inJson({ message })
    : { status: 200, type: 'text/plain', body: `${message}\n` };
}

/** `POST /v1/publish`: the same items, always with counts. */
export function publishWithCounts(call: Call): Promise<Published> {
  insistOnKnown(call.query, []);
  return publish(call);
}

/** All of a body or nothing, as long as the backplane takes it. */
async function publish(call: Call): Promise<Published> {
  const items = readItems(await readBody(call), call.maxBodyBytes);
  const results = await publishAll(call.channels.hub, items);
  const sum = (of: 'delivered' | 'dropped') => results.reduce((total, result) => total + result[of], 0);
  return { message: 'Published', delivered: sum('delivered'), dropped: sum('dropped'), items: results };
}

/** The size of a body bounds what is in it. */
function readItems(body: Buffer, maxBytes: number): readonly PublishItem[] {
  if (!isUtf8(body)) {
    const message = 'expected a body in UTF-8';
    throw new PublishFailure('ITEMS_INVALID', message, { text: `Body is not valid JSON.\n${message}\n` });
  }
  const reading = readPublishBody(body.toString(), { maxItems: maxBytes, maxContentBytes: maxBytes });
  if (reading.ok) return reading.items;
  const text = publishProblemText(reading.problems);
  const [, ...problems] = text.trimEnd().split('\n');
  const more = reading.problems.length - 1;
  throw new PublishFailure('ITEMS_INVALID', `${problems[0]}${more > 0 ? `; and ${more} more` : ''}`, {
    text,
    details: { problems },
  });
}

/** All are handed on before the first is waited for: they leave in their order, and in one go. */
async function publishAll(hub: Hub, items: readonly PublishItem[]): Promise<ItemResult[]> {
  const settled = await Promise.allSettled(items.map(async (item) => hub.publish(item)));
  const results = settled.map((one, at): ItemResult | ItemFailure => {
    const { channel, id } = items[at]!;
    if (one.status === 'rejected') return { channel, id, error: why(one.reason) };
    const { delivered, dropped, sequence } = one.value;
    return { channel, id, delivered, dropped, sequence };
  });
  if (results.every((result) => 'delivered' in result)) return results;
  throw notHandedOn(results);
}

function notHandedOn(results: readonly (ItemResult | ItemFailure)[]): PublishFailure {
  const at = results.findIndex((result) => 'error' in result);
  const { channel, error } = results[at] as ItemFailure;
  const published = results.filter((result) => !('error' in result)).length;
  const message = `items[${at}], channel ${quote(channel)}: ${error}; ${published} of ${results.length} items were published`;
  return new PublishFailure('BACKPLANE_UNAVAILABLE', message, {
    headers: { 'Retry-After': RETRY_AFTER_S },
    details: { published, items: results },
  });
}

function why(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}

function notAcceptable(isCounted: boolean): PublishFailure {
  // As Pushpin says it.
  const text = 'Not Acceptable. Supported formats are text/plain and application/json.\n';
  const message = isCounted
    ? 'counts are told in application/json, which Accept does not admit'
    : 'answers are in text/plain or application/json, neither of which Accept admits';
  return new PublishFailure('NOT_ACCEPTABLE', message, isCounted ? {} : { text });
}
