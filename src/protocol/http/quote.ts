/** Foreign bytes (latin-1) for an error line: short, and without any character that could steer a terminal or a log. */
export function quote(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(short).replace(
    // oxlint-disable-next-line no-control-regex -- DEL and the C1 controls, which JSON leaves as they are
    /[\x7f-\x9f]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16)}`,
  );
}
