/** The result as tables: for a terminal, and for docs/performance.md. */

import { number, spreadLabel } from './format.mjs';

const claimTitles = {
  tunnel: 'Messages',
  handshake: 'Handshakes',
  idle: 'Idle tunnels',
  gateway: 'Gateway',
  'gateway-idle': 'Idle sessions of the gateway',
};
const sections = [false, true].flatMap((secure) =>
  Object.entries(claimTitles).map(([claim, title]) => ({
    claim,
    secure,
    title: secure ? `${title} over TLS` : title,
  })),
);

export function renderTerminal(result) {
  const blocks = result.cases.map((aCase) => {
    const { head, rows, notes } = tableOf(aCase, result);
    return [aCase.title, ...aligned([head, ...rows]), ...notes].join('\n  ');
  });
  return ['', ...blocks, ...remarks(result), ...goalLines(result)].join('\n\n');
}

/** What stands between the markers of docs/performance.md. */
export function renderMarkdown(result) {
  const { machine, date, settings, subjects } = result;
  const versions = subjects
    .filter(({ version }) => version !== '')
    .map(({ name, version }) => `${name} ${version}`);
  const length = settings.messages === undefined ? `${settings.seconds} s` : `${settings.messages} messages`;
  const parts = [
    `Measured on ${date}: ${machine.cpu}, ${machine.cores} cores, Linux ${machine.kernel}, Node.js ${machine.node}; ${versions.join(', ')}. Rounds: ${settings.rounds}, each of ${length} per case and proxy.`,
    ...remarks(result),
  ];
  const overview = overviewOf(result);
  if (overview !== undefined) parts.push('### CPU time at a glance', overview);
  for (const { claim, secure, title } of sections) {
    const cases = result.cases.filter((aCase) => aCase.claim === claim && (aCase.secure ?? false) === secure);
    if (cases.length > 0) parts.push(`### ${title}`);
    for (const aCase of cases) {
      const { head, rows, notes } = tableOf(aCase, result);
      parts.push(`**${aCase.title}**`, markdown([head, ...rows]), ...notes.map((note) => `- ${note}`));
    }
  }
  return parts.join('\n\n');
}

/** One line per case, one column per proxy: the median cost, and its ratio to the base. */
function overviewOf({ cases, subjects, base }) {
  const shown = cases.filter(({ claim }) => claim === 'tunnel' || claim === 'handshake');
  const takesPart = (id) => shown.some(({ rows }) => rows.some(({ subject }) => subject === id));
  const proxies = subjects.filter(({ id }) => id !== 'direct' && takesPart(id));
  const lines = shown.map(({ title, rows, unit }) => {
    const costs = proxies.map(({ id }) => {
      const row = rows.find(({ subject }) => subject === id);
      if (row?.figures === undefined) return row?.failure ? 'failed' : '–';
      const ratio = row.ratio && id !== base ? ` (×${number(row.ratio.median)})` : '';
      return `${number(row.figures.cpuUs.median)}${ratio}`;
    });
    return [`${title} (µs per ${unit})`].concat(costs);
  });
  return lines.length === 0 ? undefined : markdown([['', ...proxies.map(({ name }) => name)], ...lines]);
}

function tableOf(aCase, result) {
  const columns = aCase.claim.endsWith('idle') ? idleColumns(aCase) : loadedColumns(aCase);
  const nameOf = new Map(result.subjects.map(({ id, name }) => [id, name]));
  const notes = [];
  const rows = aCase.rows.map((row) => {
    const plainName = nameOf.get(row.subject);
    const name = aCase.secure && row.subject === 'direct' ? `${plainName}, no TLS` : plainName;
    if (row.failure !== undefined) {
      notes.push(`${name} FAILED: ${row.failure}`);
      return [name, ...columns.map(() => 'failed')];
    }
    return [name, ...columns.map(({ cell }) => cell(row))];
  });
  return { head: ['', ...columns.map(({ title }) => title)], rows, notes };
}

