import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { decodeEvents, encodeEvents } from '../../protocol/ws-over-http/events.js';
import { EVENTS_MEDIA_TYPE, type WsEvent } from '../../protocol/ws-over-http/types.js';
import { closeServer, listenLocally, type Backend } from './backend.js';

const CHANNEL = 'room';
const SUBSCRIBE: WsEvent = {
  type: 'TEXT',
  content: Buffer.from(`c:${JSON.stringify({ type: 'subscribe', channel: CHANNEL })}`),
};
const MAX_NAME_CHARS = 24;
const MAX_TEXT_CHARS = 500;

/** What went over HTTP, as a page shows it. */
export interface GatewayExchange {
  /** Who asked whom. */
  readonly from: 'Tidegate' | 'backend';
  readonly method: 'POST';
  readonly path: string;
  /** `Connection-Id` and `Tidegate-Request-Seq`, of what Tidegate asks. */
  readonly connection?: string;
  readonly request?: number;
  /** The body, and that of the answer: events one by one, or JSON. */
  readonly said: readonly string[];
  readonly answered: readonly string[];
}

export interface GatewayBackendParts {
  /** Publishes: the body of a `POST /publish/`. Rejects where that did not work. */
  readonly publish: (body: string) => Promise<void>;
  readonly onExchange: (exchange: GatewayExchange) => void;
}

/** `/gateway`: a chat on plain HTTP. It holds no connection; Tidegate keeps its clients and tells it what they say. */
export async function startGatewayBackend({ publish, onExchange }: GatewayBackendParts): Promise<Backend> {
  const server = createServer((request, response) => {
    response.on('error', () => response.destroy());
    answer().catch(() => response.writeHead(500).end());

    async function answer(): Promise<void> {
      if (request.headers['content-type'] !== EVENTS_MEDIA_TYPE) {
        response
          .writeHead(426, { upgrade: 'websocket', connection: 'upgrade' })
          .end('This is a WebSocket.\n');
        return;
      }
      const { events = [] } = decodeEvents(await buffer(request));
      const path = request.url ?? '/';
      const name = new URL(path, 'http://demo.invalid').searchParams.get('name') ?? '';
      const answers: WsEvent[] = [];
      if (events[0]?.type === 'OPEN') answers.push({ type: 'OPEN' }, SUBSCRIBE);
      onExchange({
        from: 'Tidegate',
        method: 'POST',
        path,
        connection: String(request.headers['connection-id']),
        request: Number(request.headers['tidegate-request-seq']),
        said: events.map(shown),
        answered: answers.map(shown),
      });
      for (const event of events) {
        if (event.type === 'TEXT') await tellAll(name, event.content.toString());
      }
      response.writeHead(200, {
        'content-type': EVENTS_MEDIA_TYPE,
        'sec-websocket-extensions': 'grip',
      });
      response.end(encodeEvents(answers));
    }
  });
  const url = await listenLocally(server);

  return {
    name: 'gateway',
    what: 'a chat on plain HTTP, told of its clients by Tidegate',
    paths: ['/gateway'],
    isGateway: true,
    url,
    stop: () => closeServer(server),
  };

  async function tellAll(name: string, said: string): Promise<void> {
    const line = {
      name: name.slice(0, MAX_NAME_CHARS) || 'guest',
      text: said.slice(0, MAX_TEXT_CHARS),
      at: new Date().toISOString(),
    };
    const item = { channel: CHANNEL, formats: { 'ws-message': { content: JSON.stringify(line) } } };
    const body = JSON.stringify({ items: [item] });
    await publish(body);
    onExchange({ from: 'backend', method: 'POST', path: '/publish/', said: [body], answered: ['Published'] });
  }
}

/** As it stands in a body, without the ends of its lines. */
function shown(event: WsEvent): string {
  const [head = '', ...content] = encodeEvents([event]).toString().trimEnd().split('\r\n');
  if (event.type !== 'CLOSE' || event.content.length < 2) return [head, ...content].join(' ');
  return `${head} ${event.content.readUInt16BE(0)} ${event.content.toString('utf8', 2)}`.trimEnd();
}
