import { byId, formatBytes, formatDuration, formatTime, setStatus } from './dom.js';
import { Reconnect } from './reconnect.js';

const pulseStatus = byId('pulse-status');
const requestResult = byId('request-result');
const uploadResult = byId('upload-result');

const reconnect = new Reconnect({
  connect: connectPulse,
  onWaiting: (seconds, why) => setStatus(pulseStatus, 'bad', why, `again in ${seconds} s`),
});

export function startHttp() {
  connectPulse();
  byId('request-show').addEventListener('click', () => void showRequest());
  byId('upload-file').addEventListener('change', ({ target }) => {
    const [file] = target.files;
    target.value = '';
    if (file) void upload(file);
  });
}

function connectPulse() {
  setStatus(pulseStatus, 'busy', 'Connecting');
  const source = new EventSource('/api/pulse');
  source.addEventListener('beat', ({ data }) => {
    const { time, uptimeMs, rssBytes } = JSON.parse(data);
    reconnect.succeeded();
    setStatus(pulseStatus, 'good', 'Streaming');
    byId('pulse').textContent =
      `${formatTime(time)} · demo up for ${formatDuration(uptimeMs)} · ${formatBytes(rssBytes)} of memory, proxy and backends together`;
  });
  source.addEventListener('error', () => {
    source.close();
    reconnect.lost('Stream lost');
  });
}

async function showRequest() {
  requestResult.hidden = false;
  try {
    const response = await fetch('/api/request', { cache: 'no-store' });
    if (!response.ok) throw new Error(`${response.status} ${(await response.text()).trim()}`);
    const { method, path, httpVersion, headers } = await response.json();
    const lines = headers.map(([name, value]) => `${name}: ${value}`);
    requestResult.textContent = [`${method} ${path} HTTP/${httpVersion}`, ...lines].join('\n');
  } catch (error) {
    requestResult.textContent = `The request failed: ${error.message}`;
  }
}

async function upload(file) {
  uploadResult.textContent = `Sending ${file.name}, ${formatBytes(file.size)} …`;
  const startedAt = performance.now();
  try {
    const response = await fetch('/api/upload', { method: 'POST', body: file });
    if (!response.ok) throw new Error(`${response.status} ${(await response.text()).trim()}`);
    const [sent, got] = (await Promise.all([file.arrayBuffer(), response.arrayBuffer()])).map(
      (b) => new Uint8Array(b),
    );
    const took = formatDuration(performance.now() - startedAt);
    const same = sent.length === got.length && sent.every((byte, i) => byte === got[i]);
    uploadResult.textContent = same
      ? `${file.name}: ${formatBytes(got.length)} there and back in ${took}, unchanged.`
      : `${file.name} came back changed: ${formatBytes(got.length)} instead of ${formatBytes(sent.length)}.`;
  } catch (error) {
    uploadResult.textContent = `The upload failed: ${error.message}`;
  }
}
