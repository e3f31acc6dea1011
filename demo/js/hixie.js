import { byId, el, formatDuration, setStatus } from './dom.js';

const status = byId('hixie-status');
const steps = byId('hixie-steps');
const verdictPlace = byId('hixie-verdict');
const runButton = byId('hixie-run');

const titles = {
  'request head': 'Request head',
  'key bytes': '8 key bytes',
  'answer head': 'Answer head',
  challenge: '16 challenge bytes',
  'text frame': 'Text frame',
  'close frame': 'Close frame',
  end: 'End of the connection',
};

export function startHixie() {
  byId('hixie-form').addEventListener('submit', (event) => {
    event.preventDefault();
    run();
  });
}

function run() {
  steps.replaceChildren();
  verdictPlace.replaceChildren();
  runButton.disabled = true;
  setStatus(status, 'busy', 'Running');

  const query = new URLSearchParams({ text: byId('hixie-text').value });
  if (byId('hixie-split').checked) query.set('split', '1');
  const source = new EventSource(`/demo/hixie?${query}`);
  let packet;

  source.addEventListener('step', ({ data }) => {
    const step = JSON.parse(data);
    const key = `${step.from} ${step.packet}`;
    if (packet?.key !== key) packet = openPacket(key, step);
    packet.add(step);
  });
  source.addEventListener('verdict', ({ data }) => {
    source.close();
    runButton.disabled = false;
    showVerdict(JSON.parse(data));
  });
  // EventSource would run it all again by itself; a broken run is reported instead.
  source.addEventListener('error', () => {
    source.close();
    runButton.disabled = false;
    setStatus(status, 'bad', 'The demo did not answer');
  });
}

/** What travelled in one packet stands in one bubble. */
function openPacket(key, { from, atMs }) {
  const list = el('ol', {});
  const summary = el('p', { class: 'packet' });
  const side = from === 'client' ? 'Client' : 'Tidegate';
  steps.append(el('li', { class: `turn ${from}` }, summary, list));
  let bytes = 0;
  let hasChallenge = false;
  return {
    key,
    add(step) {
      const item = showStep(step);
      if (hasChallenge && step.what === 'text frame')
        item.append(aside('the backend’s greeting, in the packet of the answer'));
      hasChallenge ||= step.what === 'challenge';
      list.append(item);
      bytes += step.byteLength;
      const size = bytes === 0 ? '' : `, ${bytes} bytes in one packet`;
      summary.replaceChildren(el('b', {}, side), `${size} · ${formatDuration(atMs)}`);
    },
  };
}

function showStep(step) {
  const item = el('li', {}, el('h4', {}, titles[step.what] ?? step.what));
  if (step.head !== undefined) item.append(headLines(step.head));
  if (step.hex !== undefined) item.append(hexLine(step));
  if (step.text !== undefined) item.append(el('p', { class: 'said' }, step.text));
  if (step.note !== undefined) item.append(aside(step.note));
  return item;
}

function aside(text) {
  return el('p', { class: 'aside' }, text);
}

/** A request or answer head, its keys set off. */
function headLines(head) {
  const pre = el('pre', { class: 'bytes' });
  for (const line of head.trimEnd().split('\r\n')) {
    const colon = line.indexOf(': ');
    if (colon === -1) pre.append(el('b', {}, line), '\n');
    else {
      const name = line.slice(0, colon + 1);
      const value = line.slice(colon + 1);
      pre.append(
        el('span', { class: 'name' }, name),
        /Key\d:/.test(name) ? el('mark', {}, value) : value,
        '\n',
      );
    }
  }
  return pre;
}

/** Bytes in hex; the marks of a frame are paler than what it carries. */
function hexLine({ hex, what }) {
  const pairs = hex.match(/../g) ?? [];
  const pre = el('pre', { class: 'bytes wrap' });
  pairs.forEach((pair, i) => {
    const isMark = what === 'text frame' && (i === 0 || i === pairs.length - 1);
    pre.append(isMark ? el('span', { class: 'name' }, pair) : pair, i === pairs.length - 1 ? '' : ' ');
  });
  return pre;
}

function showVerdict({ ok, checks, problem }) {
  setStatus(status, ok ? 'good' : 'bad', ok ? 'Everything as the draft asks' : 'Not as the draft asks');
  if (problem !== undefined) verdictPlace.append(el('p', { class: 'problem' }, `It broke off: ${problem}.`));
  const list = el('ul', { class: 'checks' });
  for (const check of checks) {
    list.append(
      el(
        'li',
        { class: check.ok ? 'ok' : 'not-ok' },
        el('span', { class: 'sign', 'aria-label': check.ok ? 'right:' : 'wrong:' }, check.ok ? '✓' : '✗'),
        el('b', {}, check.name),
        el('span', {}, check.detail),
      ),
    );
  }
  verdictPlace.append(list);
}
