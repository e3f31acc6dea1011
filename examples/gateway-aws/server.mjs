// What Lambda is on Amazon: calls the function of each event, and answers with what it returned. node server.mjs
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { handlers } from './handlers.mjs';

const { PORT = 3000 } = process.env;
// What the SDK of AWS wants to know: where Tidegate is, and keys to sign with, which it may check (`publish.auth.aws`).
process.env.CONNECTIONS_URL ??= 'http://127.0.0.1:5561';
process.env.AWS_REGION ??= 'local';
process.env.AWS_ACCESS_KEY_ID ??= 'local';
process.env.AWS_SECRET_ACCESS_KEY ??= 'local';

createServer(async (req, res) => {
  let answer;
  try {
    const event = await json(req);
    answer = await handlers[event.requestContext.routeKey](event);
  } catch (error) {
    console.error(error);
    answer = { errorType: error.name, errorMessage: error.message };
  }
  res.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
}).listen(PORT, '127.0.0.1', () => console.log(`a chat on http://127.0.0.1:${PORT}`));
