import { startChat } from './chat.js';
import { byId, el } from './dom.js';
import { startGateway } from './gateway.js';
import { startHixie } from './hixie.js';
import { startHttp } from './http.js';
import { showOver } from './over.js';
import { startSaw } from './saw.js';
import { startSocketIo } from './socketio.js';

startSaw();
startChat();
startGateway();
startHixie();
startHttp();
await startWithInfo();

/** What depends on which backends there are. */
async function startWithInfo() {
  // A narrow picture may break the address before its port, nowhere else.
  byId('proxy-address').replaceChildren(location.hostname, el('wbr'), location.port && `:${location.port}`);
  let info;
  try {
    const response = await fetch('/api/info', { cache: 'no-store' });
    if (!response.ok) throw new Error(`status ${response.status}`);
    info = await response.json();
  } catch (error) {
    byId('about-demo').textContent =
      `The demo does not say what runs where (${error.message}); reload the page.`;
    return;
  }
  showOver(info.ports);
  const places = info.backends.map(({ what, url }) => `${what} on ${new URL(url).host}`);
  byId('about-demo').textContent = `Behind ${location.host}: ${places.join('; ')}.`;
  await startSocketIo(info.backends.some(({ name }) => name === 'socketio'));
}
