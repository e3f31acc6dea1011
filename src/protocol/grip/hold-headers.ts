import type { HeaderList } from '../http/header-list.js';
import { quote } from '../http/quote.js';
import { clientHeaders } from './client-headers.js';
import { filterProblem } from './filters.js';
import { fail, HeaderProblem, readSeconds } from './header-problem.js';
import type { BackendResponse, HoldChannel, Problem, Said } from './hold.js';
import { readKeepAlive } from './keep-alive.js';
import { parameter, readParameterized, readParameters, splitElements } from './parameters.js';

const NEXT_TIMEOUT_MS = 120_000;

/** What the `Grip-*` headers of a response say; a line where they cannot be understood. */
export function readHoldHeaders(response: BackendResponse): Said | Problem {
  try {
    return read(response);
  } catch (error) {
    if (error instanceof HeaderProblem) return { problem: error.message };
    throw error;
  }
}

function read(response: BackendResponse): Said {
  const { headers } = response;
  const keepAlive = headers.get('grip-keep-alive');
  return {
    mode: modeOf(headers.get('grip-hold')),
    channels: elements(headers, 'Grip-Channel').map(channelOf),
    timeoutMs: readSeconds('Grip-Timeout', headers.get('grip-timeout')),
    // An empty one is none.
    keepAlive: keepAlive ? readKeepAlive(keepAlive) : undefined,
    meta: new Map(elements(headers, 'Grip-Set-Meta').map(metaOf)),
    ...linksOf(headers),
    response: {
      ...statusOf(response),
      headers: clientHeaders(headers, headers.elements('grip-expose-headers')),
      body: undefined,
    },
  };
}

function modeOf(hold: string | undefined): Said['mode'] {
  if (hold === undefined || hold === 'response' || hold === 'stream') return hold;
  return fail(`Grip-Hold must be set to either 'response' or 'stream', not ${quote(hold)}`);
}

/** `name; prev-id=ID; filter=NAME; filter=NAME` */
function channelOf(element: string): HoldChannel {
  const channel = readParameterized(element);
  if (channel === undefined || channel.value === '') fail(`failed to parse Grip-Channel: ${quote(element)}`);
  const { value: name, parameters } = channel;
  const filters = parameters.filter(([key]) => key.toLowerCase() === 'filter').map(([, filter]) => filter);
  const problem = filterProblem(name, filters);
  if (problem !== undefined) fail(problem);
  return { name, prevId: parameter(parameters, 'prev-id'), filters };
}

/** `name="value"` */
function metaOf(element: string): readonly [name: string, value: string] {
  return readParameters(element)?.[0] ?? fail(`failed to parse Grip-Set-Meta: ${quote(element)}`);
}

/** `<URL>; rel=next; timeout=SECONDS` and `<URL>; rel=gone`; others are somebody else’s. */
function linksOf(headers: HeaderList): Pick<Said, 'next' | 'goneUrl'> {
  let next: Said['next'];
  let goneUrl: string | undefined;
  for (const element of elements(headers, 'Grip-Link')) {
    const [, url, rest] =
      /^<([^\s<>]+)>\s*(?:;(.*))?$/.exec(element) ??
      fail(`failed to parse Grip-Link value: ${quote(element)}`);
    const parameters =
      readParameters(rest ?? '') ?? fail(`failed to parse Grip-Link value: ${quote(element)}`);
    const rel = parameter(parameters, 'rel');
    if (rel === 'gone') goneUrl = url;
    if (rel !== 'next') continue;
    const timeoutMs = readSeconds('Grip-Link timeout value', parameter(parameters, 'timeout'));
    next = { url: url!, timeoutMs: timeoutMs ?? NEXT_TIMEOUT_MS };
  }
  return { next, goneUrl };
}

/** `Grip-Status: 304 Not Modified`, for servers that cannot say it themselves with headers of their own. */
function statusOf({ status, reason, headers }: BackendResponse): {
  readonly status: number;
  readonly reason: string;
} {
  const said = headers.get('grip-status');
  if (said === undefined) return { status, reason };
  const [, code, phrase] =
    /^([2-5]\d\d)(?:\s+(.*))?$/.exec(said) ??
    fail(`Grip-Status contains invalid status code: ${quote(said)}, expected 200 to 599`);
  return { status: Number(code), reason: phrase ?? '' };
}

function elements(headers: HeaderList, name: string): string[] {
  const values = headers.all(name);
  return splitElements(values) ?? fail(`failed to parse ${name}: a quote without its end`);
}
