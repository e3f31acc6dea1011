/** A certificate as the value of `Client-Cert`: a byte sequence of its DER (RFC 9440 §2.1, RFC 9651 §3.3.5). */
export function clientCertValue(der: Buffer): string {
  return `:${der.toString('base64')}:`;
}

/**
 * A distinguished name as one line (RFC 4514): the most specific part first, everything beyond ASCII as the escaped
 * bytes of its UTF-8.
 *
 * @param lines as Node has it, a line for each part, the most general first, escaped as RFC 2253 says
 */
export function distinguishedName(lines: string): string {
  const parts = lines.split('\n').filter((line) => line !== '');
  return parts
    .reverse()
    .join(',')
    .replaceAll(' + ', '+')
    .replace(/[^ -~]+/g, escapeBytes);
}

function escapeBytes(text: string): string {
  return Array.from(
    Buffer.from(text, 'utf8'),
    (byte) => `\\${byte.toString(16).padStart(2, '0').toUpperCase()}`,
  ).join('');
}
