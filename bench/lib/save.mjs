import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { at } from '../../scripts/lib/paths.mjs';
import { drawChart } from '../chart.mjs';
import { renderMarkdown } from './tables.mjs';

const PUBLISHED = at('docs', 'performance.json');
const PAGE = at('docs', 'performance.md');
const CHART = at('docs', 'images', 'performance.svg');

/** Writes the result; into docs/performance.json also the tables of the page beside it, and the chart. */
export async function save(result, file) {
  write(file, await formatted(oneLineSpreads(JSON.stringify(result, undefined, 2)), 'json'));
  if (resolve(file) !== PUBLISHED) return;
  write(CHART, drawChart(result));
  const page = readFileSync(PAGE, 'utf8').replace(
    /(?<=<!-- measured -->\n)[\s\S]*(?=<!-- end -->)/,
    () => `\n${renderMarkdown(result)}\n\n`,
  );
  write(PAGE, await formatted(page, 'markdown'));
}

/** Prettier leaves an object on one line that it finds there. */
const oneLineSpreads = (json) =>
  json.replaceAll(
    /\{\s+"median": (\S+),\s+"min": (\S+),\s+"max": (\S+)\s+\}/g,
    '{ "median": $1, "min": $2, "max": $3 }',
  );

async function formatted(text, parser) {
  const prettier = await import('prettier');
  const style = JSON.parse(readFileSync(at('.prettierrc.json'), 'utf8'));
  return prettier.format(text, { ...style, parser });
}

function write(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
