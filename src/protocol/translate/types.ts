/** What may be wrong with a message on its way into another generation; each is a row of the error table. */
export type TranslationProblem =
  'TRANSLATION_BINARY' | 'TRANSLATION_FRAME_INVALID' | 'TRANSLATION_TEXT_INVALID' | 'TRANSLATION_TOO_LARGE';

/** How much of one message is held: it goes on when it is whole. */
export interface MessageBounds {
  readonly maxMessageBytes: number;
  readonly maxFragments: number;
}

/** Hears of whole messages. */
export interface MessageHandler {
  /** Proven to be UTF-8. */
  text(bytes: Buffer): void;
  /** The first Close; `code` is undefined where it had none. */
  close(code: number | undefined): void;
  ping(payload: Buffer): void;
  /** Called once, and not behind a Close. */
  fail(problem: TranslationProblem, reason: string): void;
}
