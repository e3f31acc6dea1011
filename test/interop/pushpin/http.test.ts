/** Beside Pushpin: plain requests, long polls and streams (GRIP over HTTP). */
import {
  ARRIVES,
  hold,
  type HttpCase,
  type HttpEnd,
  requestsBesidePushpin,
} from '../../fixtures/beside-pushpin-http.js';

const INSTRUCT = { 'content-type': 'application/grip-instruct' };
const stream = (content: string): object => ({ 'http-stream': { content } });

const cases: Readonly<Record<string, HttpCase>> = {
  'an answer without a hold': {
    script: async (end) => {
      end.answer({
        status: 201,
        headers: { 'x-own': '1', 'content-type': 'text/plain', 'grip-channel': end.channel, 'grip-x': 'y' },
        body: 'as it is',
      });
      end.note(await end.ask({ method: 'POST', body: 'said' }).whole);
    },
  },
  'a large answer without a hold': {
    script: async (end) => {
      end.answer({ headers: { 'content-type': 'text/plain' }, body: 'x'.repeat(300_000) });
      end.note(await end.ask().whole);
    },
  },
  'fields that only a gateway may say': {
    script: async (end) => {
      end.answer(({ headers }) => ({
        headers: { 'content-type': 'text/plain' },
        body: [
          headers['grip-last'],
          String(headers['grip-sig']).split('.').length,
          headers['meta-user'],
        ].join(' '),
      }));
      const forged = { 'grip-last': 'forged', 'grip-sig': 'forged' };
      end.note(await end.ask({ headers: forged }).whole);
    },
  },
  'a hold that there is not': {
    script: async (end) => {
      end.answer({ headers: hold(end, 'forever') });
      end.note(await end.ask().whole);
    },
  },
  'another status': {
    script: async (end) => {
      end.answer({ headers: { 'content-type': 'text/plain', 'grip-status': '203 Quite' }, body: 'x' });
      end.note(await end.ask().whole);
    },
  },

  'a long poll': {
    script: async (end) => {
      end.answer({
        headers: { ...hold(end, 'response'), 'x-own': 'kept', 'x-other': 'kept' },
        body: 'nothing new',
      });
      const { whole } = end.ask();
      await end.publishUntil(whole, {
        'http-response': { code: 202, headers: { 'X-Own': 'published' }, body: 'news' },
      });
      end.note(await whole);
    },
  },
  'a long poll, and news without a head': {
    script: async (end) => {
      end.answer({ status: 203, headers: hold(end, 'response'), body: 'nothing new' });
      const { whole } = end.ask();
      await end.publishUntil(whole, { 'http-response': { body: 'news' } });
      end.note(await whole);
    },
  },
  'a long poll, and a patch of its body': {
    script: async (end) => {
      const headers = { ...hold(end, 'response'), 'content-type': 'application/json' };
      end.answer({ headers, body: '{"a":1}' });
      const { whole } = end.ask();
      const patch = [
        { op: 'replace', path: '/a', value: 2 },
        { op: 'add', path: '/b', value: 'x' },
      ];
      await end.publishUntil(whole, { 'http-response': { 'body-patch': patch } });
      end.note(await whole);
    },
  },
  'a long poll that nothing comes of': {
    script: async (end) => {
      end.answer({ headers: { ...hold(end, 'response'), 'grip-timeout': '1' }, body: 'nothing new' });
      const from = Date.now();
      end.note(await end.ask().whole);
      end.note(Date.now() - from >= 4900 ? 'after 5 seconds' : 'sooner');
    },
  },
  'a long poll, and a hint': {
    script: async (end) => {
      let isHinted = false;
      end.answer(() =>
        isHinted
          ? { headers: { 'content-type': 'text/plain' }, body: 'asked again' }
          : { headers: hold(end, 'response'), body: 'nothing new' },
      );
      const { whole } = end.ask();
      await end.asked('GET /http');
      isHinted = true;
      await end.publishUntil(whole, { 'http-response': { action: 'hint' } });
      end.note(await whole);
    },
  },
  'a long poll that has missed something': {
    script: async (end) => {
      end.answer(({ headers }) =>
        headers['grip-last'] === undefined
          ? { headers: hold(end, 'response', '; prev-id=1'), body: 'nothing new' }
          : { headers: { 'content-type': 'text/plain' }, body: 'all that was missed' },
      );
      const { whole } = end.ask();
      await end.publishUntil(
        whole,
        { 'http-response': { body: 'three' } },
        { 'prev-id': '2', 'no-seq': true },
      );
      end.note(await whole);
    },
  },
  'a long poll that is up to date': {
    mayAskAgain: true,
    script: async (end) => {
      end.answer({ headers: hold(end, 'response', '; prev-id=1'), body: 'nothing new' });
      const { whole } = end.ask();
      await end.publishUntil(whole, { 'http-response': { body: 'two' } }, { 'prev-id': '1', 'no-seq': true });
      end.note(await whole);
    },
  },
  'a long poll by instruction': {
    script: async (end) => {
      const response = { code: 203, headers: { 'X-Own': 'kept' }, body: 'nothing new' };
      const body = JSON.stringify({
        hold: { mode: 'response', channels: [{ name: end.channel }] },
        response,
      });
      end.answer({ headers: INSTRUCT, body });
      const { whole } = end.ask();
      await end.publishUntil(whole, { 'http-response': { body: 'news' } });
      end.note(await whole);
    },
  },

  'a stream': {
    script: async (end) => {
      end.answer({ headers: { ...hold(end, 'stream'), 'x-own': '1' }, body: 'hello\n' });
      const client = end.ask();
      await client.gets('hello\n');
      await arrives(end, client);
      await end.say(stream('one\n'));
      await end.say({ 'http-stream': { 'content-bin': 'dHdvCg==' } });
      await end.say({ 'ws-message': { content: 'not for me' } });
      await client.gets('two\n');
      await end.say({ 'http-stream': { action: 'close' } });
      end.note(await client.whole);
    },
  },
  'a stream by instruction, with a keep-alive': {
    script: async (end) => {
      const keepAlive = { content: 'still here\n', timeout: 1 };
      const held = { mode: 'stream', channels: [{ name: end.channel }], 'keep-alive': keepAlive };
      const response = { headers: { 'Content-Type': 'text/plain' }, body: 'hello\n' };
      end.answer({ headers: INSTRUCT, body: JSON.stringify({ hold: held, response }) });
      await keptAlive(end, 'still here\n');
    },
  },
  'a stream with a keep-alive': {
    script: async (end) => {
      const keepAlive = 'tick\\n\\x2d\\\\; format=cstring; timeout=1';
      end.answer({ headers: { ...hold(end, 'stream'), 'grip-keep-alive': keepAlive }, body: 'hello\n' });
      await keptAlive(end, 'tick\n-\\');
    },
  },
  'a stream for several channels': {
    script: async (end) => {
      const names = Array.from({ length: 3 }, (_, at) => `${end.channel}-${at}`);
      end.answer({ headers: { ...hold(end, 'stream'), 'grip-channel': [end.channel, names.join(', ')] } });
      const client = end.ask();
      await arrives(end, client, `${end.channel}-2`);
      for (const channel of names) await end.say(stream(`to ${channel.at(-1)}\n`), { channel });
      await client.gets('to 2\n');
      await end.say({ 'http-stream': { action: 'close' } });
      end.note(await client.whole);
    },
  },
  'a stream with filters': {
    script: async (end) => {
      const filters = '; filter=skip-self; filter=var-subst';
      const headers = { ...hold(end, 'stream', filters), 'grip-set-meta': 'user="ann", name="Ann"' };
      end.answer({ headers, body: 'hello\n' });
      const client = end.ask();
      await arrives(end, client);
      await end.say(stream('mine\n'), { meta: { sender: 'ann' } });
      await end.say(stream('for %(name)s\n'), { meta: { sender: 'bob' } });
      await client.gets('for Ann\n');
      await end.say({ 'http-stream': { action: 'close' } });
      end.note(await client.whole);
    },
  },
  'a stream with a next link': {
    script: async (end) => {
      end.answer(({ url }) =>
        url!.startsWith('/next')
          ? { headers: { 'content-type': 'text/plain' }, body: 'and the rest\n' }
          : {
              headers: { 'content-type': 'text/plain', 'grip-link': `</next${end.channel}>; rel=next` },
              body: 'hello\n',
            },
      );
      end.note(await end.ask().whole);
    },
  },
  'a stream with a next link that holds': {
    script: async (end) => {
      // Pushpin asks again after a second, whatever it has held.
      let isHeld = false;
      end.answer(({ url }) => {
        const link = `</next${end.channel}>; rel=next`;
        if (url!.startsWith('/next')) {
          const body = isHeld ? '' : 'held\n';
          isHeld = true;
          return { headers: { ...hold(end, 'stream'), 'grip-link': link }, body };
        }
        return { headers: { 'content-type': 'text/plain', 'grip-link': link }, body: 'hello\n' };
      });
      const client = end.ask();
      await client.gets('held\n');
      await arrives(end, client);
      await end.say({ 'http-stream': { action: 'close' } });
      end.note(await client.whole);
    },
  },
  'a stream that has missed something': {
    script: async (end) => {
      const link = `</next${end.channel}>; rel=next`;
      end.answer(({ url }) =>
        url!.startsWith('/next')
          ? { headers: { 'content-type': 'text/plain' }, body: 'all that was missed\n' }
          : { headers: { ...hold(end, 'stream', '; prev-id=1'), 'grip-link': link }, body: 'hello\n' },
      );
      const client = end.ask();
      await client.gets('hello\n');
      await end.publishUntil(client.whole, stream('three\n'), { 'prev-id': '2', 'no-seq': true });
      end.note(await client.whole);
    },
  },
  'a backend that is asked again': {
    script: async (end) => {
      end.answer({ headers: { ...hold(end, 'response'), 'grip-timeout': '5' }, body: 'nothing new' });
      await end.ask().whole;
      end.note(`asked ${end.timesAsked} times`);
    },
    differs: { pushpin: { seen: ['asked 2 times'] }, tidegate: { seen: ['asked 1 times'] } },
  },
};

/** Its subscription is there. */
async function arrives(
  end: HttpEnd,
  client: ReturnType<HttpEnd['ask']>,
  channel = end.channel,
): Promise<void> {
  await end.publishUntil(client.gets(ARRIVES), stream(ARRIVES), { channel });
}

async function keptAlive(end: HttpEnd, content: string): Promise<void> {
  const client = end.ask();
  await client.gets(`hello\n${content}`);
  await arrives(end, client);
  await end.say({ 'http-stream': { action: 'close' } });
  const whole = await client.whole;
  // However many came.
  end.note(whole.replaceAll(content, '').replace('hello\n', `hello\n${content}`));
}

requestsBesidePushpin('requests and holds', cases, { atOnce: true });
requestsBesidePushpin('a backend that is away', {
  'is told to the client': {
    script: (end) => end.withoutBackend(async () => end.note(await end.ask().whole)),
  },
});
