import { z } from 'zod';
import { acme } from './acme.js';
import { expected, leaf, leafOrNumber, oneOrMany, right, show, wrong } from './leaf.js';
import { fileName, passphrase } from './tls-files.js';

/**
 * What Mozilla calls intermediate (version 5.7), without the suites with DHE, for which there would have to be a group:
 * every client since 2014 or so knows one of these.
 */
const INTERMEDIATE =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:' +
  'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305';

const certificate = z
  .strictObject({
    cert: fileName('PEM file').describe(
      'A PEM file with the certificate, and behind it those that lead to an authority that clients know; relative to the folder of the configuration file.',
    ),
    key: fileName('PEM file').describe('A PEM file with its private key; it may be the same file.'),
    passphrase: passphrase(),
  })
  .meta({ label: 'object with `cert` and `key`' });

const VERSIONS = ['1.2', '1.3'] as const;

const version = () =>
  leafOrNumber('1.2 or 1.3', (written) => {
    const known = VERSIONS.find((one) => one === String(written));
    return known === undefined ? wrong(`expected 1.2 or 1.3, found ${show(written)}`) : right(known);
  });

const headerName = () =>
  leaf('the name of a header', (text) => {
    if (!/^[!#$%&'*+.^`|~\w-]+$/.test(text))
      return wrong(`expected the name of a header, found ${show(text)}`);
    if (TAKEN.test(text)) return wrong(`${text} has a meaning of its own; expected another name`);
    return right(text);
  });

/** Fields that frame and route a message, belong to the handshake, or are written by Tidegate for other reasons. */
const TAKEN =
  /^(?:host|connection|upgrade|te|trailer|expect|cookie|origin|authorization|forwarded|keep[-_]alive|transfer[-_]encoding|(?:content|proxy|x[-_]forwarded|sec|websocket|http2)[-_].*)$/i;

const clientCertificates = z
  .strictObject({
    ca: fileName('PEM file').describe(
      'A PEM file with the certificates of the authorities that are believed; relative to the folder of the configuration file.',
    ),
    mode: z
      .enum(['required', 'optional'])
      .prefault('required')
      .describe(
        'Whether a client without a certificate is refused, or served all the same. One whose certificate is not valid is refused in either case.',
      ),
    header: headerName()
      .optional()
      .describe(
        'The header in which servers get the client’s certificate as RFC 9440 has it (its DER in base64, between two colons), by convention `Client-Cert`. Absent: they do not. Whatever clients send under this name is dropped, on every listener.',
      ),
    subjectHeader: headerName()
      .optional()
      .describe(
        'The header in which servers get the subject of the certificate as RFC 4514 has it, such as `CN=Ada,O=Example`. Guarded in the same way.',
      ),
  })
  .superRefine(({ header, subjectHeader }, ctx) => {
    if (header === undefined || header.toLowerCase() !== subjectHeader?.toLowerCase()) return;
    const message = 'is the name of `header`, too; expected another one';
    ctx.addIssue({ code: 'custom', path: ['subjectHeader'], input: subjectHeader, message });
  })
  .optional()
  .describe('Asks clients for certificates of their own. Absent: they are not asked.');

const CERTIFICATES = 'an object with `cert` and `key`, or a list of them';

/** How a listener speaks TLS. */
export const tls = z
  .strictObject({
    certificates: oneOrMany(certificate, CERTIFICATES)
      .optional()
      .describe(
        'One certificate or a list. Which one a client gets is decided by the host name that it asks for (SNI) and the names in their subjectAltName; where none fits, the first. Required, unless there is `acme`.',
      ),
    acme,
    minVersion: version().prefault('1.2').describe('The oldest version of TLS that is spoken: 1.2 or 1.3.'),
    ciphers: z
      .string({ error: expected('a list of ciphers with colons in between') })
      .min(1)
      .prefault(INTERMEDIATE)
      .meta({ label: 'text' })
      .describe(
        'The ciphers for TLS 1.2, as OpenSSL lists them; the client chooses. The default is what Mozilla calls intermediate. TLS 1.3 has its three standard ones, unless the list names any of it (`TLS_…`).',
      ),
    clientCertificates,
  })
  .superRefine(({ certificates, acme: orders }, ctx) => {
    if (certificates !== undefined || orders !== undefined) return;
    const message = `is missing; expected ${CERTIFICATES}; or \`acme\` in its place`;
    ctx.addIssue({ code: 'custom', path: ['certificates'], input: undefined, message });
  })
  .transform(({ certificates = [], acme: orders = [], ...rest }) => ({ ...rest, certificates, acme: orders }))
  .optional()
  .describe('Makes this a listener for `https:` and `wss:`. Absent: it speaks plain HTTP.')
  .meta({
    example: `listeners:
  - address: 0.0.0.0:443
    tls:
      certificates:
        - { cert: chat.example.com.crt, key: chat.example.com.key }
        - { cert: wildcard.pem, key: wildcard.pem, passphrase: open sesame }
  - address: 0.0.0.0:8443
    tls:
      certificates: { cert: internal.crt, key: internal.key }
      minVersion: 1.3
      clientCertificates: { ca: staff.pem, mode: required, header: Client-Cert }`,
  });
