import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { closeServer, listenLocally, type Backend } from './backend.js';
import { EventStream } from './sse.js';
import { StaticFiles } from './static-files.js';

/** Larger uploads are refused with 413. */
const MAX_UPLOAD_BYTES = 32 * 1024 * 1024;
const PULSE_INTERVAL_MS = 1000;

/** What the web backend shows of the demo it is part of. */
export interface WebBackendParts {
  /** Folder of the page. */
  readonly root: string;
  /** For `GET /api/info`: what runs where. */
  info(): unknown;
  /** `GET /demo/events`: what the proxy saw. */
  readEvents(stream: EventStream): void;
  /** `GET /demo/hixie?text=…&split=1`: a conversation of 2010. */
  converse(stream: EventStream, query: URLSearchParams): Promise<void>;
}

/** Plain HTTP: the page and its assets, two JSON endpoints, an SSE feed, an upload that comes back. */
export async function startWebBackend(parts: WebBackendParts): Promise<Backend> {
  const files = new StaticFiles(parts.root);
  const streams = new Set<EventStream>();

  const server = createServer((request, response) => {
    response.on('error', () => response.destroy());
    answer(request, response).catch((error: unknown) => fail(response, error));
  });
  const url = await listenLocally(server);

  return {
    name: 'web',
    what: 'this page, JSON, server-sent events, upload',
    paths: ['/*'],
    url,
    async stop() {
      for (const stream of streams) stream.end();
      await closeServer(server);
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://demo.invalid');
    const endpoint = `${request.method} ${pathname}`;
    if (endpoint === 'GET /api/info') return sendJson(response, parts.info());
    if (endpoint === 'GET /api/request') return sendJson(response, describeRequest(request));
    if (endpoint === 'GET /api/pulse') return pulse(openStream(response));
    if (endpoint === 'GET /demo/events') return parts.readEvents(openStream(response));
    if (endpoint === 'GET /demo/hixie') return parts.converse(openStream(response), searchParams);
    if (endpoint === 'POST /api/upload') return echoUpload(request, response);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return sendText(response, 405, `${request.method} is not understood here; try GET`);
    }
    if (!(await files.serve(pathname, request, response))) sendText(response, 404, `nothing at ${pathname}`);
  }

  function openStream(response: ServerResponse): EventStream {
    const stream = new EventStream(response);
    streams.add(stream);
    void stream.closed.then(() => streams.delete(stream));
    return stream;
  }
}

/** The request as it arrived behind the proxy, to be compared with what the browser sent. */
function describeRequest(request: IncomingMessage): unknown {
  const headers: [name: string, value: string][] = [];
  for (let i = 0; i + 1 < request.rawHeaders.length; i += 2) {
    headers.push([request.rawHeaders[i]!, request.rawHeaders[i + 1]!]);
  }
  return { method: request.method, path: request.url, httpVersion: request.httpVersion, headers };
}

/** One event a second, for as long as somebody reads. */
function pulse(stream: EventStream): void {
  const beat = (): void => {
    const { rss } = process.memoryUsage();
    stream.send('beat', {
      time: new Date().toISOString(),
      uptimeMs: Math.round(process.uptime() * 1000),
      rssBytes: rss,
    });
  };
  beat();
  const timer = setInterval(beat, PULSE_INTERVAL_MS);
  void stream.closed.then(() => clearInterval(timer));
}

/**
 * Sends a body back as it came. It is held until it is complete: a browser on HTTP/1.1 reads no answer before it has
 * sent its request, so an echo on the fly would stand still as soon as the buffers on the way are full.
 */
async function echoUpload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= MAX_UPLOAD_BYTES) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (bytes > MAX_UPLOAD_BYTES)
    return sendText(response, 413, `an upload may have ${MAX_UPLOAD_BYTES} bytes here`);
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'content-length': bytes,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  });
  response.end(Buffer.concat(chunks));
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' });
  response.end(JSON.stringify(value));
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) response.destroy();
  else
    sendText(
      response,
      500,
      `the demo backend failed: ${error instanceof Error ? error.message : String(error)}`,
    );
}
