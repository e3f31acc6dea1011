import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { render } from './directives.js';
import { type FilterContext, filterItem, filterProblem, filterResponse } from './filters.js';

const context = (
  filters: readonly string[],
  meta: Readonly<Record<string, string>> = {},
  channels: readonly (readonly [string, string | undefined])[] = [['room', undefined]],
): FilterContext => ({ filters, meta: new Map(Object.entries(meta)), channels: new Map(channels) });

const item = (
  content: string | undefined,
  meta: Record<string, string> = {},
  contentFilters?: readonly string[],
) => ({
  content: content === undefined ? undefined : Buffer.from(content),
  meta,
  contentFilters,
});

const delivered = { do: 'deliver' };
const dropped = { do: 'drop', fault: undefined };
const replaced = (content: string) => ({ do: 'replace', content: Buffer.from(content) });
const fault = (line: string) => ({ do: 'drop', fault: expect.stringContaining(line) as string });

describe('filterItem', () => {
  it('delivers as published where nothing is asked', () => {
    expect(filterItem(item('50 %', { sender: 'a' }), context([], { user: 'a' }))).toEqual(delivered);
  });

  it.each<[string, Record<string, string>, Record<string, string>, object]>([
    ['skip-self', { sender: 'alice' }, { user: 'alice' }, dropped],
    ['skip-self', { sender: 'alice' }, { user: 'bob' }, delivered],
    ['skip-self', {}, {}, delivered],
    ['skip-self', { sender: '' }, { user: '' }, delivered],
    ['skip-users', { skip_users: 'bob, alice' }, { user: 'alice' }, dropped],
    ['skip-users', { skip_users: 'bob,alicia' }, { user: 'alice' }, delivered],
    ['skip-users', { skip_users: ',' }, { user: '' }, delivered],
    ['require-sub', { require_sub: 'vip' }, {}, dropped],
    ['require-sub', { require_sub: 'room' }, {}, delivered],
    ['require-sub', {}, {}, delivered],
  ])('%s, published %j, subscribed %j', (name, published, subscribed, verdict) => {
    expect(filterItem(item('x', published), context([name], subscribed))).toEqual(verdict);
    // A close has no content and is filtered all the same.
    expect(filterItem(item(undefined, published), context([name], subscribed))).toEqual(verdict);
  });

  it.each<[string, object]>([
    ['hello %(user)s, 100%%', replaced('hello älice, 100%')],
    ['nothing to do', delivered],
    ['%(no)s', fault("filter var-subst: nothing is known of 'no', at byte 0")],
    ['ab%s', fault('filter var-subst: %s without a name; there is %(name)s, at byte 2')],
    ['%(user)d', fault("filter var-subst: no such directive 'd'")],
    ['%(user)s: 50 % off', fault('a directive that is not whole, at byte 13')],
    ['%(user', fault('a directive that is not whole')],
  ])('var-subst makes %j', (content, verdict) => {
    expect(filterItem(item(content), context(['var-subst'], { user: 'älice' }))).toEqual(verdict);
  });

  it.each<[string, Record<string, string>, object]>([
    ['The ID is %I.', {}, replaced('The ID is a=7,b=9.')],
    ['The ID is %(R2D2)I.', {}, replaced('The ID is R2D2.')],
    ['The ID is %(R2D2)I.', { id_encoding: 'hex' }, replaced('The ID is 52324432.')],
    ['%I', { id_encoding: 'rot13' }, fault("unknown id_encoding 'rot13'; there is hex")],
    ['%x', {}, fault("no such directive 'x'")],
    ['%I', { id_format: '%(c)s' }, fault("in id_format, nothing is known of 'c'")],
    ['no id, or %(y)I', { id_format: '%(c)s' }, replaced('no id, or y')],
    ['no id', { id_format: '%(c)s' }, { do: 'deliver' }],
  ])('build-id makes %j with %j', (content, meta, verdict) => {
    const channels = [
      ['a', '7'],
      ['b', '9'],
    ] as const;
    expect(
      filterItem(item(content), context(['build-id'], { id_format: 'a=%(a)s,b=%(b)s', ...meta }, channels)),
    ).toEqual(verdict);
  });

  it('build-id needs an id to put in', () => {
    expect(filterItem(item('%I'), context(['build-id']))).toEqual(
      fault("the subscriber has no meta 'id_format'"),
    );
    expect(filterItem(item('%I'), context(['build-id'], { id_format: 'x' }, []))).toEqual(
      fault('%I without an id'),
    );
    expect(filterItem(item('%(y)I'), context(['build-id'], { id_format: 'x' }, []))).toEqual(replaced('y'));
  });

  it('asks filters in the order of the subscription', () => {
    const both = context(['var-subst', 'build-id'], { id_format: 'ID', x: 'A' });
    expect(filterItem(item('%(x)s %%I'), both)).toEqual(replaced('A ID'));
    expect(
      filterItem(item('%(no)s', { sender: 'u' }), context(['skip-self', 'var-subst'], { user: 'u' })),
    ).toEqual(dropped);
  });

  it.each<[readonly string[] | undefined, readonly string[], object]>([
    [undefined, ['var-subst'], delivered],
    [['var-subst'], ['var-subst'], delivered],
    [['var-subst'], ['skip-self', 'var-subst'], delivered],
    [[], ['skip-self'], delivered],
    [[], ['var-subst'], fault('content filters differ: var-subst of the subscription, none of the item')],
    [['var-subst'], [], fault('content filters differ: none of the subscription, var-subst of the item')],
    [['build-id', 'var-subst'], ['var-subst', 'build-id'], fault('content filters differ')],
    [['toString'], ['toString'], fault('content filters differ: none of')],
  ])('an item for content filters %j, a subscription with %j', (contentFilters, filters, verdict) => {
    expect(filterItem(item('x', {}, contentFilters), context(filters, { id_format: '' }))).toEqual(verdict);
  });
});

