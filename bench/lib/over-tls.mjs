/** More of them would say the same, and take long to open. */
const MAX_TUNNELS = 2_000;

/** The same cases over TLS to the proxy: those that --only asks for as wss. */
export function overTls(casesOf, { wssModes: modes, tunnels, ...options }) {
  const cases = casesOf({ ...options, modes, secure: true, tunnels: Math.min(tunnels, MAX_TUNNELS) });
  for (const aCase of cases) {
    aCase.id = `wss-${aCase.id}`;
    aCase.title = `wss ${aCase.title[0].toLowerCase()}${aCase.title.slice(1)}`;
    aCase.secure = true;
  }
  return cases;
}
