import { byId, el, formatBytes, formatDuration, formatTime, setStatus } from './dom.js';
import { Reconnect } from './reconnect.js';

const SHOWN_LINES = 100;
const BINARY_BYTES = 64 * 1024;
const NICK_KEY = 'tidegate-demo-nick';

const lines = byId('chat-lines');
const status = byId('chat-status');
const facts = byId('chat-facts');
const nickInput = byId('chat-nick');
const textInput = byId('chat-text');

let socket;
let nick = rememberedNick();
let people = 0;
let roundTripMs;
/** Time of the last line seen, by the server's clock. */
let lastLineAt;

const reconnect = new Reconnect({
  connect,
  onWaiting: (seconds, why) => setStatus(status, 'bad', why, `again in ${seconds} s`),
});

export function startChat() {
  nickInput.value = nick;
  byId('chat-form').addEventListener('submit', (event) => {
    event.preventDefault();
    say();
  });
  nickInput.addEventListener('change', () => {
    nick = nickInput.value.trim() || nick;
    hello();
  });
  byId('chat-binary').addEventListener('click', echoBinary);
  byId('chat-close').addEventListener('click', () => {
    if (!send({ type: 'close-me' })) note('Not connected: there is nothing to close.', 'bad');
  });
  connect();
}

function connect() {
  setStatus(status, 'busy', 'Connecting');
  const opening = new WebSocket(address('/chat'));
  let opened = false;
  socket = opening;
  opening.addEventListener('open', () => {
    opened = true;
    reconnect.succeeded();
    setStatus(status, 'good', 'Open');
    hello();
  });
  opening.addEventListener('message', (event) => hear(JSON.parse(event.data)));
  opening.addEventListener('close', ({ code, reason }) => {
    const why = opened ? `Closed with ${code}${reason ? `, “${reason}”` : ''}` : 'No connection';
    if (opened) note(`${why}.`, code === 4001 ? 'plain' : 'bad');
    facts.textContent = '';
    reconnect.lost(why);
  });
}

function hear(message) {
  switch (message.type) {
    case 'welcome':
      nick = message.nick;
      nickInput.value = nick;
      remember(nick);
      if (message.history) showHistory(message.history);
      break;
    case 'line':
      lines.querySelector('.first')?.remove();
      show(line(message));
      break;
    case 'people':
      people = message.people;
      break;
    case 'pong':
      roundTripMs = message.roundTripMs;
      break;
    case 'problem':
      note(`The chat says: ${message.text}.`, 'bad');
      break;
  }
  showFacts();
}

function say() {
  const text = textInput.value.trim();
  if (text === '') return;
  if (send({ type: 'say', text })) textInput.value = '';
  else note('Not connected: the line was not sent.', 'bad');
}

function hello() {
  send({ type: 'hello', nick });
}

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

/** A second WebSocket, on /binary: random bytes there and back, compared. */
function echoBinary() {
  const sent = crypto.getRandomValues(new Uint8Array(BINARY_BYTES));
  const echo = new WebSocket(address('/binary'));
  echo.binaryType = 'arraybuffer';
  let answered = false;
  let startedAt;
  echo.addEventListener('open', () => {
    startedAt = performance.now();
    echo.send(sent);
  });
  echo.addEventListener('message', ({ data }) => {
    answered = true;
    const took = formatDuration(performance.now() - startedAt);
    const got = new Uint8Array(data);
    const same = got.length === sent.length && got.every((byte, i) => byte === sent[i]);
    if (same) note(`${formatBytes(got.length)} went to /binary and came back unchanged in ${took}.`);
    else note(`/binary sent back ${formatBytes(got.length)} that are not what was sent.`, 'bad');
    echo.close(1000, 'thank you');
  });
  echo.addEventListener('close', ({ code }) => {
    if (!answered) note(`/binary closed with ${code} before it had answered.`, 'bad');
  });
}

/** What was said before this page came, or while it was away. */
function showHistory(history) {
  const isReturn = lines.childElementCount > 0;
  const missed = history.filter(({ at }) => lastLineAt === undefined || at > lastLineAt);
  for (const each of missed) show(line(each));
  if (isReturn) note('Back again.');
  else if (missed.length === 0) show(el('li', { class: 'line note first' }, 'Nobody has said anything yet.'));
}

function line({ nick: speaker, text, at }) {
  lastLineAt = at;
  return el(
    'li',
    { class: speaker === nick ? 'line mine' : 'line' },
    el('b', {}, speaker),
    el('span', { class: 'said' }, text),
    el('time', { datetime: at }, formatTime(at).slice(0, 5)),
  );
}

function note(text, tone = 'plain') {
  show(el('li', { class: `line note ${tone}` }, text));
}

function show(item) {
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
  lines.append(item);
  while (lines.childElementCount > SHOWN_LINES) lines.firstElementChild.remove();
  if (atEnd) lines.scrollTop = lines.scrollHeight;
}

function showFacts() {
  const parts = [people === 1 ? 'only you here' : `${people} people here`];
  if (roundTripMs !== undefined) parts.push(`ping ${formatDuration(roundTripMs)}`);
  facts.textContent = parts.join(' · ');
}

function address(path) {
  return `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`;
}

function rememberedNick() {
  const fallback = `guest ${100 + Math.floor(Math.random() * 900)}`;
  try {
    return localStorage.getItem(NICK_KEY) ?? fallback;
  } catch {
    return fallback;
  }
}

function remember(name) {
  try {
    localStorage.setItem(NICK_KEY, name);
  } catch {
    // A browser that keeps nothing asks for the name again next time.
  }
}
