import { byId, formatDuration, setStatus } from './dom.js';

const ANSWER_TIMEOUT_MS = 5000;

const status = byId('socketio-status');
const facts = byId('socketio-facts');
const button = byId('socketio-echo');

let ticks;
let answer = '';

/** `installed`: whether the demo could start its socket.io backend. */
export async function startSocketIo(installed) {
  if (!installed) {
    setStatus(status, 'idle', 'Not installed');
    byId('socketio-about').textContent =
      'socket.io is not installed here. Add it with “npm install socket.io” and start the demo again.';
    byId('socketio-transports').hidden = true;
    button.hidden = true;
    document.querySelector('[data-node="socketio"]').lastElementChild.textContent = 'not installed';
    return;
  }
  let io;
  try {
    ({ io } = await import('/socket.io/socket.io.esm.min.js'));
  } catch {
    setStatus(status, 'bad', 'Its client script did not load; reload the page');
    return;
  }
  talk(io());
}

function talk(socket) {
  let startedAt = performance.now();

  socket.on('connect', () => {
    button.disabled = false;
    const { engine } = socket.io;
    enter(engine.transport.name, `after ${formatDuration(performance.now() - startedAt)}`);
    engine.once('upgrade', (transport) => {
      enter(transport.name, `upgraded after ${formatDuration(performance.now() - startedAt)}`);
    });
  });
  socket.on('disconnect', (reason) => {
    startedAt = performance.now();
    button.disabled = true;
    for (const item of byId('socketio-transports').children) mark(item, '', 'not yet');
    setStatus(status, 'bad', `Disconnected: ${reason}`);
    if (reason === 'io server disconnect') socket.connect();
  });
  socket.on('connect_error', (error) =>
    setStatus(status, 'bad', `No connection: ${error.message}; trying again`),
  );
  socket.on('tick', (count) => {
    ticks = count;
    showFacts();
  });
  button.addEventListener('click', () => ask(socket));
}

function ask(socket) {
  const sentAt = performance.now();
  socket.timeout(ANSWER_TIMEOUT_MS).emit('echo', 'ahoy', (error, text) => {
    const took = formatDuration(performance.now() - sentAt);
    answer = error
      ? `no answer within ${formatDuration(ANSWER_TIMEOUT_MS)}`
      : `answered “${text}” in ${took}`;
    showFacts();
  });
}

function showFacts() {
  facts.textContent = [answer, ticks === undefined ? '' : `tick ${ticks}`].filter(Boolean).join(' · ');
}

/** Moves the picture to that transport. */
function enter(name, detail) {
  setStatus(status, 'good', `Open, by ${name}`);
  for (const item of byId('socketio-transports').children) {
    if (item.dataset.transport === name) mark(item, 'now', detail);
    else if (item.dataset.state === 'now') mark(item, 'past', item.lastElementChild.textContent);
  }
}

function mark(item, state, detail) {
  item.dataset.state = state;
  item.lastElementChild.textContent = detail;
  if (state === 'now') item.setAttribute('aria-current', 'step');
  else item.removeAttribute('aria-current');
}
