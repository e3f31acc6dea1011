/** How long the end of npm may go unnoticed. */
const LOOK_EVERY_MS = 250;

const stopSignals = { SIGTERM: 143, SIGINT: 130 };

/**
 * Stops this process when the `npm start` above it is gone. npm passes SIGTERM on to the shell between us, which dies
 * of it without a word to us: the server would live on and hold its port.
 */
export function stopWithNpm() {
  if (process.env.npm_lifecycle_event !== 'start') return;

  let isTold = false;
  for (const [name, code] of Object.entries(stopSignals)) {
    process.on(name, () => {
      isTold = true;
      // Nobody else listens: what the signal would do by default, were it not for this listener.
      if (process.listenerCount(name) === 1) process.exit(code);
    });
  }

  const parent = process.ppid;
  const looking = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(looking);
    // Who signals the whole process group has told us already; twice would mean "at once".
    if (!isTold) process.kill(process.pid, 'SIGTERM');
  }, LOOK_EVERY_MS).unref();
}
