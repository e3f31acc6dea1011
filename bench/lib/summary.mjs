import { DIRECT } from './rounds.mjs';
import { pairByPair, spread } from './statistics.mjs';

/** Ratios are to this one where it takes part. */
const BASE = 'nginx';
/** Above this the core is as good as full. */
const FULL = 0.9;
/** Other work on the proxy's core that is worth a word. */
const NOISY = 0.1;

/**
 * From runs to the figures that are published: median and range over the rounds, ratios and added latency pair by
 * pair within one round. A subject that failed in any round has no figures in that case.
 */
export function summarize({ cases, subjects, runs }) {
  const base = subjects.some(({ id }) => id === BASE) ? BASE : undefined;
  const loaded = [...runs.values()].flat().flatMap(({ figures }) => figures ?? []);
  const withForeign = loaded.filter(({ foreign }) => foreign !== undefined);
  return {
    subjects: [DIRECT, ...subjects].map(({ id, name, version }) => ({ id, name, version })),
    base,
    noise: {
      runs: withForeign.length,
      noisy: withForeign.filter(({ foreign }) => foreign > NOISY).length,
    },
    cases: cases.map((aCase) => summarizeCase(aCase, [DIRECT, ...subjects], runs, base)),
  };
}

function summarizeCase(aCase, subjects, runs, usual) {
  const { id, claim, title, unit, mode, connections, size, secure } = aCase;
  const { base = usual } = aCase;
  const roundsOf = (subject) => runs.get(`${id} ${subject}`) ?? [];
  const rows = subjects
    .filter((subject) => roundsOf(subject.id).length > 0)
    .map((subject) => {
      const rounds = roundsOf(subject.id);
      const failures = rounds.filter(({ failure }) => failure !== undefined);
      if (failures.length > 0) {
        const count = `${failures.length} of ${rounds.length} runs`;
        return { subject: subject.id, failure: `${failures[0].failure} (${count})` };
      }
      return summarizeRow(subject.id, rounds, roundsOf(DIRECT.id), roundsOf(base), aCase);
    });
  const takesPart = subjects.some((subject) => subject.id === base);
  return {
    id,
    claim,
    title,
    unit,
    mode,
    connections,
    size,
    secure,
    base: takesPart ? base : undefined,
    rows,
  };
}

function summarizeRow(subject, rounds, direct, base, { hasLatency, claim }) {
  const of = (rounds, key) => rounds.map(({ figures }) => figures?.[key]);
  const keys = [...new Set(rounds.flatMap(({ figures }) => Object.keys(figures)))];
  const figures = {};
  for (const key of keys) {
    // Nothing is sent back at a known time in one direction alone.
    if (!hasLatency && /^p\d+Us$/.test(key)) continue;
    figures[key] = rounded(spread(of(rounds, key)));
  }
  const added = (key) =>
    rounded(spread(pairByPair(of(rounds, key), of(direct, key), (ours, theirs) => ours - theirs)));
  const cost = claim.endsWith('idle') ? 'bytesPerTunnel' : 'cpuUs';
  const ratio = spread(pairByPair(of(rounds, cost), of(base, cost), (ours, theirs) => ours / theirs));
  const isLoadBound = figures.loadBusy?.median > FULL && figures.proxyBusy?.median < FULL;
  return {
    subject,
    figures,
    ...(ratio !== undefined && { ratio: rounded(ratio) }),
    ...(hasLatency && rounds !== direct && { addedP50Us: added('p50Us'), addedP99Us: added('p99Us') }),
    ...(isLoadBound && { isLoadBound }),
  };
}

function rounded(spread) {
  if (spread === undefined) return undefined;
  return Object.fromEntries(
    Object.entries(spread).map(([key, value]) => [key, Number(value.toPrecision(4))]),
  );
}
