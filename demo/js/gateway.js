import { byId, el, formatTime, setStatus } from './dom.js';
import { Reconnect } from './reconnect.js';

const SHOWN_LINES = 100;
const SHOWN_EXCHANGES = 20;

const lines = byId('gateway-lines');
const status = byId('gateway-status');
const textInput = byId('gateway-text');
const exchanges = byId('exchanges');

let socket;
/** The name in the other chat, as it was when this one was opened. */
let name;

const reconnect = new Reconnect({
  connect,
  onWaiting: (seconds, why) => setStatus(status, 'bad', why, `again in ${seconds} s`),
});

export function startGateway() {
  byId('gateway-form').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = textInput.value.trim();
    if (text === '') return;
    if (socket.readyState !== WebSocket.OPEN) return note('Not connected: the line was not sent.', 'bad');
    socket.send(text);
    textInput.value = '';
  });
  note('Nobody has said anything since this page came.');
  connect();
}

function connect() {
  setStatus(status, 'busy', 'Connecting');
  name = byId('chat-nick').value;
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
  socket = new WebSocket(`${scheme}://${location.host}/gateway?name=${encodeURIComponent(name)}`);
  let opened = false;
  socket.addEventListener('open', () => {
    opened = true;
    reconnect.succeeded();
    setStatus(status, 'good', 'Open');
  });
  socket.addEventListener('message', ({ data }) => showLine(data));
  socket.addEventListener('close', ({ code }) => {
    reconnect.lost(opened ? `Closed with ${code}` : 'No connection');
  });
}

/** Of the demo's backend, or whatever else somebody has published. */
function showLine(data) {
  lines.querySelector('.note')?.remove();
  let line;
  try {
    line = JSON.parse(data);
  } catch {
    line = undefined;
  }
  const isOurs = typeof line?.name === 'string' && typeof line.text === 'string';
  const { name: speaker, text, at } = isOurs ? line : { name: 'published', text: String(data) };
  show(
    lines,
    SHOWN_LINES,
    el(
      'li',
      { class: speaker === name ? 'line mine' : 'line' },
      el('b', {}, speaker),
      el('span', { class: 'said' }, text),
      el('time', { datetime: at }, at === undefined ? '' : formatTime(at).slice(0, 5)),
    ),
  );
}

export function showExchanges(all) {
  exchanges.replaceChildren();
  for (const exchange of all) showExchange(exchange);
}

/** A request and its answer: Tidegate's on the left, the backend's on the right. */
export function showExchange({ from, method, path, connection, request, said, answered }) {
  const about = request === undefined ? '' : ` · request ${request} of ${connection.slice(-6)}`;
  show(
    exchanges,
    SHOWN_EXCHANGES,
    el(
      'li',
      { class: from === 'Tidegate' ? 'turn client exchange' : 'turn server exchange' },
      el('p', { class: 'packet' }, el('b', {}, from), about),
      el(
        'ol',
        {},
        el(
          'li',
          {},
          el('pre', { class: 'bytes' }, el('b', {}, `${method} ${path}`), `\n${said.join('\n')}`),
          el(
            'pre',
            { class: 'bytes answer' },
            answered.length === 0 ? '200, nothing to say' : answered.join('\n'),
          ),
        ),
      ),
    ),
  );
}

function note(text, tone = 'plain') {
  show(lines, SHOWN_LINES, el('li', { class: `line note ${tone}` }, text));
}

function show(list, max, item) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.append(item);
  while (list.childElementCount > max) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}