function loadedColumns({ unit, size, claim, rows, base }) {
  // Nobody is there to compare with.
  const isGateway = claim === 'gateway';
  const hasLatency = rows.some(({ figures }) => figures?.p50Us !== undefined);
  const columns = [
    { title: `CPU µs per ${unit}`, cell: ({ figures }) => spreadLabel(figures.cpuUs) },
    base && { title: `to ${base}`, cell: ({ ratio }) => spreadLabel(ratio) },
    {
      title: `${pluralOf(unit)}/s`,
      cell: ({ figures, isLoadBound }) => (isLoadBound ? '≥ ' : '') + spreadLabel(figures.perSecond),
    },
    claim === 'tunnel' &&
      size >= 1024 && {
        title: 'MB/s',
        cell: ({ figures }) => spreadLabel(figures.bytesPerSecond, (value) => number(value / 1e6)),
      },
    isGateway && { title: 'p50, µs', cell: ({ figures }) => spreadLabel(figures.p50Us) },
    isGateway && { title: 'p99, µs', cell: ({ figures }) => spreadLabel(figures.p99Us) },
    hasLatency &&
      !isGateway && {
        title: 'p50 added, µs',
        cell: (row) => latencyCell(row, row.addedP50Us, row.figures.p50Us),
      },
    hasLatency &&
      !isGateway && {
        title: 'p99 added, µs',
        cell: (row) => latencyCell(row, row.addedP99Us, row.figures.p99Us),
      },
    { title: 'proxy core', cell: ({ figures }) => percent(figures.proxyBusy) },
    { title: 'load core', cell: ({ figures }) => percent(figures.loadBusy) },
  ];
  return columns.filter(Boolean);
}

/** Without a proxy nothing is added: the latency itself. */
const latencyCell = ({ subject }, added, whole) =>
  subject === 'direct' ? `(${spreadLabel(whole)})` : spreadLabel(added);

function idleColumns({ base, unit }) {
  const kib = (value) => number(value / 1024);
  const mib = (value) => number(value / 1024 ** 2);
  const columns = [
    { title: `KiB per ${unit}`, cell: ({ figures }) => spreadLabel(figures.bytesPerTunnel, kib) },
    base && { title: `to ${base}`, cell: ({ ratio }) => spreadLabel(ratio) },
    { title: 'MiB before them', cell: ({ figures }) => spreadLabel(figures.baseBytes, mib) },
    { title: 'CPU ms/s, idle', cell: ({ figures }) => spreadLabel(figures.idleCpuMsPerSecond) },
    { title: 'kernel KiB, all ends', cell: ({ figures }) => spreadLabel(figures.kernelBytesPerTunnel, kib) },
  ];
  return columns.filter(Boolean);
}

const pluralOf = (unit) => (unit.endsWith('y') ? `${unit.slice(0, -1)}ies` : `${unit}s`);

function remarks({ noise, machine, cases }) {
  const lines = [];
  const { note } = machine.pinned;
  if (note !== undefined) lines.push(`Note: ${note}.`);
  if (noise.noisy > 0) {
    lines.push(
      `In ${noise.noisy} of ${noise.runs} runs something else took more than 10 % of the proxy's core: the figures are noisy.`,
    );
  }
  if (cases.some(({ rows }) => rows.some(({ isLoadBound }) => isLoadBound))) {
    lines.push('≥: the load’s core was full and the proxy’s was not; the proxy could do more.');
  }
  return lines;
}

function goalLines({ goals }) {
  if (goals.length === 0) return [];
  const lines = goals.map(({ isMet, title, value, goal }) => [
    isMet ? '✓' : '✗',
    title,
    value,
    `goal ${goal}`,
  ]);
  return [['Goals', ...aligned(lines)].join('\n  ')];
}

function percent(spread) {
  return spread === undefined ? '–' : `${Math.round(spread.median * 100)} %`;
}

function aligned(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines.map((line) =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}

function markdown([head, ...rows]) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
