import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HeaderList } from '../http/header-list.js';
import { WsOverHttpConnection } from './connection.js';
import { decodeEvents, encodeEvents } from './events.js';
import { connectionDefaults, limitDefaults } from './options.js';
import { retryDefaults } from './retries.js';
import type { Action, EventsRequest, MessageType, WsEvent } from './types.js';

type Step =
  | { readonly do: 'say'; readonly type: MessageType; readonly content: Buffer }
  /** The request in flight is answered; `share` of its content is accepted. */
  | { readonly do: 'answer'; readonly share: number; readonly keepAlive: string | undefined }
  | { readonly do: 'fail'; readonly how: 'not-reached' | 'before-body-written' | 503 }
  | { readonly do: 'time' }
  | { readonly do: 'refresh' };

/** What was said, byte by byte, with a mark at the end of each message. */
type Trace = string[];

/** A backend that keeps account of all it is offered and accepts, and holds the connection to the rules meanwhile. */
class Backend {
  readonly connection: WsOverHttpConnection;
  readonly said: Trace = [];
  readonly accepted: Trace = [];
  readonly farewells: string[] = [];
  readonly spoken: string[] = [];
  readonly heard: string[] = [];
  readonly closes: Action[] = [];
  #inFlight: EventsRequest | undefined;
  #isRetry = false;
  /** Bytes that the last request offered and the answer left. */
  #left = Buffer.alloc(0);
  #seq = 0;
  readonly #mayAcceptNothing: boolean;

  constructor(limits: Partial<typeof limitDefaults>, mayAcceptNothing: boolean) {
    this.#mayAcceptNothing = mayAcceptNothing;
    this.connection = new WsOverHttpConnection({
      ...connectionDefaults,
      limits: { ...limitDefaults, ...limits },
      retry: { ...retryDefaults, attempts: Number.POSITIVE_INFINITY },
      random: () => 0.5,
    });
    this.pump();
    this.answer(1, mayAcceptNothing ? '30' : undefined, [{ type: 'OPEN' }]);
  }

