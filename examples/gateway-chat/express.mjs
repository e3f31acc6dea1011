// The same chat with Express and serve-grip: npm install express @fanoutio/grip @fanoutio/serve-grip, node express.mjs
import { WebSocketMessageFormat } from '@fanoutio/grip';
import { ServeGrip } from '@fanoutio/serve-grip';
import express from 'express';

const { PORT = 3000, GRIP_URL = 'http://127.0.0.1:5561/' } = process.env;
const app = express();
const grip = new ServeGrip({ grip: GRIP_URL });
app.use(grip);

// oxlint-disable-next-line oxc/no-async-endpoint-handlers -- Express 5 takes their rejections
app.post('/chat', async (req, res) => {
  const { wsContext: client } = req.grip;
  if (client === null) return res.status(426).send('This is a WebSocket.\n');
  if (client.isOpening()) {
    client.accept();
    client.subscribe('room');
  }
  while (client.canRecv()) {
    const message = receive(client);
    if (message === null) {
      client.close();
      break;
    }
    const name = req.query.name ?? 'guest';
    await grip.getPublisher().publishFormats('room', new WebSocketMessageFormat(`${name}: ${message}`));
  }
  res.end();
});

/** Null: the client has closed, or is gone. */
function receive(client) {
  try {
    return client.recv();
  } catch {
    return null;
  }
}

app.listen(PORT, '127.0.0.1', () => console.log(`a chat on http://127.0.0.1:${PORT}`));
