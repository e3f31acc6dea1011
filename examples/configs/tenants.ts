// A route for each tenant, made by a program. TypeScript knows every key: try a wrong one in your editor.
import { defineConfig } from 'tidegate';

const tenants = { acme: 4001, globex: 4002, initech: 4003 };

export default defineConfig({
  listeners: [{ address: '127.0.0.1:8080', headerTimeout: '5s' }],
  routes: Object.entries(tenants).map(([name, port]) => ({
    name,
    match: { host: [`${name}.example.com`, `*.${name}.example.com`] },
    to: `http://127.0.0.1:${port}`,
    websocket: { idleTimeout: '15m' },
  })),
});
