import { z } from 'zod';

/** What a piece of text turns out to be: a value, or what is wrong with it and what was probably meant. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly wrong: string; readonly suggestion: string | undefined };

export function right<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function wrong(message: string, suggestion?: string): Parsed<never> {
  return { ok: false, wrong: message, suggestion };
}

/** A schema for one value that a person writes as text; `label` names it in messages and in the reference page. */
export function leaf<T>(label: string, parse: (text: string) => Parsed<T>) {
  return z
    .string({ error: expected(label) })
    .transform((text, ctx) => settle(parse(text), text, ctx))
    .meta({ label });
}

/** As `leaf`, for values that YAML may well read as a number: ports, durations, sizes. */
export function leafOrNumber<T>(label: string, parse: (written: string | number) => Parsed<T>) {
  return z
    .union([z.string(), z.number()], { error: expected(label) })
    .transform((written, ctx) => settle(parse(written), written, ctx))
    .meta({ label });
}

/** One value, or a list of them; read as a list. */
export function oneOrMany<S extends z.ZodType>(one: S, label: string, least: 0 | 1 = 1) {
  const list = z.array(one).min(least, { error: `expected ${label}, found an empty list` });
  return z
    .union([one, list], { error: expected(label) })
    .transform((written) => (Array.isArray(written) ? written : [written]) as z.output<S>[])
    .meta({ label });
}

/** The message of a value of the wrong type: what would be accepted, and what was found. */
export function expected(label: string): (issue: { readonly input: unknown }) => string {
  return ({ input }) =>
    input === undefined ? `is missing; expected ${label}` : `expected ${label}, found ${show(input)}`;
}

/** A written value as messages show it. */
export function show(value: unknown): string {
  if (typeof value === 'string') return shorten(JSON.stringify(value));
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function settle<T>(parsed: Parsed<T>, input: unknown, ctx: z.RefinementCtx): T {
  if (parsed.ok) return parsed.value;
  ctx.addIssue({ code: 'custom', message: parsed.wrong, input, params: { suggestion: parsed.suggestion } });
  return z.NEVER;
}
