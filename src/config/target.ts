import { z } from 'zod';
import { expected, oneOrMany } from './leaf.js';
import { parseServerUrl, type ServerUrl } from './server-url.js';
import { NAME } from './upstreams.js';

/** Where a route leads: to an upstream by its name, or to servers of its own. */
export type Target = { readonly upstream: string } | { readonly servers: readonly ServerUrl[] };

/** The name of an upstream, or URLs of servers. */
export const target = oneOrMany(
  z.string({ error: expected('the name of an upstream, or a URL') }),
  'the name of an upstream, a URL, or a list of URLs',
)
  .transform((written, ctx): Target => {
    const only = written.length === 1 ? written[0]! : undefined;
    // Whether an upstream of that name exists is for the cross checks to say.
    if (only !== undefined && NAME.test(only)) return { upstream: only };
    const servers = written.flatMap((text, index) => {
      const parsed = parseServerUrl(text);
      if (parsed.ok) return [parsed.value];
      const { wrong: message, suggestion } = parsed;
      const path = written.length === 1 ? [] : [index];
      ctx.addIssue({ code: 'custom', message, path, input: text, params: { suggestion } });
      return [];
    });
    return { servers };
  })
  .meta({ label: 'upstream, URL, or list of URLs' });
