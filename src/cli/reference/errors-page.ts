import { errorTable, type Step } from '../../base/errors.js';

/** docs/reference/errors.md, from the error table. */
export function errorsPage(): string {
  return [intro, ...steps.flatMap(([step, what]) => section(step, what))].join('\n');
}

const intro = `<!-- Written by \`npm run docs\` from src/base/errors.ts; change it there. -->

# Errors

Every failure has a code. A client that can still be answered gets its status, and a short text with the code and a
sentence: what exactly is wrong when the fault is the client's own, and else the general meaning below, as addresses
and other details stay in the log. The access log has the code as the outcome, \`failed(CODE)\`, and the details in
\`detail\`. **Side** is whose fault it is. **Close code** is the WebSocket close code that belongs to the failure once a
session is open.

The steps are those of a connection's life, in their order.
`;

const steps: readonly (readonly [Step, string])[] = [
  ['accept', 'A listener takes a connection'],
  ['read', 'The request is read'],
  ['match', 'A route is looked for'],
  ['admit', 'The route decides whether it takes the request'],
  ['pick', 'A server is chosen'],
  ['dial', 'The server is connected to'],
  ['verify', 'The server’s answer is checked'],
  ['answer', 'The client is answered'],
  ['relay', 'Bytes move both ways'],
  ['start', 'Tidegate starts'],
];

function section(step: Step, what: string): string[] {
  const rows = Object.entries(errorTable).filter(([, row]) => row.step === step);
  if (rows.length === 0) return [];
  return [
    `## ${step}\n`,
    `${what}.\n`,
    '| Code | Status | Close code | Side | Meaning |',
    '| --- | --- | --- | --- | --- |',
    ...rows.map(
      ([code, { status, closeCode, side, doc }]) =>
        `| \`${code}\` | ${status} | ${closeCode} | ${side} | ${doc} |`,
    ),
    '',
  ];
}
