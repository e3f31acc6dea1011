import { leaf, right, show, wrong } from './leaf.js';

/** `20%`, read as 0.2. */
export function percentage(max: number) {
  return leaf('a percentage such as 20%', (text) => {
    const found = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim());
    const value = Number(found?.[1]);
    if (found !== null && value <= max) return right(value / 100);
    const suggestion = /^\d+$/.test(text) && Number(text) <= max ? `${text}%` : undefined;
    return wrong(`expected a percentage from 0% to ${max}%, found ${show(text)}`, suggestion);
  });
}