  pump(): void {
    const request = this.connection.nextRequest();
    if (request === undefined) return;
    // One at a time: the one before was answered, or this is its retry.
    if (this.#isRetry) assert.equal(request, this.#inFlight);
    else {
      assert.equal(this.#inFlight, undefined);
      assert.equal(request.seq, ++this.#seq);
      assert.equal(request.replayedBytes, this.#left.length);
      assert.deepEqual(contentOf(eventsOf(request)).subarray(0, this.#left.length), this.#left);
    }
    this.#isRetry = false;
    this.#inFlight = request;
    assert.equal(this.connection.nextRequest(), undefined);
  }

  answer(share: number, keepAlive: string | undefined, opening: WsEvent[] = []): void {
    if (this.#inFlight === undefined || this.#isRetry) return;
    const events = eventsOf(this.#inFlight);
    const messages = events.filter(isMessage);
    const content = contentOf(messages);
    // Rules that a backend must keep, too.
    const least = this.#mayAcceptNothing ? 0 : Math.min(1, content.length);
    const bytes = Math.max(least, Math.floor(share * content.length));
    this.#left = Buffer.from(content.subarray(bytes));
    this.#take(messages, bytes);
    const isTaken = bytes === content.length;
    const farewell = events.find(({ type }) => type === 'CLOSE' || type === 'DISCONNECT');
    const closeBytes = farewell?.type === 'CLOSE' ? farewell.content.length : 0;
    if (farewell !== undefined && (isTaken || farewell.type === 'DISCONNECT'))
      this.farewells.push(farewell.type);

    const word = String(this.spoken.length);
    this.spoken.push(word);
    const fields = ['Content-Type', 'application/websocket-events'];
    if (bytes < content.length + closeBytes || bytes % 2 === 0) {
      fields.push('Content-Bytes-Accepted', String(isTaken ? bytes + closeBytes : bytes));
    }
    if (keepAlive !== undefined) fields.push('Keep-Alive-Interval', keepAlive);
    this.#inFlight = undefined;
    this.#note(
      this.connection.onResponse({
        status: 200,
        fields: HeaderList.fromRaw(fields),
        body: encodeEvents([...opening, { type: 'TEXT', content: Buffer.from(word) }]),
      }),
    );
  }

  fail(how: (Step & { do: 'fail' })['how']): void {
    if (this.#inFlight === undefined || this.#isRetry || this.#inFlight.kind === 'open') return;
    const actions =
      how === 503
        ? this.connection.onResponse({ status: 503, fields: new HeaderList(), body: Buffer.alloc(0) })
        : this.connection.onFailure(how, 'down');
    assert.deepEqual(
      actions.map((action) => action.do === 'wait' && action.for),
      ['retry'],
    );
    this.#isRetry = true;
    assert.equal(this.connection.nextRequest(), undefined);
  }

  get isWaitingForRetry(): boolean {
    return this.#isRetry;
  }

  get isAsked(): boolean {
    return this.#inFlight !== undefined && !this.#isRetry;
  }

  #take(messages: readonly Message[], bytes: number): void {
    let left = bytes;
    for (const { type, content } of messages) {
      const taken = Math.min(left, content.length);
      for (const byte of content.subarray(0, taken)) this.accepted.push(`${type} ${byte}`);
      left -= taken;
      if (taken < content.length) return;
      this.accepted.push(`${type} end`);
    }
  }

  #note(actions: readonly Action[]): void {
    for (const action of actions) {
      if (action.do === 'deliver') this.heard.push(action.event.content.toString());
      if (action.do === 'close') this.closes.push(action);
      assert.notEqual(action.do, 'report');
    }
  }
}

type Message = WsEvent & { type: MessageType };

function isMessage(event: WsEvent): event is Message {
  return ['TEXT', 'BINARY', 'PING', 'PONG'].includes(event.type);
}

function eventsOf(request: EventsRequest): readonly WsEvent[] {
  return decodeEvents(request.body).events!;
}

function contentOf(events: readonly WsEvent[]): Buffer {
  return Buffer.concat(events.filter(isMessage).map(({ content }) => content));
}

function run(backend: Backend, steps: readonly Step[]): void {
  const { said } = backend;
  for (const step of steps) {
    switch (step.do) {
      case 'say':
        for (const byte of step.content) said.push(`${step.type} ${byte}`);
        said.push(`${step.type} end`);
        expect(backend.connection.onClientMessage(step.type, step.content)).toEqual([]);
        break;
      case 'answer':
        backend.answer(step.share, step.keepAlive);
        break;
      case 'fail':
        backend.fail(step.how);
        break;
      case 'time':
        backend.connection.onTime();
        break;
      case 'refresh':
        backend.connection.refresh();
    }
    backend.pump();
    // In order, once each: never anything but the beginning of what was said.
    expect(backend.accepted).toEqual(said.slice(0, backend.accepted.length));
  }
}

/** Accepts everything from here on. */
function drain(backend: Backend): void {
  backend.connection.refresh();
  for (let turns = 0; turns < 500; turns++) {
    if (backend.isWaitingForRetry) backend.connection.onTime();
    backend.pump();
    if (!backend.isAsked) return;
    backend.answer(1, undefined);
  }
  throw new Error('it never comes to rest');
}

const say = fc.record({
  do: fc.constant('say' as const),
  type: fc.constantFrom<MessageType>('TEXT', 'BINARY', 'PING', 'PONG'),
  content: fc.uint8Array({ maxLength: 6 }).map((array) => Buffer.from(array)),
});
const answer = fc.record({
  do: fc.constant('answer' as const),
  share: fc.oneof(fc.constantFrom(0, 1), fc.double({ min: 0, max: 1, noNaN: true })),
  keepAlive: fc.constantFrom(undefined, '25'),
});
const fail = fc.record({
  do: fc.constant('fail' as const),
  how: fc.constantFrom('not-reached' as const, 'before-body-written' as const, 503 as const),
});
const other = fc.constantFrom<Step>({ do: 'time' }, { do: 'time' }, { do: 'refresh' });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: say },
    { weight: 4, arbitrary: answer },
    { weight: 1, arbitrary: fail },
    { weight: 2, arbitrary: other },
  ),
  { maxLength: 60 },
);

const backends: [string, () => Backend][] = [
  ['as it comes', () => new Backend({}, true)],
  ['a few bytes at a time', () => new Backend({ maxRequestBytes: 4, bufferBytes: 1 }, false)],
  ['one event at a time', () => new Backend({ maxRequestEvents: 1 }, false)],
];

describe.each(backends)('whatever happens, %s', (_name, makeBackend) => {
  it('every byte is accepted once and in order, with one request at a time', () => {
    fc.assert(
      fc.property(steps, (taken) => {
        const backend = makeBackend();
        run(backend, taken);
        drain(backend);
        expect(backend.accepted).toEqual(backend.said);
        expect(backend.connection.bufferedBytes).toBe(0);
        expect(backend.heard).toEqual(backend.spoken);
        expect(backend.connection.state).toBe('open');
        expect(backend.farewells).toEqual([]);
      }),
    );
  });

  it('the backend is told of the end once, behind everything', () => {
    fc.assert(
      fc.property(steps, fc.boolean(), steps, (before, closes, after) => {
        const backend = makeBackend();
        run(backend, before);
        if (closes) backend.connection.onClientClose(1000, Buffer.from('bye'));
        else backend.connection.onClientLost();
        backend.pump();
        // A DISCONNECT is final whatever was accepted with it.
        run(
          backend,
          after.filter((step) => step.do !== 'say').map((step) => (closes ? step : all(step))),
        );
        drain(backend);
        for (let turns = 0; turns < 5 && backend.connection.state !== 'over'; turns++) {
          backend.connection.onTime();
          backend.pump();
          backend.answer(1, '0');
        }
        expect(backend.connection.state).toBe('over');
        expect(backend.accepted).toEqual(backend.said);
        expect(backend.farewells).toEqual([closes ? 'CLOSE' : 'DISCONNECT']);
        expect(backend.closes).toHaveLength(closes ? 1 : 0);
      }),
    );
  });
});

function all(step: Step): Step {
  return step.do === 'answer' ? { ...step, share: 1 } : step;
}
