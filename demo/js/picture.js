/** The picture at the top: a wire lights up for a moment when the proxy reports traffic on it. */

const LIT_MS = 900;
const timers = new Map();

export function flow(event) {
  const { upstream, generation } = event.session ?? event.record;
  light(upstream);
  light(generation === 'hixie-76' ? 'old-client' : 'browser');
}

function light(name) {
  const parts = document.querySelectorAll(
    `[data-wire="${CSS.escape(name ?? '')}"], [data-node="${CSS.escape(name ?? '')}"]`,
  );
  for (const part of parts) part.classList.add('lit');
  clearTimeout(timers.get(name));
  timers.set(
    name,
    setTimeout(() => {
      for (const part of parts) part.classList.remove('lit');
    }, LIT_MS),
  );
}
