import { fieldsText } from './head.js';
import { isFieldValue, isToken } from './grammar.js';
import { HeaderList } from './header-list.js';

/**
 * Header fields as they stand on the wire: checked once, for what is sent many times with little changed, and kept as one
 * string.
 */
export class FieldLines {
  /** `Name: value` with a CRLF behind each: latin-1 text, one character a byte. */
  readonly text: string;
  readonly hasHost: boolean;
  readonly hasTe: boolean;

  private constructor(text: string, hasHost: boolean, hasTe: boolean) {
    this.text = text;
    this.hasHost = hasHost;
    this.hasTe = hasTe;
  }

  /** Throws a RangeError rather than let a CR, LF or NUL out. */
  static of(list: HeaderList): FieldLines {
    return new FieldLines(flat(fieldsText(list)), list.has('host'), list.has('te'));
  }

  static from(fields: HeaderList | FieldLines): FieldLines {
    return fields instanceof FieldLines ? fields : FieldLines.of(fields);
  }

  /** These, and others behind them. @param lines of `fieldLine`; neither `Host` nor `TE` */
  with(lines: string): FieldLines {
    return new FieldLines(this.text + lines, this.hasHost, this.hasTe);
  }

  toList(): HeaderList {
    const list = new HeaderList();
    for (const line of this.text.split('\r\n')) {
      const colon = line.indexOf(': ');
      if (colon !== -1) list.append(line.slice(0, colon), line.slice(colon + 2));
    }
    return list;
  }
}

/** One field. Throws a RangeError rather than let a CR, LF or NUL out. */
export function fieldLine(name: string, value: string): string {
  if (!isToken(name)) throw new RangeError(`header name is not a token: ${JSON.stringify(name)}`);
  if (!isFieldValue(value)) throw new RangeError(`header ${name} has a control character in its value`);
  return `${name}: ${value}\r\n`;
}

/** A string of its own: pieces of a head would keep all of it in memory, and be put together at each use. */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
