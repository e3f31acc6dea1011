export type AnswerType = 'text/plain' | 'application/json';

const BOTH: readonly AnswerType[] = ['text/plain', 'application/json'];
/** What a media range admits, the usual one first. */
const ranges: Readonly<Record<string, readonly AnswerType[]>> = {
  'text/plain': ['text/plain'],
  'text/*': ['text/plain'],
  'application/json': ['application/json'],
  'application/*': ['application/json'],
  '*/*': BOTH,
  '*': BOTH,
};

/**
 * In which types an answer may be, the wanted one first; none: 406. As in Pushpin, the first range in `Accept` that
 * admits one decides, and weights are not compared; but `q=0` is a no (RFC 9110 §12.5.1).
 */
export function acceptable(accept: string | undefined): readonly AnswerType[] {
  if (accept === undefined) return BOTH;
  const wanted = accept.split(',').flatMap((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const isRefused = parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
    return isRefused ? [] : (ranges[type] ?? []);
  });
  return [...new Set(wanted)];
}
