import { domainToASCII } from 'node:url';
import { z } from 'zod';
import { expected, leaf, oneOrMany, right, show, wrong } from './leaf.js';
import { longDuration } from './quantities.js';
import { fileName } from './tls-files.js';

/** Authorities that have a name of their own here. */
const directories: Readonly<Record<string, string>> = {
  letsencrypt: 'https://acme-v02.api.letsencrypt.org/directory',
  'letsencrypt-staging': 'https://acme-staging-v02.api.letsencrypt.org/directory',
};

/** As many names as Let’s Encrypt puts into one certificate. */
const MAX_DOMAINS = 100;

const A_DIRECTORY = 'letsencrypt, letsencrypt-staging, or the https: URL of a directory';

const directory = () =>
  leaf(A_DIRECTORY, (text) => {
    const known = Object.hasOwn(directories, text) ? directories[text] : undefined;
    if (known !== undefined) return right(known);
    if (URL.canParse(text) && new URL(text).protocol === 'https:') return right(new URL(text).href);
    return wrong(`expected ${A_DIRECTORY}, found ${show(text)}`);
  });

const domain = () =>
  leaf('a host name', (text) => {
    if (text.startsWith('*.')) {
      return wrong(
        `${text}: wildcards are proven by DNS only, which is not spoken here; expected names in full`,
      );
    }
    const name = domainToASCII(text).replace(/\.$/, '');
    const isName = /^(?=.{1,253}$)[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?(?:\.[a-z\d](?:[a-z\d-]{0,61}[a-z\d])?)*$/;
    if (!isName.test(name) || /(?:^|\.)\d+$/.test(name)) {
      return wrong(`expected a host name such as chat.example.com, found ${show(text)}`);
    }
    return right(name);
  });

const A_DOMAIN = 'a host name such as chat.example.com, or a list of them';

/** A certificate that is ordered from an authority (RFC 8555), and renewed. */
const order = z
  .strictObject({
    domains: oneOrMany(domain(), A_DOMAIN)
      .transform((names) => [...new Set(names)])
      .refine((names) => names.length <= MAX_DOMAINS, { error: `expected at most ${MAX_DOMAINS} host names` })
      .meta({ label: A_DOMAIN })
      .describe(
        'The host names that the certificate is for: one, or a list for a certificate of all of them.',
      ),
    storage: fileName('folder').describe(
      'The folder where the certificate, its key and the key of the account are kept, readable for its owner only; it is made if need be, and must outlive the process. Relative to the folder of the configuration file.',
    ),
    termsOfServiceAgreed: z
      .literal(true, {
        error: expected('true, which says that you agree to the terms of service of the authority'),
      })
      .meta({ label: 'true' })
      .describe('That you agree to the terms of service of the authority. Nothing is ordered without.'),
    email: z
      .email({ error: expected('an e-mail address') })
      .optional()
      .meta({ label: 'e-mail address' })
      .describe('Where the authority may write to. Absent: nowhere.'),
    directory: directory()
      .prefault('letsencrypt')
      .describe(
        'The authority: the URL of its directory, `letsencrypt`, or `letsencrypt-staging`, whose certificates no client believes and whose limits are wide, for trying.',
      ),
    ca: fileName('PEM file')
      .optional()
      .describe(
        'A PEM file with the certificates that the authority’s own HTTPS is believed by, for one inside your house; relative to the folder of the configuration file. Absent: the public ones.',
      ),
    challenge: z
      .enum(['tls-alpn-01', 'http-01'])
      .prefault('tls-alpn-01')
      .describe(
        'How the authority sees that the names are yours: it connects to port 443 of each, where this listener must answer (`tls-alpn-01`), or asks port 80, where any listener of this Tidegate must (`http-01`).',
      ),
    renewBefore: longDuration()
      .optional()
      .describe(
        'How long before its end a certificate is renewed, but never in the first half of its life. Absent: when a third of its life is left.',
      ),
  })
  .meta({ label: 'object with `domains`, `storage` and `termsOfServiceAgreed`' });

export const acme = oneOrMany(order, 'an object with `domains`, or a list of them')
  .optional()
  .describe(
    'Certificates that Tidegate orders from an authority by ACME, such as Let’s Encrypt, and renews. Needs the optional package `acme-client`. They stand behind those of `certificates`.',
  )
  .meta({
    example: `listeners:
  - 80
  - address: 443
    tls:
      acme:
        domains: [chat.example.com, www.example.com]
        email: ops@example.com
        termsOfServiceAgreed: true
        storage: /var/lib/tidegate`,
  });
