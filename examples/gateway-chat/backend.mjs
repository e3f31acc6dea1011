// A chat that holds no connection: node backend.mjs
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';

const { PORT = 3000, PUBLISH_URL = 'http://127.0.0.1:5561/publish/' } = process.env;
const EVENTS = 'application/websocket-events';

createServer(async (req, res) => {
  if (req.headers['content-type'] !== EVENTS) return res.writeHead(426).end('This is a WebSocket.\n');
  const name = new URL(req.url, 'http://chat').searchParams.get('name') ?? 'guest';
  let answer = '';
  try {
    for (const { type, content } of readEvents(await buffer(req))) {
      if (type === 'OPEN') answer += 'OPEN\r\n' + textEvent('c:{"type":"subscribe","channel":"room"}');
      if (type === 'TEXT') await publish('room', `${name}: ${content}`);
    }
    res.setHeader('Content-Type', EVENTS).setHeader('Sec-WebSocket-Extensions', 'grip').end(answer);
  } catch (error) {
    res.writeHead(500).end(`${error}\n`);
  }
}).listen(PORT, '127.0.0.1', () => console.log(`a chat on http://127.0.0.1:${PORT}`));

const textEvent = (text) => `TEXT ${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

function* readEvents(body) {
  for (let at = 0, end; at < body.length; at = end + 2) {
    end = body.indexOf('\r\n', at);
    const [type, length] = body.toString('latin1', at, end).split(' ');
    const start = end + 2;
    if (length !== undefined) end = start + parseInt(length, 16);
    yield { type, content: length === undefined ? '' : body.toString('utf8', start, end) };
  }
}

async function publish(channel, content) {
  const items = [{ channel, formats: { 'ws-message': { content } } }];
  const { ok, status } = await fetch(PUBLISH_URL, { method: 'POST', body: JSON.stringify({ items }) });
  if (!ok) throw new Error(`publishing answered ${status}`);
}