describe('filterResponse', () => {
  it('puts in ids and touches nothing else', () => {
    const channels = [['a', '7']] as const;
    const rendered = filterResponse(
      Buffer.from('id: %I'),
      context(['build-id'], { id_format: '%(a)s' }, channels),
    );
    expect(rendered).toEqual({ ok: true, content: Buffer.from('id: 7') });
    expect(filterResponse(Buffer.from('%(x)s'), context(['var-subst']))).toEqual({
      ok: true,
      content: Buffer.from('%(x)s'),
    });
  });
});

describe('filterProblem', () => {
  it('knows the names, and how many there may be', () => {
    expect(filterProblem('a', [])).toBeUndefined();
    expect(
      filterProblem('a', ['skip-self', 'skip-users', 'require-sub', 'build-id', 'var-subst']),
    ).toBeUndefined();
    expect(filterProblem('a', ['http-check'])).toBe(
      "no such filter 'http-check' for channel 'a'; there are skip-self, skip-users, require-sub, build-id, var-subst",
    );
    expect(
      filterProblem(
        'a',
        Array.from({ length: 6 }, () => 'skip-self'),
      ),
    ).toBe("too many filters for channel 'a': 6, at most 5");
  });
});

describe('render', () => {
  it('reads what is escaped in an argument', () => {
    const values: Record<string, string> = { name: 'Alice', 'food\\fruit(type)': 'apples' };
    const text = 'My name is %(name)s and I eat %(food\\\\fruit(type\\))s 10%% of the time.';
    expect(render(Buffer.from(text), (_, name) => values[name ?? '']!)).toEqual({
      ok: true,
      content: Buffer.from('My name is Alice and I eat apples 10% of the time.'),
    });
  });

  it('leaves all other bytes as they are', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (before, after) => {
        const escape = (bytes: Uint8Array) =>
          Buffer.from(Buffer.from(bytes).toString('latin1').replaceAll('%', '%%'), 'latin1');
        const rendered = render(
          Buffer.concat([escape(before), Buffer.from('%(x)s'), escape(after)]),
          () => '✓',
        );
        expect(rendered).toEqual({ ok: true, content: Buffer.concat([before, Buffer.from('✓'), after]) });
      }),
    );
  });

  it('gives content without a directive back, not a copy', () => {
    const content = Buffer.from('plain');
    const rendered = render(content, () => '');
    expect(rendered.ok && rendered.content).toBe(content);
  });
});
