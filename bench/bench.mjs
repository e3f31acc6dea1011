/**
 * `npm run bench`: Tidegate and its rivals side by side. Each proxy is alone on one core, the load is on another; they
 * take turns (A B C A B C …) for some rounds, and every message of every run is checked. docs/performance.md tells
 * what the figures mean; --help lists the options.
 */

import '../scripts/lib/node-version.mjs';
import { ensureBuilt, ensureInstalled } from '../scripts/lib/fresh.mjs';
import { gatewayCases } from './claims/gateway.mjs';
import { handshakeCases } from './claims/handshake.mjs';
import { idleCases } from './claims/idle.mjs';
import { tunnelCases } from './claims/tunnel.mjs';
import { buildLoad } from './lib/build-load.mjs';
import { descriptorLimit } from './lib/child.mjs';
import { findGateways } from './lib/gateways.mjs';
import { judgeGoals } from './lib/goals.mjs';
import { chooseCores, describeMachine } from './lib/machine.mjs';
import { overTls } from './lib/over-tls.mjs';
import { readOptions, usage, UsageError } from './lib/options.mjs';
import { Rounds } from './lib/rounds.mjs';
import { save } from './lib/save.mjs';
import { findSubjects } from './lib/subjects.mjs';
import { summarize } from './lib/summary.mjs';
import { renderTerminal } from './lib/tables.mjs';

try {
  process.exitCode = await main(readOptions(process.argv.slice(2)));
} catch (error) {
  console.error(
    `bench: ${error instanceof UsageError ? `${error.message}; --help lists the options` : error.stack}`,
  );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

async function main(options) {
  if (options.help) {
    console.log(usage);
    return 0;
  }
  if (!(await ensureInstalled()) || !(await ensureBuilt())) return 1;
  const built = buildLoadOrSay();
  if (built === undefined) return 1;
  const { load, withoutTls } = built;

  const cores = chooseCores(options.cores);
  const descriptors = descriptorLimit(load);
  // Two for each tunnel, and some that every program needs for itself.
  const tunnels = Math.min(options.idle, Math.floor((descriptors - 500) / 2));
  // One for each session, in the gateway as in the client.
  const sessions = Math.min(options.idle, descriptors - 500);
  const all = { ...options, tunnels, sessions };
  const cases = withoutTls ? casesOf(all) : [...casesOf(all), ...overTls(casesOf, all)];
  const { subjects, missing } = await subjectsOf(cases, options, descriptors);
  if (withoutTls && options.wssModes.size > 0) missing.push(`wss: ${withoutTls}`);
  if (cases.length === 0 && missing.length > 0)
    throw new UsageError(`nothing to measure; ${missing.join('; ')}`);
  if (cases.length === 0) throw new UsageError('no case fits --only, --connections and --sizes together');
  if (subjects.length === 0) throw new UsageError(`nothing to measure; ${missing.join('; ')}`);

  for (const line of missing) console.error(`not here: ${line}`);
  if (tunnels < options.idle && options.modes.has('idle'))
    console.error(`idle: ${tunnels} tunnels instead of ${options.idle}, for no more descriptors are allowed`);
  if (sessions < options.idle && options.modes.has('sessions'))
    console.error(`sessions: ${sessions} instead of ${options.idle}, for no more descriptors are allowed`);
  const rounds = new Rounds({ load, cores, subjects, cases, options });
  console.error(rounds.plan);
  const runs = await rounds.run((line) => console.error(line));

  const result = {
    date: new Date().toISOString().slice(0, 10),
    machine: { ...describeMachine(), pinned: cores },
    settings: { rounds: options.repeat, seconds: options.seconds, messages: options.messages },
    missing,
    ...summarize({ cases, subjects, runs }),
  };
  result.goals = judgeGoals(result);
  console.log(renderTerminal(result));
  await save(result, options.save);
  return ourFailures(result).length === 0 ? 0 : 1;
}

/** Tunnels and gateways have proxies of their own; those that no case needs are not looked for. */
async function subjectsOf(cases, options, descriptors) {
  const nobody = { subjects: [], missing: [] };
  const tunnels = cases.filter(({ serves }) => serves !== 'gateway');
  const hasPlain = tunnels.some(({ secure }) => !secure);
  const found = tunnels.length > 0 ? await findSubjects(options, descriptors) : nobody;
  const gateways = tunnels.length < cases.length ? findGateways(options, descriptors) : nobody;
  return {
    subjects: [...found.subjects.filter(({ takesTls }) => takesTls || hasPlain), ...gateways.subjects],
    missing: [...found.missing, ...gateways.missing],
  };
}

function casesOf(options) {
  return [
    ...tunnelCases(options),
    ...handshakeCases(options),
    ...idleCases(options),
    ...gatewayCases(options),
  ];
}

function buildLoadOrSay() {
  try {
    return buildLoad();
  } catch (error) {
    console.error(`bench: ${error.message}`);
    return undefined;
  }
}

/** A rival that fails is news; when Tidegate or the load itself fails, the benchmark has failed. */
function ourFailures({ cases }) {
  return cases.flatMap(({ rows }) =>
    rows.filter(({ subject, failure }) => failure && /^(direct|tidegate-)/.test(subject)),
  );
}
