import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';

const endings = {
  'kept alive': 30,
  'reset in the request': 10,
  'reset in the answer': 10,
  'no answer from upstream': 5,
};

/** A few plain requests on one connection. */
export function httpVisit(port, random) {
  const ending = random.weighted(endings);
  const visits = {
    'kept alive': () => keptAlive(port, random),
    'reset in the request': () => cutRequest(port, random),
    'reset in the answer': () => cutAnswer(port, random),
    'no answer from upstream': () => vanishing(port),
  };
  return { name: `http: ${ending}`, run: visits[ending] };
}

async function keptAlive(port, random) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    for (let left = random.between(1, 5); left > 0; left--) {
      const length = random.between(0, 50_000);
      const body = 'y'.repeat(length);
      const isPost = random.chance(0.5);
      const call = isPost
        ? send(port, { agent, method: 'POST', path: '/echo' }, body)
        : send(port, { agent, path: `/bytes?n=${length}` });
      const response = await call;
      const received = await text(response);
      if (response.statusCode !== 200)
        throw new Error(`the answer was ${response.statusCode}: ${received.slice(0, 200)}`);
      if (received.length !== length) throw new Error(`${received.length} bytes for ${length}`);
      if (isPost && received !== body) throw new Error('a wrong echo');
    }
  } finally {
    agent.destroy();
  }
}

/** Half a body. */
function cutRequest(port, random) {
  const outgoing = request({ port, host: '127.0.0.1', agent: false, method: 'POST', path: '/echo' });
  outgoing.on('response', (response) => response.on('error', () => {}).resume());
  outgoing.setHeader('content-length', 100_000);
  outgoing.write('z'.repeat(random.between(1, 50_000)));
  return new Promise((resolve) => {
    outgoing.on('error', () => {});
    outgoing.on('close', resolve);
    setTimeout(() => outgoing.socket?.resetAndDestroy(), random.between(5, 40));
  });
}

/** A long answer of which only the start is read. */
async function cutAnswer(port) {
  const response = await send(port, { agent: false, path: `/bytes?n=${20 * 1024 * 1024}` });
  response.on('error', () => {});
  await new Promise((resolve) => response.once('data', resolve));
  response.pause();
  const closed = new Promise((resolve) => response.once('close', resolve));
  response.socket.resetAndDestroy();
  await closed;
}

async function vanishing(port) {
  const response = await send(port, { agent: false, path: '/vanish' });
  await text(response);
  if (response.statusCode !== 502) throw new Error(`the answer was ${response.statusCode}, not 502`);
}

function send(port, options, body) {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, host: '127.0.0.1', ...options }, resolve);
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
