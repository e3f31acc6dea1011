/**
 * Draws the chart of the README from a result: `node bench/chart.mjs docs/performance.json docs/images/performance.svg`.
 * Bars are medians, the thin lines on them reach from the best round to the worst.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { number } from './lib/format.mjs';

const panels = [
  { id: /^echo-64-64$/, title: 'CPU per echoed 64 B message', note: '64 connections, µs', read: cpu },
  { id: /^echo-64-65536$/, title: 'CPU per echoed 64 KiB message', note: '64 connections, µs', read: cpu },
  { id: /^down-500-1024$/, title: 'CPU per 1 KiB message, fan-out', note: '500 connections, µs', read: cpu },
  { id: /^handshake-/, title: 'CPU per handshake', note: 'connect to close, µs', read: cpu },
  { id: /^idle-/, title: 'Memory per idle tunnel', note: 'user space, KiB', read: memory },
  { id: /^echo-1-64$/, title: 'Added latency, median', note: '1 connection, 64 B, µs', read: latency },
];

const WIDTH = 880;
const MARGIN = 24;
const GAP = 36;
const PANEL_WIDTH = (WIDTH - 2 * MARGIN - GAP) / 2;
const NAME_WIDTH = 128;
const VALUE_WIDTH = 56;
const BAR_WIDTH = PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH;
const ROW_HEIGHT = 22;
const BAR_HEIGHT = 13;
const PANEL_HEAD = 46;
const TOP = 76;

const style = `
    text { font: 12px ui-sans-serif, system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2937; }
    .title { font-size: 17px; font-weight: 600; }
    .panel { font-size: 13px; font-weight: 600; }
    .quiet { fill: #64748b; }
    .ours { font-weight: 600; }
    .card { fill: #ffffff; stroke: #d8dee6; }
    .bar { fill: #a8b3c2; }
    .bar.native { fill: #0f766e; }
    .bar.stream { fill: #5bb0a8; }
    .range { stroke: #1f2937; stroke-opacity: 0.55; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e2e8f0; }
      .quiet { fill: #94a3b8; }
      .card { fill: #10161f; stroke: #2b3645; }
      .bar { fill: #56637a; }
      .bar.native { fill: #2dd4bf; }
      .bar.stream { fill: #1c8f84; }
      .range { stroke: #e2e8f0; }
    }`;

/** @returns the chart as SVG text; panels whose case was not measured are left out */
export function drawChart(result) {
  const drawn = panels.flatMap((panel) => {
    const aCase = result.cases.find(({ id }) => panel.id.test(id));
    return aCase === undefined ? [] : [{ ...panel, rows: rowsOf(aCase, panel, result) }];
  });
  const rowCount = Math.max(1, ...drawn.map(({ rows }) => rows.length));
  const panelHeight = PANEL_HEAD + rowCount * ROW_HEIGHT + 18;
  const height = TOP + Math.ceil(drawn.length / 2) * panelHeight + 6;
  const body = drawn.map((panel, i) => {
    const x = MARGIN + (i % 2) * (PANEL_WIDTH + GAP);
    const y = TOP + Math.floor(i / 2) * panelHeight;
    return `<g transform="translate(${x} ${y})">${drawPanel(panel)}</g>`;
  });
  const { machine, date } = result;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title description">
  <title id="title">What Tidegate and other proxies cost</title>
  <desc id="description">${escape(describe(drawn))}</desc>
  <style>${style}
  </style>
  <rect class="card" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="10"/>
  <text class="title" x="${MARGIN}" y="36">What a proxy costs — shorter is better</text>
  <text class="quiet" x="${MARGIN}" y="56">${escape(`One core each, side by side; ${machine.cpu}, Linux ${machine.kernel}, Node.js ${machine.node}, ${date}`)}</text>
  ${body.join('\n  ')}
</svg>
`;
}

function rowsOf({ rows }, { read }, { subjects }) {
  return subjects
    .filter(({ id }) => id !== 'direct')
    .flatMap(({ id, name }) => {
      const row = rows.find(({ subject }) => subject === id);
      if (row === undefined) return [];
      return [{ id, name, spread: row.failure === undefined ? read(row) : undefined }];
    });
}

function drawPanel({ title, note, rows }) {
  // One disturbed round must not make all bars short: a range that leaves the panel is cut.
  const longest = Math.max(...rows.map(({ spread }) => (spread?.median ?? 0) * 1.15)) || 1;
  const scale = (value) => (Math.min(1, Math.max(0, value) / longest) * BAR_WIDTH).toFixed(1);
  const lines = rows.map(({ id, name, spread }, i) => {
    const middle = PANEL_HEAD + i * ROW_HEIGHT;
    const isOurs = id.startsWith('tidegate-');
    const label = `<text${isOurs ? ' class="ours"' : ''} x="0" y="${middle + 4}">${escape(name)}</text>`;
    const at = (value) => (NAME_WIDTH + Number(scale(value))).toFixed(1);
    if (spread === undefined) {
      return `${label}<text class="quiet" x="${NAME_WIDTH}" y="${middle + 4}">failed</text>`;
    }
    const kind = isOurs ? ` ${id.slice('tidegate-'.length)}` : '';
    return [
      label,
      `<rect class="bar${kind}" x="${NAME_WIDTH}" y="${middle - BAR_HEIGHT / 2}" width="${scale(spread.median)}" height="${BAR_HEIGHT}" rx="2"/>`,
      `<line class="range" x1="${at(spread.min)}" x2="${at(spread.max)}" y1="${middle}" y2="${middle}"/>`,
      `<text x="${(Number(at(spread.max)) + 6).toFixed(1)}" y="${middle + 4}">${number(spread.median)}</text>`,
    ].join('');
  });
  return [
    `<text class="panel" x="0" y="12">${escape(title)}</text>`,
    `<text class="quiet" x="0" y="28">${escape(note)}</text>`,
    ...lines,
  ].join('\n    ');
}

function cpu({ figures }) {
  return figures.cpuUs;
}

function latency({ addedP50Us }) {
  return addedP50Us;
}

function memory({ figures: { bytesPerTunnel } }) {
  const { median, min, max } = bytesPerTunnel;
  return { median: median / 1024, min: min / 1024, max: max / 1024 };
}

/** For those who do not see it. */
function describe(panels) {
  return panels
    .map(({ title, note, rows }) => {
      const values = rows.map(({ name, spread }) => `${name} ${spread ? number(spread.median) : 'failed'}`);
      return `${title} (${note}): ${values.join('; ')}.`;
    })
    .join(' ');
}

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [from, to] = process.argv.slice(2);
  if (to === undefined) {
    console.error('usage: node bench/chart.mjs RESULT.json CHART.svg');
    process.exitCode = 2;
  } else {
    writeFileSync(to, drawChart(JSON.parse(readFileSync(from, 'utf8'))));
  }
}
