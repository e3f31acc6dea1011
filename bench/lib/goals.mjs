/** What Tidegate is meant to reach, read off a result that has it and its rivals side by side. */

import { number } from './format.mjs';

const OURS = 'tidegate-native';
const OUR_GATEWAY = 'tidegate-gateway';
const KIB = 1024;

const goals = [
  ...['echo-64-64', 'echo-500-64', 'echo-64-1024', 'echo-500-1024'].map((id) => ratioGoal(id, 0.85)),
  ratioGoal('echo-64-65536', 0.4),
  {
    id: 'echo-64-65536',
    what: 'CPU, to haproxy',
    goal: '< 1',
    read: (ours, rows) => ours.figures.cpuUs.median / rows.get('haproxy')?.figures?.cpuUs.median,
    isMet: (value) => value < 1,
  },
  {
    id: /^idle-/,
    what: 'user memory, KiB per tunnel',
    goal: '≤ 4',
    read: (ours) => ours.figures.bytesPerTunnel.median / KIB,
    isMet: (value) => value <= 4,
  },
  {
    id: 'echo-1-64',
    what: 'added p50, to nginx',
    goal: '≤ 1',
    read: (ours, rows) => ours.addedP50Us?.median / rows.get('nginx')?.addedP50Us?.median,
    isMet: (value) => value <= 1,
  },
  ratioGoal(/^handshake-/, 2),
  gatewayRatioGoal('fanout-1000'),
  gatewayRatioGoal('fanout-10000'),
  {
    id: /^sessions-/,
    subject: OUR_GATEWAY,
    what: 'user memory, KiB per session',
    goal: '≤ 20',
    read: (ours) => ours.figures.bytesPerTunnel.median / KIB,
    isMet: (value) => value <= 20,
  },
];

function ratioGoal(id, atMost) {
  const isMet = (value) => value <= atMost;
  return { id, what: 'CPU, to nginx', goal: `≤ ${atMost}`, read: (ours) => ours.ratio?.median, isMet };
}

function gatewayRatioGoal(id) {
  return { ...ratioGoal(id, 1), subject: OUR_GATEWAY, what: 'CPU, to nchan' };
}

/** Those that this result can tell about. */
export function judgeGoals({ cases }) {
  return goals.flatMap(({ id, subject = OURS, what, goal, read, isMet }) => {
    const aCase = cases.find((one) => (typeof id === 'string' ? one.id === id : id.test(one.id)));
    if (aCase === undefined) return [];
    const rows = new Map(aCase.rows.map((row) => [row.subject, row]));
    const ours = rows.get(subject);
    if (ours?.figures === undefined) return [];
    const value = read(ours, rows);
    if (!Number.isFinite(value)) return [];
    return [{ title: `${aCase.title}: ${what}`, value: number(value), goal, isMet: isMet(value) }];
  });
}
