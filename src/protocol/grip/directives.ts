export type Rendered =
  { readonly ok: true; readonly content: Buffer } | { readonly ok: false; readonly problem: string };

/** What stands for a directive; throw a `DirectiveProblem` where there is nothing. `argument` undefined: none given. */
export type Directive = (type: string, argument: string | undefined) => string;

export class DirectiveProblem extends Error {}

/**
 * Puts values in the place of directives: `%I`, `%(argument)s`, with `\` before a character of the argument that is
 * meant as such; `%%` is a per cent sign. All other bytes stay as they are, whatever they are. Content without a
 * directive comes back as the same object.
 */
export function render(content: Buffer, directive: Directive): Rendered {
  if (!content.includes(PERCENT)) return { ok: true, content };
  const text = content.toString('latin1');
  const parts: Buffer[] = [];
  let from = 0;
  let at = text.indexOf('%');
  try {
    for (; at !== -1; at = text.indexOf('%', from)) {
      parts.push(content.subarray(from, at));
      DIRECTIVE.lastIndex = at;
      const found = DIRECTIVE.exec(text);
      if (found === null) throw new DirectiveProblem('a directive that is not whole');
      const [whole, argument, type] = found;
      parts.push(Buffer.from(type === undefined ? '%' : directive(type, argument && unescape(argument))));
      from = at + whole.length;
    }
  } catch (error) {
    if (!(error instanceof DirectiveProblem)) throw error;
    return { ok: false, problem: `${error.message}, at byte ${at}` };
  }
  parts.push(content.subarray(from));
  return { ok: true, content: Buffer.concat(parts) };
}

const PERCENT = 0x25;

/** `%%`, `%x` or `%(argument)x`. */
const DIRECTIVE = /%(?:%|(?:\(((?:[^\\)]|\\[^])*)\))?([A-Za-z]))/y;

function unescape(latin1: string): string {
  return Buffer.from(latin1.replaceAll(/\\([^])/g, '$1'), 'latin1').toString();
}
