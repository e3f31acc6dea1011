import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';
import { closeServer, listenLocally, type Backend } from './backend.js';

const HISTORY_LINES = 20;
const MAX_NICK_CHARS = 24;
const MAX_TEXT_CHARS = 500;
const MAX_CHAT_MESSAGE_BYTES = 8 * 1024;
const MAX_BINARY_MESSAGE_BYTES = 16 * 1024 * 1024;
/** Who has so much unread is let go, rather than fill the memory. */
const MAX_UNREAD_BYTES = 1024 * 1024;
/** A ping to everybody this often. */
const PING_INTERVAL_MS = 10_000;
/** Who has not answered one for so long is gone. */
const PONG_TIMEOUT_MS = 9000;
/** The first ping waits until a page has loaded, so that it measures the way and not the page. */
const FIRST_PING_AFTER_MS = 1500;

/** What a page may say. */
type Request =
  | { type: 'hello'; nick: string }
  | { type: 'say'; text: string }
  /** Asks the server to close with 4001. */
  | { type: 'close-me' };

interface Line {
  nick: string;
  text: string;
  /** ISO 8601. */
  at: string;
}

interface Person {
  nick: string | undefined;
  /** When the last ping left, until its pong is there. */
  pingedAtMs: number | undefined;
}

/** `/chat`: JSON lines with nicknames and a short history. `/binary`: every binary message comes back as it is. */
export async function startChatBackend(): Promise<Backend> {
  const server = createServer((_, response) => {
    response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket', connection: 'upgrade' });
    response.end('This is a WebSocket.\n');
  });
  const room = new ChatRoom();
  const chat = new WebSocketServer({ noServer: true, maxPayload: MAX_CHAT_MESSAGE_BYTES });
  const binary = new WebSocketServer({ noServer: true, maxPayload: MAX_BINARY_MESSAGE_BYTES });

  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy());
    const path = new URL(request.url ?? '/', 'http://demo.invalid').pathname;
    if (path === '/chat') chat.handleUpgrade(request, socket, head, (client) => room.join(client));
    else binary.handleUpgrade(request, socket, head, echoBinary);
  });
  const url = await listenLocally(server);

  return {
    name: 'chat',
    what: 'a chat on a WebSocket of today (ws)',
    paths: ['/chat', '/binary'],
    url,
    async stop() {
      room.close();
      for (const client of [...chat.clients, ...binary.clients]) client.close(1001, 'the demo is stopping');
      await closeServer(server);
      for (const client of [...chat.clients, ...binary.clients]) client.terminate();
    },
  };
}

function echoBinary(client: WebSocket): void {
  client.on('error', () => client.terminate());
  client.on('message', (data, isBinary) => {
    if (isBinary) client.send(data);
    else client.close(1003, 'binary messages only');
  });
}

class ChatRoom {
  readonly #people = new Map<WebSocket, Person>();
  readonly #history: Line[] = [];
  readonly #pinging = setInterval(() => this.#pingAll(), PING_INTERVAL_MS).unref();

  join(client: WebSocket): void {
    const person: Person = { nick: undefined, pingedAtMs: undefined };
    this.#people.set(client, person);
    client.on('error', () => client.terminate());
    client.on('close', () => {
      this.#people.delete(client);
      this.#tellCount();
    });
    client.on('pong', () => {
      if (person.pingedAtMs === undefined) return;
      send(client, { type: 'pong', roundTripMs: performance.now() - person.pingedAtMs });
      person.pingedAtMs = undefined;
    });
    client.on('message', (data, isBinary) => {
      const request = Buffer.isBuffer(data) && !isBinary ? readRequest(data.toString()) : undefined;
      if (request === undefined) send(client, { type: 'problem', text: 'that was no message of this chat' });
      else this.#handle(client, person, request);
    });
  }

  close(): void {
    clearInterval(this.#pinging);
  }

  #handle(client: WebSocket, person: Person, request: Request): void {
    switch (request.type) {
      case 'hello': {
        const isNew = person.nick === undefined;
        person.nick = undefined;
        person.nick = this.#freeNick(request.nick);
        send(client, { type: 'welcome', nick: person.nick, ...(isNew && { history: this.#history }) });
        if (isNew) {
          this.#tellCount();
          setTimeout(() => ping(client, person), FIRST_PING_AFTER_MS).unref();
        }
        return;
      }
      case 'say': {
        if (person.nick === undefined) return send(client, { type: 'problem', text: 'say hello first' });
        const text = request.text.trim();
        if (text === '') return send(client, { type: 'problem', text: 'the line is empty' });
        if (text.length > MAX_TEXT_CHARS) {
          return send(client, { type: 'problem', text: `a line may have ${MAX_TEXT_CHARS} characters` });
        }
        this.#say({ nick: person.nick, text, at: new Date().toISOString() });
        return;
      }
      case 'close-me':
        client.close(4001, 'as you asked');
    }
  }

  #say(line: Line): void {
    this.#history.push(line);
    if (this.#history.length > HISTORY_LINES) this.#history.shift();
    this.#tellAll({ type: 'line', ...line });
  }

  #tellCount(): void {
    const people = [...this.#people.values()].filter((person) => person.nick !== undefined).length;
    this.#tellAll({ type: 'people', people });
  }

  #tellAll(message: unknown): void {
    for (const [client, person] of this.#people) {
      if (person.nick !== undefined) send(client, message);
    }
  }

  #pingAll(): void {
    for (const [client, person] of this.#people) {
      if (person.pingedAtMs === undefined) ping(client, person);
      else if (performance.now() - person.pingedAtMs >= PONG_TIMEOUT_MS) client.terminate();
    }
  }

  #freeNick(wanted: string): string {
    const base = wanted.replace(/\p{C}/gu, '').trim().slice(0, MAX_NICK_CHARS) || 'guest';
    const taken = new Set([...this.#people.values()].map((person) => person.nick));
    let nick = base;
    for (let n = 2; taken.has(nick); n++) nick = `${base} ${n}`;
    return nick;
  }
}

function ping(client: WebSocket, person: Person): void {
  if (client.readyState !== WebSocket.OPEN || person.pingedAtMs !== undefined) return;
  person.pingedAtMs = performance.now();
  client.ping();
}

function send(client: WebSocket, message: unknown): void {
  if (client.readyState !== WebSocket.OPEN) return;
  client.send(JSON.stringify(message));
  if (client.bufferedAmount > MAX_UNREAD_BYTES) client.terminate();
}

function readRequest(json: string): Request | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('type' in value)) return undefined;
  const { type } = value;
  if (type === 'hello' && 'nick' in value && typeof value.nick === 'string')
    return { type, nick: value.nick };
  if (type === 'say' && 'text' in value && typeof value.text === 'string') return { type, text: value.text };
  return type === 'close-me' ? { type } : undefined;
}
