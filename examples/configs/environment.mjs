// Settings from the environment: LISTEN and BACKENDS (URLs with commas between).
const { LISTEN = '8080', BACKENDS = 'http://127.0.0.1:3000' } = process.env;

export default {
  listeners: [LISTEN],
  routes: [{ to: BACKENDS.split(',') }],
};
