import { type Directive, DirectiveProblem, type Rendered, render } from './directives.js';
import type { ContentFilters } from './types.js';

/** What a subscription may ask for, by name; the order of the names is the order in which they are asked. */
export const FILTER_NAMES = ['skip-self', 'skip-users', 'require-sub', 'build-id', 'var-subst'] as const;
export type FilterName = (typeof FILTER_NAMES)[number];

/** Per subscription, as Pushpin has it. */
export const MAX_FILTERS = 5;

/** Why a subscription with these filters is refused, in one line; undefined: it is not. */
export function filterProblem(channel: string, filters: readonly string[]): string | undefined {
  if (filters.length > MAX_FILTERS) {
    return `too many filters for channel '${channel}': ${filters.length}, at most ${MAX_FILTERS}`;
  }
  const unknown = filters.find((name) => !isFilterName(name));
  if (unknown === undefined) return undefined;
  return `no such filter '${unknown}' for channel '${channel}'; there are ${FILTER_NAMES.join(', ')}`;
}

/** Of what is published, what filters ask. */
export interface Filtered {
  readonly meta: Readonly<Record<string, string>>;
  readonly contentFilters: ContentFilters;
  /** Undefined for what has none: a close, a hint. */
  readonly content: Buffer | undefined;
}

/** Of the subscriber, what filters ask. */
export interface FilterContext {
  /** The names of the subscription’s filters, in its order. */
  readonly filters: readonly string[];
  /** The connection’s meta: `user`, `id_format`, `id_encoding`, and what `var-subst` puts in. */
  readonly meta: ReadonlyMap<string, string>;
  /** The channels of the connection, as its backend names them, each with the last id that it is known to have had. */
  readonly channels: ReadonlyMap<string, string | undefined>;
}

export type Verdict =
  /** As it was published. */
  | { readonly do: 'deliver' }
  | { readonly do: 'replace'; readonly content: Buffer }
  /** `fault`: not what a filter is for but something amiss, to be logged. */
  | { readonly do: 'drop'; readonly fault: string | undefined };

/** Whether an item is for a subscriber, and with which content. */
export function filterItem(item: Filtered, context: FilterContext): Verdict {
  if (context.filters.length === 0 && item.contentFilters === undefined) return DELIVER;
  const mismatch = contentFilterMismatch(item, context.filters);
  if (mismatch !== undefined) return { do: 'drop', fault: mismatch };

  let content = item.content;
  for (const name of context.filters) {
    if (!isFilterName(name)) return { do: 'drop', fault: `no such filter '${name}'` };
    if (name === 'build-id' || name === 'var-subst') {
      if (content === undefined) continue;
      const rendered = CONTENT_FILTERS[name](content, context);
      if (!rendered.ok) return { do: 'drop', fault: `filter ${name}: ${rendered.problem}` };
      content = rendered.content;
    } else if (DELIVERY_FILTERS[name](item.meta, context)) return DROP;
  }
  return content === undefined || content === item.content ? DELIVER : { do: 'replace', content };
}

/** Of a backend’s own response: ids that it left to be put in (`build-id`); other filters do not touch it. */
export function filterResponse(content: Buffer, context: FilterContext): Rendered {
  return context.filters.includes('build-id') ? buildId(content, context) : { ok: true, content };
}

const DELIVER: Verdict = { do: 'deliver' };
const DROP: Verdict = { do: 'drop', fault: undefined };

type DeliveryFilter = Exclude<FilterName, 'build-id' | 'var-subst'>;

/** Whether the item is not for this subscriber. */
const DELIVERY_FILTERS: Readonly<
  Record<DeliveryFilter, (meta: Filtered['meta'], context: FilterContext) => boolean>
> = {
  'skip-self': (meta, context) => {
    const user = context.meta.get('user') ?? '';
    return user !== '' && own(meta, 'sender') === user;
  },
  'skip-users': (meta, context) => {
    const user = context.meta.get('user') ?? '';
    const skipped = own(meta, 'skip_users').split(',');
    return user !== '' && skipped.some((name) => name.trim() === user);
  },
  'require-sub': (meta, context) => {
    const required = own(meta, 'require_sub');
    return required !== '' && !context.channels.has(required);
  },
};

const CONTENT_FILTERS = { 'build-id': buildId, 'var-subst': substituteVariables } as const;

/**
 * `%I` is the id that `id_format` makes of the last ids of the connection’s channels (`%(channel)s` in it), `%(id)I` is
 * `id` itself; `id_encoding` hex writes either in hexadecimal.
 */
function buildId(content: Buffer, { meta, channels }: FilterContext): Rendered {
  const format = meta.get('id_format');
  if (format === undefined) return { ok: false, problem: "the subscriber has no meta 'id_format'" };
  const encoding = meta.get('id_encoding');
  if (encoding !== undefined && encoding !== 'hex') {
    return { ok: false, problem: `unknown id_encoding '${encoding}'; there is hex` };
  }
  // Only where it is asked for: content without `%I` needs none.
  let id: string | undefined;
  return render(content, (type, argument) => {
    if (type !== 'I') throw new DirectiveProblem(`no such directive '${type}'; there are %I and %(id)I`);
    const value = argument ?? (id ??= ownId(format, channels));
    return Buffer.from(value).toString(encoding === 'hex' ? 'hex' : 'utf8');
  });
}

function ownId(format: string, channels: FilterContext['channels']): string {
  if (channels.size === 0) {
    throw new DirectiveProblem('%I without an id, and the subscriber has no channel');
  }
  const id = render(
    Buffer.from(format),
    variable((name) => channels.get(name)),
  );
  if (!id.ok) throw new DirectiveProblem(`in id_format, ${id.problem}`);
  return id.content.toString();
}

/** `%(name)s` is the subscriber’s meta of that name. */
function substituteVariables(content: Buffer, { meta }: FilterContext): Rendered {
  return render(
    content,
    variable((name) => meta.get(name)),
  );
}

function variable(valueOf: (name: string) => string | undefined): Directive {
  return (type, argument) => {
    if (type !== 's') throw new DirectiveProblem(`no such directive '${type}'; there is %(name)s`);
    if (argument === undefined) throw new DirectiveProblem('%s without a name; there is %(name)s');
    const value = valueOf(argument);
    if (value === undefined) throw new DirectiveProblem(`nothing is known of '${argument}'`);
    return value;
  };
}

/** An item that names content filters goes to subscriptions with exactly those, in that order. */
function contentFilterMismatch(
  { contentFilters, content }: Filtered,
  filters: readonly string[],
): string | undefined {
  if (contentFilters === undefined || content === undefined) return undefined;
  const theirs = filters.filter((name) => Object.hasOwn(CONTENT_FILTERS, name));
  if (theirs.length === contentFilters.length && theirs.every((name, i) => name === contentFilters[i])) {
    return undefined;
  }
  const list = (names: readonly string[]) => (names.length > 0 ? names.join(', ') : 'none');
  return `content filters differ: ${list(theirs)} of the subscription, ${list(contentFilters)} of the item`;
}

function own(meta: Filtered['meta'], name: string): string {
  return Object.hasOwn(meta, name) ? meta[name]! : '';
}

function isFilterName(name: string): name is FilterName {
  return (FILTER_NAMES as readonly string[]).includes(name);
}
